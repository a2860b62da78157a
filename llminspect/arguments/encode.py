"""The options of `encode --search`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from llminspect.arguments.option import Option
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.arguments.shared import SourceOptions


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search."""

    search: Annotated[
        str | None,
        Option("--search", metavar="GLOB", help="Find tokens by their text: ' the*', '*ing', '[A-Z]??'."),
    ] = None
    only: Annotated[
        Literal["special", "unreachable"] | None,
        Option("--only", help="With --search: special ones, or those that their own text never gives."),
    ] = None
    longest: Annotated[bool, Option("--longest", help="With --search: the longest first.")] = False
    limit: Annotated[int | None, Option("--limit", min=0, metavar="N", help="With --search: how many.")] = None

    def check(self, source: SourceOptions) -> None:
        """Raise UsageError where there is nothing to search for, or a text beside it."""
        if self.search is None:
            if self.only or self.longest or self.limit is not None:
                raise UsageError("--only, --longest and --limit belong to --search", "for all tokens: --search '*'")
        elif source.text is not None or source.file is not None or source.ids is not None or source.lines:
            raise UsageError("--search looks through the vocabulary, not through a text", "leave out the text")
