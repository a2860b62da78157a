"""One of everything, with texts that a stranger could have written; and how it looks, as text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import numpy as np
from rich.console import Console

from llminspect.render.bars import histogram, probability_bars, signed_bars, sparkline
from llminspect.render.heatmap import head_map, heatmap
from llminspect.render.plot import scatter
from llminspect.render.section import steps
from llminspect.render.table import Column, key_values, table
from llminspect.render.token_strip import token_strip, value_strip
from llminspect.render.tree import Branch, branch_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from rich.console import RenderableType

Color = Literal["standard", "256", "truecolor"] | None

WORDS = ["Alice", " gave", " Bob", " her", " book"]
STRANGE = ["[/", "\x1b[31m", "a\nb", "\u202eevil", "日本", "\ufffd", "\udc80", "👩🏽", "", "\x9b2J"]


def shown(renderable: RenderableType, width: int = 80, color: Color = None) -> str:
    """What a console of `width` columns prints; `color` is None for plain text."""
    stream = io.StringIO()
    terminal = color is not None
    console = Console(
        file=stream,
        width=width,
        force_terminal=terminal,
        color_system=color,
        _environ={},
        legacy_windows=False,
    )
    console.print(renderable)
    return stream.getvalue()


def lines(renderable: RenderableType, width: int = 80, color: Color = None) -> list[str]:
    return [line.rstrip() for line in shown(renderable, width, color).splitlines()]


def causal(size: int, seed: int = 0) -> NDArray[np.float64]:
    """Attention weights as a causal model has them: rows sum to one, the future is NaN."""
    weights = np.exp(2 * np.random.default_rng(seed).normal(size=(size, size)))
    weights = np.tril(weights)
    weights /= weights.sum(axis=1, keepdims=True)
    weights[np.triu_indices(size, 1)] = np.nan
    return weights


def wave(rows: int, columns: int) -> NDArray[np.float64]:
    """Values with a sign and no randomness, for pictures that are compared letter by letter."""
    row, column = np.indices((rows, columns))
    return np.asarray(np.sin(column / 7 + row) * (1 + row) / rows)


def strange(count: int) -> list[str]:
    return [STRANGE[index % len(STRANGE)] for index in range(count)]


EVERYTHING: dict[str, Callable[[Sequence[str]], RenderableType]] = {
    "token strip": lambda texts: token_strip(texts),
    "token strip with ids": lambda texts: token_strip(texts, ids=range(len(texts))),
    "value strip": lambda texts: value_strip(texts, np.arange(len(texts)), name=texts[0]),
    "table": lambda texts: table([*texts], [texts, texts], title=texts[0], note=texts[1]),
    "table of tokens": lambda texts: table([Column("token", spaces=True), "n"], [(text, 1.5) for text in texts]),
    "key values": lambda texts: key_values([(text, text) for text in texts]),
    "heatmap": lambda texts: heatmap(
        causal(len(texts)), texts, texts, title=texts[0], row_name=texts[1], column_name=texts[1], value_name=texts[0]
    ),
    "heatmap of many columns": lambda texts: heatmap(wave(len(texts), 300), texts, scale="diverging"),
    "heatmap with a legend": lambda texts: heatmap(wave(3, len(texts) * 4), None, [*texts] * 4, numbers=False),
    "head map": lambda texts: head_map(wave(2, len(texts)), title=texts[0], marks=[texts, texts]),
    "probability bars": lambda texts: probability_bars(texts, np.linspace(0, 1, len(texts)), title=texts[0]),
    "signed bars": lambda texts: signed_bars(texts, np.linspace(-1, 1, len(texts)), title=texts[0]),
    "steps": lambda texts: steps([texts, texts], title=texts[0]),
    "tree": lambda texts: branch_tree(
        texts[0], [Branch(text, 0.5, (Branch(text, 0.1),), True) for text in texts], title=texts[0]
    ),
    "scatter": lambda texts: scatter(wave(len(texts), 2), texts, axes=(texts[0], texts[1]), title=texts[0]),
    "scatter of groups": lambda texts: scatter(np.zeros((len(texts), 2)), texts, groups=texts),
    "histogram": lambda texts: histogram(np.arange(len(texts)), title=texts[0], name=texts[1]),
    "sparkline": lambda texts: sparkline(np.arange(len(texts))),
}
