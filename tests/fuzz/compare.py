"""`python -m tests.fuzz.compare --count 20000`: what is accepted here and by the `gguf` and `safetensors` packages.

The inputs are the fuzzers'. Where only one of the two accepts, our own words for the refusal (or the package's) are
counted by kind.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from llminspect.errors import UserError
from llminspect.files.gguf import GGUFFile
from llminspect.files.safetensors import SafetensorsFile
from tests.fuzz.targets import TARGETS
from tests.fuzz.work import input_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Verdict = str | None
    """None: accepted; otherwise why not."""

LONGEST = 2.0
"""Seconds that a package may take: it believes a count of 2^62 and starts counting."""
OPENED: dict[str, type[GGUFFile | SafetensorsFile]] = {"gguf": GGUFFile, "safetensors": SafetensorsFile}


def ours(name: str, path: Path) -> Verdict:
    try:
        OPENED[name](path).close()
    except UserError as error:
        return error.message
    return None


def package(name: str, path: Path) -> Verdict:
    """What the format's own package says. Its errors are of any kind, and it writes remarks."""
    import gguf
    import numpy as np
    import safetensors

    signal.signal(signal.SIGVTALRM, _too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)  # Processor time: another program's work is not its own.
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if name == "gguf":
                gguf.GGUFReader(path)
            else:
                safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None


def _too_long(_: int, frame: FrameType | None) -> None:
    file = "" if frame is None else frame.f_code.co_filename
    if file != __file__ and f"{os.sep}gguf{os.sep}" not in file:
        # What is raised while Python gives memory back (callbacks of weak references, of the collector) reaches nobody,
        # so only the package's own code is interrupted: a little later.
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)
        return
    raise TimeoutError("longer than it may take")


def kind(message: str) -> str:
    """A message without what differs from file to file."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\[[^]]*\]|-?\d[\d,.]*", "_", message.removeprefix("model.bin "))[:70]


def compared(name: str, seed: int, start: int, count: int) -> Iterator[tuple[int, Verdict, Verdict]]:
    """For each input its number, our verdict and the package's."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        for number in range(start, start + count):
            path.write_bytes(input_for(TARGETS[name], name, seed, number))
            yield number, ours(name, path), package(name, path)


def main(show: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.compare")
    parser.add_argument("names", nargs="*", choices=[*OPENED, []], default=[])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.names or OPENED:
        both = neither = 0
        only: dict[str, Counter[str]] = {"only here": Counter(), "only by the package": Counter()}
        for _, mine, its in compared(name, options.seed, 0, options.count):
            both, neither = both + (mine is its is None), neither + (None not in (mine, its))
            if mine is None and its is not None:
                only["only here"][kind(its)] += 1
            elif mine is not None and its is None:
                only["only by the package"][kind(mine)] += 1
        show(f"{name}: {options.count:,} inputs, {both:,} accepted by both, {neither:,} by neither")
        for who, kinds in only.items():
            show(f"  {kinds.total():,} accepted {who}" + ("; the other says" if kinds else ""))
            for what, times in kinds.most_common():
                show(f"    {times:6,}  {what}")


if __name__ == "__main__":
    main()
