"""The options of `encode`."""

from __future__ import annotations

from typing import ClassVar, Literal

from llminspect.arguments.option import option
from llminspect.arguments.shared import workers_option
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search."""

    heading: ClassVar[str] = "What to look for"
    example: ClassVar[str] = "encode --search paris"

    search: str | None = option(metavar="GLOB", help="Find tokens by their text: ' the*', '*ing', '[A-Z]??'.")
    only: Literal["special", "unreachable"] | None = option(
        help="With --search: only special tokens, or only those that tokenizing their own text never gives."
    )
    longest: bool = option(False, help="With --search: the longest first.")
    limit: int | None = option(min=0, metavar="N", help="With --search: how many.")


@dataclass(frozen=True)
class EncodeOptions:
    """In which direction, and how it is shown."""

    heading: ClassVar[str] = "What to write"
    example: ClassVar[str] = "encode hello --one-hot"

    decode: bool = option(
        False, help="Back to text: TEXT (or standard input, --file, --ids) holds ids; a text is encoded and decoded."
    )
    one_hot: bool = option(False, help="One row for each token: 1 at its id, 0 elsewhere.")
    letters: bool = option(False, help="The letter code, A = 1, B = 2; as --model letters.")
    workers: int | None = workers_option()
