"""Run the benchmark, or the sections that are named, and print what it measured as Markdown."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.bench import engines, explore, growth, large, lookup, passes, research, shares, start, texts
from tests.bench.measure import environment
from tests.bench.report import Bench, machine
from tests.bench.shapes import SHAPES

SECTIONS = {
    "start": start.start,
    "first": start.first_use,
    "prompts": passes.prompts,
    "shares": shares.shares,
    "decoding": passes.decoding,
    "lookup": lookup.lookup,
    "engines": engines.engines,
    "explore": explore.explore,
    "research": research.research,
    "tokens": texts.tokens,
    "counting": texts.counting,
    "lens": growth.lens,
    "memory": growth.memory,
    "long": growth.long_texts,
    "growth": growth.growth,
    "large": large.large,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", choices=[*SECTIONS, []], help=f"of {', '.join(SECTIONS)}; all by default"
    )
    parser.add_argument("--rounds", type=int, default=7, help="runs of each contender (default 7)")
    parser.add_argument("--folder", type=Path, help="for large: where its files are kept (else made and removed)")
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=(), help="for large: only these")
    parser.add_argument("--lengths", nargs="+", type=int, default=(), help="for large: passes of so many tokens")
    parser.add_argument("--plain", action="store_true", help="for large: --kernels none as well, which takes long")
    given = parser.parse_args()
    if environment() != dict(os.environ):  # Some sections measure in this process.
        os.execve(sys.executable, [sys.executable, "-m", "tests.bench", *sys.argv[1:]], environment())
    more = {"folder": given.folder, "sizes": tuple(given.sizes), "plain": given.plain, "lengths": tuple(given.lengths)}
    bench = Bench(rounds=given.rounds, **more)
    bench.scratch.mkdir(exist_ok=True)
    machine(bench)
    for name in given.sections or SECTIONS:
        SECTIONS[name](bench)


if __name__ == "__main__":
    main()
