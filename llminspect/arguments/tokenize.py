"""What the command line asks of `tokenize`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from llminspect.arguments.option import Texts, option
from llminspect.arguments.ranges import shortened
from llminspect.arguments.shared import workers_option
from llminspect.arguments.together import check_together
from llminspect.errors import UsageError


@dataclass(frozen=True)
class TokenizeOptions:
    """The options that only `tokenize` has."""

    compare: Texts | None = option(
        None,
        "--compare",
        "-c",
        metavar="NAME",
        help="Once for each tokenizer to set side by side; with one, beside --model.",
    )
    count: bool = option(False, help="Only how many tokens.")
    workers: int | None = workers_option()
    steps: bool = option(False, help="How the tokens came to be: pieces, merges, matches.")
    cost: str | float | None = option(metavar="PRICE", help="What they cost, PRICE a million: 2.50, '$2.50', '2 EUR'.")
    max_tokens_allowed: int | None = option(min=0, metavar="N", help="End with exit code 4 where there are more.")
    truncate: int | None = option(min=0, metavar="N", help="Write the text cut to at most N tokens.")
    side: Literal["start", "end"] = option("end", help="With --truncate: where to cut off.")
    inside_characters: bool = option(False, help="With --truncate: the cut may fall inside a character.")

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
