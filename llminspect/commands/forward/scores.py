"""How `forward --score` looks: a line a continuation, the most probable first, and the tokens of those with several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group
from rich.text import Text

from llminspect.core.numbers import count, number, percent
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.safe import visible
from llminspect.render.table import Cell, Column, SizedTable, first_fitting, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from llminspect.analysis.continuations import Continuation

OPENED = 10
"""Continuations whose tokens are shown one by one."""
LOG = "log p: the natural logarithm of the probability of all its tokens, one after the other"
MEAN = "; a token: the same, divided by how many they are"
SHARE = "; of these: its part of what the continuations of this table have together"


def continuations(found: Sequence[Continuation]) -> RenderableType:
    """The table, and where there is more than one token in some, each of them."""
    long = any(len(continuation.ids) > 1 for continuation in found)
    whole = first_fitting([_ranking(found, long, bars=True)], [_ranking(found, long, bars=False)])
    return Group(whole, Text(), _by_token(found[:OPENED], len(found))) if long else whole


def _ranking(found: Sequence[Continuation], long: bool, *, bars: bool) -> SizedTable:
    chances = np.exp([continuation.logprob - found[0].logprob for continuation in found])
    rows: list[list[Cell]] = []
    for continuation, share in zip(found, (chances / chances.sum()).tolist(), strict=True):
        scores = [continuation.logprob, continuation.mean_logprob]
        prob = percent(float(np.exp(continuation.logprob)), 2)
        rows.append([Text(visible(continuation.text, True)), *scores, prob, percent(share), BarCell(share, 12)])
    names = ("log p", "a token" if long else None, "probability", "of these")
    right = [None if name is None else Column(name, "right", whole=True) for name in names]
    return table(
        ["continuation", *right, "" if bars else None],
        rows,
        title="how probable it is that the text goes on so",
        note=LOG + MEAN * long + SHARE,
        strong=[0],
    )


def _by_token(found: Sequence[Continuation], given: int) -> RenderableType:
    rows: list[list[Cell]] = []
    for continuation in found:
        line = Text()
        for token in continuation.tokens:
            line.append(visible(token.text, True), theme.STRONG)
            line.append(f"\u00a0{number(token.logprob)}   ", theme.QUIET)
        rows.append([Text(visible(continuation.text, True)), line])
    left = given - len(found)
    more = f"of the first {len(found)}; --json has those of the other {count(left)} as well" if left else ""
    return table(["continuation", "its tokens, each with its log p"], rows, note=more)
