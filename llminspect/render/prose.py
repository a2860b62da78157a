"""Text as rich knows it, whose lines never end between a word and the number that it names.

Every view takes `Text` from here, so what is folded is folded in one way; what is printed has ordinary spaces.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import rich.text
from rich.cells import cell_len
from rich.console import Console
from rich.containers import Lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from rich.style import Style

_HELD = "\ue000"
"""Stands for a space while lines are made, at which none may end. `visible` lets nobody else write it."""
_NAMED = re.compile(
    r"[(“]?(after|layer|head|position|token|step|row|unit|neuron|feature|expert|id|rank|sample|line|pair|part|place|"
    r"text|segment|stream|number|dimension|message|seed|vector|index|byte|version|turn|change|column)s?",
    re.IGNORECASE,
)
"""A word that a number names one of."""
_NUMBER = re.compile(r"[(“~<>≤≥#]?[+−-]?\d[\d.,]*[%°]?")
_COUNTED = re.compile(r"[a-zµ]\S*")
_ENDS = (",", ".", ";", ":", ")", "”")
_BEFORE = frozenset("━─╌▼…●○█▒░┈│■◆→←×=+−-/≈±‖")
"""Signs that stay with what follows: those that a key explains, and those of a formula."""
_BETWEEN = frozenset("×±≈‖")
"""Signs that stay with what stands on either side."""
_HEAD = re.compile(r"layer \d+ · head \d+", re.IGNORECASE)


class Text(rich.text.Text):
    """rich's, with words and numbers that stay together."""

    if TYPE_CHECKING:  # rich gives back what it is called on, and declares less.

        def append(self, text: rich.text.Text | str, style: str | Style | None = None) -> Self: ...

        def append_text(self, text: rich.text.Text) -> Self: ...

        def join(self, lines: Iterable[rich.text.Text]) -> Self: ...

        @classmethod
        def assemble(cls, *parts: str | rich.text.Text | tuple[str, str | Style | None], **settings: Any) -> Self: ...

    def blank_copy(self, plain: str = "") -> Text:
        made = Text(plain, self.style, justify=self.justify, overflow=self.overflow, no_wrap=self.no_wrap)
        made.end, made.tab_size = self.end, self.tab_size
        return made

    def copy(self) -> Text:
        made = self.blank_copy(self.plain)
        made.spans = list(self.spans)
        return made

    def wrap(self, console: Console, width: int, **settings: Any) -> Lines:
        """The lines, as rich makes them of a text in which what stays together is one word."""
        text = self.plain
        if settings.get("no_wrap") or self.no_wrap or cell_len(text) <= width or _HELD in text:
            return super().wrap(console, width, **settings)
        made = self.copy()
        made.plain = _held(text, width)
        lines = super(Text, made).wrap(console, width, **settings)
        for line in lines:
            line.plain = line.plain.replace(_HELD, " ")
        for line in lines[:-1]:
            line.rstrip()
        return lines


def _held(text: str, cells: int) -> str:
    """`text` with marks in place of the spaces at which no line ends; not where a line would be too short for it."""
    made = _HEAD.sub(lambda found: found[0].replace(" ", _HELD), text)
    words = [(found.start(), found[0]) for found in re.finditer(r"[^\s\ue000]+", made)]
    held = list(made)
    for at in range(len(words) - 1):
        (_, before), (start, left), (following, right) = words[max(at - 1, 0)], words[at], words[at + 1]
        if following == start + len(left) + 1 and text[following - 1] == " " and _together(before, left, right):
            held[following - 1] = _HELD
    return "".join(
        part.replace(_HELD, " ") if cell_len(part) > cells else part for part in re.split(r"(\s+)", "".join(held))
    )


def _together(before: str, left: str, right: str) -> bool:
    """Whether a line may not end between `left` and `right`."""
    if left.removeprefix("(") in _BEFORE or right in _BETWEEN:
        return True
    if re.match(r"\(?--\w", left):  # An option, with its value.
        return not right.startswith("-")
    if _NAMED.fullmatch(left):
        return _NUMBER.match(right) is not None
    # A number of things, "64 steps"; the number of one, as in "layer 10 of", stands with the word in front.
    counts = _NUMBER.fullmatch(left) and not left.endswith(_ENDS) and not _NAMED.fullmatch(before)
    return bool(counts and _COUNTED.match(right))
