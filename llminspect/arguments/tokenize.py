"""What the command line asks of `tokenize`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from llminspect.arguments.experiments import Texts
from llminspect.arguments.option import Option
from llminspect.arguments.ranges import shortened
from llminspect.arguments.shared import Workers
from llminspect.arguments.together import check_together
from llminspect.errors import UsageError


@dataclass(frozen=True)
class TokenizeOptions:
    """The options that only `tokenize` has."""

    compare: Annotated[
        Texts | None,
        Option(
            "--compare",
            "-c",
            metavar="NAME",
            help="Once for each tokenizer to set side by side; with one, beside --model.",
        ),
    ] = None
    count: Annotated[bool, Option("--count", help="Only how many tokens.")] = False
    workers: Workers = None
    steps: Annotated[bool, Option("--steps", help="How the tokens came to be: pieces, merges, matches.")] = False
    cost: Annotated[
        str | float | None,
        Option("--cost", metavar="PRICE", help="What they cost, PRICE a million: 2.50, '$2.50', '2 EUR'."),
    ] = None
    max_tokens_allowed: Annotated[
        int | None,
        Option("--max-tokens-allowed", min=0, metavar="N", help="End with exit code 4 where there are more."),
    ] = None
    truncate: Annotated[
        int | None, Option("--truncate", min=0, metavar="N", help="Write the text cut to at most N tokens.")
    ] = None
    side: Annotated[Literal["start", "end"], Option("--side", help="With --truncate: where to cut off.")] = "end"
    inside_characters: Annotated[
        bool, Option("--inside-characters", help="With --truncate: the cut may fall inside a character.")
    ] = False

    @cached_property
    def price(self) -> tuple[float, str] | None:
        """The price per million tokens and its currency. Raises UsageError."""
        return None if self.cost is None else parse_price(str(self.cost))

    def check(self, *others: Any) -> None:
        """Raise UsageError for options that do not go together, and for a price that is none."""
        _ = self.price
        check_together("tokenize", self, *others)


def parse_price(text: str) -> tuple[float, str]:
    """`2.50`, `$2.50`, `2.50 EUR` as the number and the currency as it was given. Raises UsageError."""
    match = re.fullmatch(r"\s*([^\d.\s-]*)\s*([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})\s*([^\d.\s-]*)\s*", text)
    if match is None or (match[1] and match[3]):
        raise UsageError(
            f"--cost {shortened(text)!r} is not a price",
            "a number, with its currency or without: 2.50, '$2.50', '2 EUR'",
        )
    return float(match[2]), match[1] or match[3]
