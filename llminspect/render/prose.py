"""Text as rich knows it, whose lines never end between a word and the number that it names.

Every view takes `Text` from here, so what is folded is folded in one way; what is printed has ordinary spaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich.text
from rich.cells import cell_len
from rich.console import Console
from rich.containers import Lines

from llminspect.core.words import HELD, held, released

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from rich.style import Style


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
        if settings.get("no_wrap") or self.no_wrap or cell_len(text) <= width or HELD in text:
            return super().wrap(console, width, **settings)
        made = self.copy()
        made.plain = held(text, width, cell_len)
        lines = super(Text, made).wrap(console, width, **settings)
        for line in lines:
            line.plain = released(line.plain)
        for line in lines[:-1]:
            line.rstrip()
        return lines
