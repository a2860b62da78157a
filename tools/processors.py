"""`python -m tools.processors [NAME …]`: the tests of numbers with the matrix products of other processors.

OpenBLAS, inside numpy, has code for each kind of processor, which adds in another order; OPENBLAS_CORETYPE chooses one.
What this machine cannot run (SkylakeX without AVX-512) is left out and said.
"""

from __future__ import annotations

import os
import subprocess
import sys

PROCESSORS = ("Haswell", "SkylakeX", "Zen", "Sandybridge", "Nehalem")
TESTS = ("tests/core", "tests/model", "tests/backends/kernels", "tests/test_smollm2.py")
PRODUCT = "import numpy as np; a = np.ones((99, 99), np.float32); assert (a @ a == 99).all()"


def main(names: list[str]) -> int:
    failed = []
    for name in names or PROCESSORS:
        environment = {**os.environ, "OPENBLAS_CORETYPE": name}
        if subprocess.run(
            [sys.executable, "-c", PRODUCT], env=environment, capture_output=True, check=False
        ).returncode:
            print(f"{name}: NOT TESTED, this machine cannot run it", flush=True)
            continue
        print(f"{name}:", flush=True)
        tests = [sys.executable, "-m", "pytest", "-q", "-n", "auto", *TESTS]
        if subprocess.run(tests, env=environment, check=False).returncode:
            failed.append(name)
    print(f"failed with {', '.join(failed)}" if failed else "all passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
