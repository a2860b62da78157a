"""One process of several, which runs models: `python -m tests.backends.jax.one_process JOBS FOLDER`, and as which.

JOBS are names, where the model lies, and the mesh it is cut over, as JSON. The answers are in FOLDER/NAME.PROCESS.npz
once it is done, with the bytes of all arrays on this process's devices as `bytes`.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import orjson

from llminspect.backends.jax.hosts import join
from llminspect.backends.jax.settings import settings_of


def main(jobs: str, folder: Path, coordinator: str, process: str) -> None:
    number = join(settings_of(None, None, coordinator, process))
    # What imports JAX comes after that, as on the command line.
    import jax
    import numpy as np

    from llminspect.backends.jax.start import on_jax
    from llminspect.opening import open_model
    from tests.backends.jax.answers import answers_of_golden, answers_of_smollm2, several
    from tests.backends.jax.divided import quickly_compiled
    from tests.model.golden import NAMES

    jax.stages.Lowered.compile = quickly_compiled  # type: ignore[assignment, method-assign]
    for name, where, mesh in orjson.loads(jobs):
        sys.stderr.write(f"{name}\n")
        settings = settings_of(mesh, None, coordinator, process)
        model = on_jax(open_model(where, offline=True, streamed=True), settings)
        alive = jax.live_arrays()  # type: ignore[no-untyped-call]
        held = sum(shard.data.nbytes for array in alive for shard in array.addressable_shards)
        answers = answers_of_golden(model, several(name)) if name in NAMES else answers_of_smollm2(model)
        with (folder / f"{name}.{number}.part").open("wb") as file:
            np.savez(file, bytes=held, **answers)  # type: ignore[arg-type]
        (folder / f"{name}.{number}.part").rename(folder / f"{name}.{number}.npz")
        del model, answers, alive
        gc.collect()  # The arrays of this model, which are not to be counted with those of the next.


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[4], sys.argv[6])
