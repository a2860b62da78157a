"""How what was done to a model reads, below the name of each change: its length, what it reaches, what is aligned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.text import Text

from llminspect.core.numbers import number, ranges, several
from llminspect.render import theme
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.corpus import CorpusRead
    from llminspect.analysis.experiments import Experiment
    from llminspect.arguments.alignment import Aligned

DROWNS = 4
"""Times the stream's own length from which on little of the stream is left in the sum."""


def experiments_made(experiments: Sequence[Experiment]) -> list[Text]:
    """What was done, and for each direction that was added how long it is beside what it was added to."""
    made = ", ".join(f"{entry.kind} {entry.where} ({entry.what})" for entry in experiments)
    lines = [
        _length(entry.where, entry.length)
        for entry in experiments
        if entry.length is not None and math.isfinite(entry.length)
    ]
    lines += [_shared(entry) for entry in experiments if entry.heads is not None]
    lines += [_aligned(entry.aligned) for entry in experiments if entry.aligned is not None][:1]
    lines += [_read(entry.read) for entry in experiments if entry.read is not None][:1]
    if any(entry.taken_from is not None for entry in experiments):
        lines.append("each position gives what the same position of that text gives")
    return [Text(visible(made), theme.TITLE), *(Text(line, theme.QUIET) for line in lines)]


def _length(where: str, length: float) -> str:
    layer, _, part = where.partition(".")
    there = f"what stands at {where}"
    if part == "stream" or "feedforward." in part:
        there = f"the stream after layer {layer}"
    line = f"the direction is {number(length, 2)} times as long as {there}"
    return line + (" and drowns it" if length >= DROWNS else "")


def _shared(made: Experiment) -> str:
    heads, part = made.heads or [], made.where.split(".")[2]
    return f"heads {heads[0]} to {heads[-1]} share their {part}s: {made.where} is changed for all"


def _read(read: CorpusRead) -> str:
    more = "" if read.whole else "; there is more (--most)"
    return f"every position gives the mean over {several(read.pieces, 'piece')} of {several(read.files, 'file')}{more}"


def _aligned(aligned: Aligned) -> str:
    """Each run of positions beside that of the other text."""
    runs: list[list[tuple[int, int]]] = []
    for here, there in aligned.pairs:
        if runs and runs[-1][-1] == (here - 1, there - 1):
            runs[-1].append((here, there))
        else:
            runs.append([(here, there)])
    sides = [(ranges(here for here, _ in run), ranges(there for _, there in run)) for run in runs]
    line = "position = position of the other text: " + ", ".join(f"{here} = {there}" for here, there in sides)
    left = [(aligned.left_out, "here"), (aligned.left_out_there, "there")]
    out = " and ".join(f"{ranges(positions)} {where}" for positions, where in left if positions)
    return line + (f"; left out: {out}" if out else "")
