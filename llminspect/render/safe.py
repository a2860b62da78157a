"""Text from strangers, shown and never executed.

Token text may hold escape sequences, bidirectional overrides, half characters, things without width. `visible` gives
each of them a printable stand-in; every function of this package passes what it is given through it.
"""

from __future__ import annotations

import sys
import unicodedata

from rich.cells import cell_len, set_cell_size

_NAMED = {"\n": "⏎", "\t": "⇥", "\x7f": "␡"}

# Printable by category but without width or ink: Default_Ignorable_Code_Point of Unicode, less what is Cf anyway.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)


def visible(text: str, spaces: bool = False) -> str:
    """`text` with everything that a terminal would obey, hide or reorder replaced by a printable mark.

    Newline is ⏎, tab ⇥, other control characters their pictures (␛), what has no picture its code point (‹U+202E›),
    a byte that is not text (a surrogate escape) ‹0xE2›. With `spaces`, a space is · and other blanks are marked. A
    combining mark in front gets a circle to sit on. Idempotent, and the result always encodes as UTF-8.
    """
    text = _printable(text, spaces)
    return text.replace(" ", "·") if spaces else text


def natural(name: str) -> list[tuple[int, str]]:
    """What names are sorted by so that their numbers are in order: 3.2 before 3.10.

    >>> sorted(["3.10", "3.2.key", "embedding", "3.2"], key=natural)
    ['3.2', '3.2.key', '3.10', 'embedding']
    """
    return [(int(part), "") if part.isascii() and part.isdigit() else (sys.maxsize, part) for part in name.split(".")]


def label(text: str) -> str:
    """`visible(text)` as the label of a row, a bar or a point: spaces at its ends are ·, those inside stay; "" is ∅.

    So " Bob" is told from "Bob", and "layer 3" is not disfigured.
    """
    inner = text.strip(" ")
    before = len(text) - len(text.lstrip(" "))
    after = len(text) - before - len(inner)
    return "·" * before + _printable(inner, True) + "·" * after or "∅"


def quoted(text: str) -> str:
    """A token, or a text, that stands in a sentence: “·to” can be told from the sentence's own words."""
    return f"“{label(text)}”"


def _printable(text: str, blanks: bool) -> str:
    """Everything but letters, marks, symbols and spaces replaced by its mark; with `blanks` also unusual spaces."""
    if text.isascii() and text.isprintable():
        return text
    text = "".join(char if char.isprintable() and char not in _INVISIBLE else _mark(char, blanks) for char in text)
    return "◌" + text if text and unicodedata.combining(text[0]) else text


def _mark(char: str, blanks: bool) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if code < 0x20:
        return chr(0x2400 + code)
    if 0xDC80 <= code <= 0xDCFF:
        return f"‹0x{code - 0xDC00:02X}›"
    if unicodedata.category(char) == "Zs" and not blanks:
        return char
    return f"‹U+{code:04X}›"


width = cell_len
"""Terminal cells that a text takes: 2 for a CJK character or an emoji, 0 for a combining mark."""


def shorten(text: str, cells: int) -> str:
    """`text` cut to at most `cells` cells, with … where something was cut."""
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, cells - 1).rstrip() + "…" if cells > 0 else ""


def fit(text: str, cells: int, align: str = "left") -> str:
    """`text` shortened or padded to exactly `cells` cells; `align` is left, right or center."""
    text = shorten(text, cells)
    room = cells - cell_len(text)
    before = {"left": 0, "right": room, "center": room // 2}[align]
    return " " * before + text + " " * (room - before)


def chop(text: str, cells: int) -> list[str]:
    """`text` cut into pieces of at most `cells` cells each, nothing lost; a wide character is never halved."""
    pieces, piece, used = [], "", 0
    for char in text:
        size = cell_len(char)
        if used + size > cells and piece:
            pieces.append(piece)
            piece, used = "", 0
        piece, used = piece + char, used + size
    return [*pieces, piece] if piece else pieces
