"""How `forward --score` looks: a line a continuation, the most probable first, and the tokens of those with several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group
from rich.text import Text

from llminspect.core.numbers import count, number, percent
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.entries import Entries
from llminspect.render.safe import shorten, visible
from llminspect.render.table import Cell, Column, SizedTable, first_fitting, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from llminspect.analysis.continuations import Continuation

OPENED, TOKENS = 10, 60
"""Continuations whose tokens are shown one by one, and how many of each."""
LONGEST = 120
"""Cells of a continuation."""
LOG = "log p: the natural logarithm of the probability of all its tokens, one after the other"
MEAN = "; a token: the same, divided by how many they are"
PLAIN = "; unchanged: log p without what was changed in the model"
SHARE = "; of these: its share of the probability of all these continuations"


def continuations(found: Sequence[Continuation]) -> RenderableType:
    """The table, and where a continuation is not just one token of its own, the tokens."""
    if not found:
        return Text("no continuation is shown (--top 0)", theme.QUIET)
    long = any("".join(token.text for token in each.tokens) != each.text or len(each.ids) > 1 for each in found)
    whole = first_fitting([_ranking(found, long, bars=True)], [_ranking(found, long, bars=False)])
    return Group(whole, Text(), _by_token(found[:OPENED], len(found))) if long else whole


def _ranking(found: Sequence[Continuation], long: bool, *, bars: bool) -> SizedTable:
    plain = found[0].baseline_logprob is not None
    rows: list[list[Cell]] = []
    for each in found:
        prob = percent(float(np.exp(each.logprob)), 2)
        name = Text(shorten(visible(each.text, True), LONGEST))
        rows.append([name, each.logprob, each.baseline_logprob, each.mean_logprob, prob, percent(each.share)])
        rows[-1].append(BarCell(each.share, 12))
    names = ("log p", "unchanged" if plain else None, "a token" if long else None, "probability", "of these")
    right = [None if name is None else Column(name, "right", whole=True) for name in names]
    return table(
        ["continuation", *right, "" if bars else None],
        rows,
        title="how probable it is that the text goes on like this",
        note=LOG + PLAIN * plain + MEAN * long + SHARE,
        strong=[0],
    )


def _by_token(found: Sequence[Continuation], given: int) -> RenderableType:
    rows: list[list[Cell]] = []
    for continuation in found:
        entries = [
            Text.assemble((visible(token.text, True), theme.STRONG), f" {number(token.logprob)}")
            for token in continuation.tokens[:TOKENS]
        ]
        entries += [Text("…")] * (len(continuation.tokens) > TOKENS)
        rows.append([Text(shorten(visible(continuation.text, True), LONGEST)), Entries(entries)])
    left = given - len(found)
    more = f"of the first {len(found)}; --json has those of the other {count(left)} as well" if left else ""
    return table(["continuation", "its tokens, each with its log p"], rows, note=more)
