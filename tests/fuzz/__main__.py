"""`python -m tests.fuzz --count 100000 [TARGET …]`: the fuzzers, for as long as one likes.

Each input follows from the target, the seed and its number, so whatever fails can be made again. An input runs in a
process of its own kind with bounds on time and memory; what ends it in any other way than a model or one line is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.work import Counts, work

SHARED_MEMORY = Path("/dev/shm")


def main() -> None:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], default=[])
    parser.add_argument("--count", type=int, default=10_000, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where to put what was found")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if options.worker:
        work(names[0], options.seed, options.start, options.count, options.keep)
        return
    total = Counts()
    for name in names:
        total += run(name, options.seed, options.start, options.count, options.keep)
    print(f"{'all':12} {total}")


def run(name: str, seed: int, start: int, count: int, keep: Path) -> Counts:
    """One target, its worker started anew after each input that ends the process."""
    counts, at, began = Counts(), start, time.monotonic()
    while at < start + count:
        with TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
            command = [sys.executable, "-m", "tests.fuzz", name, "--worker"]
            command += ["--seed", str(seed), "--start", str(at), "--count", str(start + count - at)]
            environment = {**os.environ, "LLMINSPECT_HOME": f"{folder}/home", "TMPDIR": folder, "RUST_BACKTRACE": "0"}
            ran = subprocess.run(
                [*command, "--keep", str(keep)], env=environment, stdout=subprocess.PIPE, text=True, check=False
            )
            report = json.loads(Path(folder, "report.json").read_text())
        counts += Counts(**report["counts"])
        if ran.returncode != 0:  # The process died of this input.
            counts += Counts(inputs=1, findings=1)
            print(f"{name} {report['at']}: the process ended with {ran.returncode}", flush=True)
            report["at"] += 1
        at = report["at"]
    print(f"{name:12} {counts}; {time.monotonic() - began:,.0f} s", flush=True)
    return counts


if __name__ == "__main__":
    main()
