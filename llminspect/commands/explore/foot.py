"""What is said at the foot of the screen, in as few rows as it takes; no half of it is lost."""

from __future__ import annotations

from llminspect.render.safe import chop, shorten, width

ROWS_SHOWN = 4
"""At most so many rows."""
USEFUL = ("? keys", "q leave", "i text", "Tab pane", "Enter take", "u undo")
"""The keys that are named where nothing else is said, the most useful first."""


def foot_lines(word: str, room: int) -> str:
    """A sentence over as many rows of `room` cells as it takes. Of one that needs more than four the middle is left
    out: what was wrong stands at its beginning, what to do at its end.

    >>> foot_lines("there is no head 99 (they run from 0 to 8)", 24)
    'there is no head 99\\n(they run from 0 to 8)'
    """
    rows = _rows(word, room)
    if len(rows) > ROWS_SHOWN:
        half = ROWS_SHOWN * room // 2 - 2
        words = word.split(" ")
        start, end = _fitting(words, half), _fitting(words[::-1], half)
        word = f"{' '.join(start) or shorten(word, half)} … {' '.join(end[::-1])}"
        rows = _rows(word, room)[:ROWS_SHOWN]
    return "\n".join(rows)


def _rows(text: str, room: int) -> list[str]:
    rows = [""]
    for word in text.split(" "):
        for piece in chop(word, room) or [""]:
            joined = f"{rows[-1]} {piece}" if rows[-1] else piece
            if width(joined) <= room:
                rows[-1] = joined
            else:
                rows.append(piece)
    return rows


def _fitting(words: list[str], room: int) -> list[str]:
    found: list[str] = []
    for word in words:
        if width(" ".join([*found, word])) > room:
            break
        found.append(word)
    return found


def foot_keys(model: str, room: int) -> str:
    """As many of the useful keys as there is room for, then the model's name, shortened.

    >>> foot_keys("smollm2", 32)
    '? keys · q leave · i text · smo…'
    """
    line = ""
    for key in USEFUL:
        joined = f"{line} · {key}" if line else key
        if width(joined) > room:
            break
        line = joined
    left = room - width(line) - 3
    return f"{line} · {shorten(model, left)}" if left > 1 else line
