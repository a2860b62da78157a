"""The options of `encode`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from llminspect.arguments.option import Option
from llminspect.arguments.shared import Workers


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


@dataclass(frozen=True)
class EncodeOptions:
    """In which direction, and how it is shown."""

    decode: Annotated[
        bool,
        Option(
            "--decode",
            help="Back to text: TEXT (or standard input, --file, --ids) holds ids; of a text, there and back.",
        ),
    ] = False
    one_hot: Annotated[bool, Option("--one-hot", help="A row a token: 1 at its id, 0 elsewhere.")] = False
    letters: Annotated[bool, Option("--letters", help="The letter code, A = 1, B = 2; as --model letters.")] = False
    workers: Workers = None
