"""`python -m tools.processors [NAME …]`: the tests of numbers with the matrix products of other processors.

OpenBLAS, inside numpy, has code for each kind of processor, which adds in another order; OPENBLAS_CORETYPE chooses one.
What this machine cannot run (SkylakeX without AVX-512) is left out and said, and so is what has the code of one that
was tested (Zen that of Haswell).
"""

from __future__ import annotations

import os
import subprocess
import sys

PROCESSORS = ("Haswell", "SkylakeX", "Zen", "Sandybridge", "Nehalem")
TESTS = """
tests/model/test_golden.py tests/model/test_golden_gguf.py tests/model/test_attend_golden.py tests/model/test_batch.py
tests/model/test_heads.py tests/model/test_adapter.py tests/model/test_streamed.py
tests/core/test_threads.py tests/core/test_attention_tiles.py tests/core/test_attention_measures.py
tests/test_smollm2.py tests/backends/kernels/test_model.py
tests/commands/test_sentences.py tests/commands/test_perplexity.py tests/commands/test_pooling.py
tests/commands/test_beyond_context.py tests/commands/test_lens_grid.py
""".split()
"""Against recorded numbers of reference implementations: passes of every family, attention, heads, batches, threads,
kernels, SmolLM2 with its greedy tokens, sentences, perplexity, the lens. Of the other tests few multiply matrices."""
KERNELS = """
import numpy as np, threadpoolctl
ones = np.ones((99, 99), np.float32)
assert (ones @ ones == 99).all()
print(*{library["architecture"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"})
"""


def main(names: list[str]) -> int:
    failed, tested = [], dict[str, str]()
    for name in names or PROCESSORS:
        environment = {**os.environ, "OPENBLAS_CORETYPE": name}
        tried = subprocess.run(
            [sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True, check=False
        )
        if tried.returncode:
            print(f"{name}: NOT TESTED, this machine cannot run it", flush=True)
            continue
        kernels = tried.stdout.strip()
        if kernels in tested:
            print(f"{name}: the products of {tested[kernels]}", flush=True)
            continue
        tested[kernels] = name
        print(f"{name}:", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", *TESTS]
        if subprocess.run(command, env=environment, check=False).returncode:
            failed.append(name)
    print(f"failed with {', '.join(failed)}" if failed else "all passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
