"""A text cut into its tokens, as a strip of coloured pieces; the same strip coloured by a value a token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType
from rich.style import Style

from llminspect.core.numbers import column
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.ramp_key import Ramp, limits_of, ramp_key
from llminspect.render.safe import chop, fit, visible, width
from llminspect.render.section import Drawn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Kind = Literal["text", "special", "partial", "template"]
"""Of a token: part of the text, special (or added by the model), bytes that are not whole characters, or written by a
chat template."""

_BRACKETS = {"text": ("", ""), "special": ("⟦", "⟧"), "partial": ("‹", "›"), "template": ("⟨", "⟩")}
_TONES = {"special": theme.TOKENS_SPECIAL, "partial": theme.TOKENS_PARTIAL, "template": theme.TOKENS_TEMPLATE}
_NEUTRAL = Style()


@dataclass(frozen=True, slots=True)
class _Piece:
    """What stands in one place of the strip: text over an optional note (its id, its value)."""

    text: str
    note: str
    style: Style
    ends_line: bool


def token_strip(
    texts: Sequence[str], kinds: Sequence[Kind] | None = None, *, ids: Sequence[int] | None = None
) -> Drawn:
    """Tokens side by side, each on its own background; `ids` stand under them.

    Spaces show as ·, and a newline as ⏎, which also ends the line. Without colour, tokens are parted by │, special
    ones in ⟦ ⟧, partial ones in ‹ ›, those of a template in ⟨ ⟩. Without `kinds`, a token that holds U+FFFD
    counts as partial.
    """
    pieces, plain = [], []
    for index, text in enumerate(texts):
        kind: Kind = kinds[index] if kinds is not None else "partial" if "\ufffd" in text else "text"
        tones = _TONES.get(kind, theme.TOKENS)
        style = tones[index % len(tones)]
        note = str(ids[index]) if ids is not None else ""
        shown = visible(text, spaces=True) or "∅"
        before, after = _BRACKETS[kind]
        pieces.append(_Piece(shown, note, style, "\n" in text))
        plain.append(_Piece(before + shown + after, note, style, "\n" in text))
    return _strip(pieces, plain)


def value_strip(
    texts: Sequence[str],
    values: ArrayLike,
    *,
    scale: theme.Scale = "sequential",
    limits: tuple[float, float] | None = None,
    numbers: bool = False,
    name: str = "",
    key: bool = True,
) -> Drawn:
    """Tokens side by side, each coloured by its value (NaN: none), with the `key` of the colours below.

    For surprisal, saliency or one row of attention. `limits` are the values at the ends of the ramp (by default those
    of the data, around 0 for a diverging scale); `name` says in the key what is shown, with its unit. `numbers` puts
    the value under each token; without colour they always stand there.
    """
    array = np.asarray(values, dtype=float)
    ramp = Ramp(scale, *limits_of(array, scale, limits))
    notes = [text if np.isfinite(value) else "" for text, value in zip(column(array, 3), array, strict=True)]
    pieces = []
    for text, value, note in zip(texts, array, notes, strict=True):
        style = theme.cell_style(scale, ramp.place(value)) if np.isfinite(value) else _NEUTRAL
        pieces.append(_Piece(visible(text, spaces=True) or "∅", note.strip(), style, "\n" in text))
    bare = [_Piece(piece.text, "", piece.style, piece.ends_line) for piece in pieces]
    below = ramp_key(array, ramp, name=name, written=True) if key else None
    return _strip(pieces if numbers else bare, pieces, below, gap=" ")


def _strip(pieces: list[_Piece], plain: list[_Piece], key: Drawn | None = None, gap: str = "") -> Drawn:
    """`plain` where there is no colour; a `gap` where neighbours may have one colour."""

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        colors = theme.has_colors(console)
        shown = pieces if colors else plain
        noted = any(piece.note for piece in shown)
        separator = (" " if noted else gap) if colors else "│"
        for line in _lines(shown, max(4, options.max_width), len(separator), noted):
            yield _row([(piece.text, piece.style if colors else Style()) for piece in line], separator)
            if noted:
                yield _row([(piece.note, theme.QUIET) for piece in line], separator)
        if key is not None:
            yield key

    return Drawn(draw)


def _lines(pieces: list[_Piece], room: int, gap: int, noted: bool) -> Iterator[list[_Piece]]:
    """The pieces broken into lines; one that is longer than a line is cut, its note under the first part."""
    line: list[_Piece] = []
    used = 0
    for piece in pieces:
        parts = chop(piece.text, room)
        for index, part in enumerate(parts):
            note = piece.note if index == 0 else ""
            size = max(width(part), width(note)) if noted else width(part)
            if line and used + gap + size > room:
                yield line
                line, used = [], 0
            used += size + (gap if line else 0)
            last = index == len(parts) - 1
            line.append(_Piece(fit(part, size), fit(note, size), piece.style, piece.ends_line and last))
        if piece.ends_line:
            yield line
            line, used = [], 0
    if line:
        yield line


def _row(cells: list[tuple[str, Style]], separator: str) -> Text:
    row = Text(no_wrap=True, overflow="crop")
    for index, (text, style) in enumerate(cells):
        if index and separator:
            row.append(separator, theme.LINE)
        row.append(text, style)
    return row
