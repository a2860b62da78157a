"""How `attend` shows what stands beside the target's own attention in an encoder–decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from llminspect.core.numbers import count
from llminspect.render.heatmap import head_map, heatmap
from llminspect.render.theme import QUIET, TITLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.cross_attention import CrossAttention
    from llminspect.core.array import Array

_EACH = 4
"""Up to so many heads are drawn one by one."""


def cross_attention(result: AttendResult, cross: CrossAttention, source: list[str]) -> Iterator[RenderableType]:
    """The attention to the source, by heads or as an overview as the target's own is."""
    target = [token["text"] for token in result.tokens]
    line = Text.assemble(("Who looks at the source (cross attention)", TITLE))
    line.append(f"  {count(len(target))} tokens of the target look at {count(len(source))} of the source", QUIET)
    yield line
    if result.selected and len(cross.heads) <= _EACH:
        for head in cross.heads:
            yield _weights(head.weights, target, source, f"Layer {head.layer} · head {head.head} · cross")
    else:
        entropy_LH = np.asarray(cross.entropy, float)
        yield head_map(entropy_LH, value_name="entropy", limits=(0, 1), max_rows=64)
        yield _weights(cross.mean, target, source, "The mean of the heads")
    yield Text("Each row is a token of the target, each column one of the source; a row sums to 1.", QUIET)


def _weights(weights_TS: Array, target: list[str], source: list[str], title: str) -> RenderableType:
    return heatmap(
        np.asarray(weights_TS, float),
        target,
        source,
        title=title,
        limits=(0, 1),
        fold="max",
        row_name="target",
        column_name="source",
        value_name="weight",
    )
