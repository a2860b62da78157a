"""What the command line asks of `tokenize` and `encode`."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from llminspect.arguments.option import Texts, argument, option
from llminspect.arguments.ranges import shortened
from llminspect.arguments.shared import workers_option
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.files.prices import ListedPrice

THIS_MODEL = "model"
"""As `--cost`: the price of the model in whose tokens is counted."""


class ModelName(str):
    """A name for which a price is looked up, whatever it looks like."""


Options = TypeVar("Options", bound="CountOptions")


@dataclass(frozen=True)
class CountOptions:
    """The options of counting, of one text or of files."""

    heading: ClassVar[str] = "What to count"
    example: ClassVar[str] = "tokenize --count --file notes.txt"

    cost: str | float | None = option(
        metavar="PRICE|NAME",
        help="What the tokens cost: a price per million (2.50, '$2.50', '2 EUR'), a name of the price table (gpt-4o; "
        "some of OpenAI, Anthropic, Google, Mistral and DeepSeek, others with --prices), or `model`: that of --model. "
        "Where the tokens are not that model's, the output says that the cost is an estimate.",
    )
    prices: Path | None = option(
        metavar="FILE",
        help='With --cost NAME: your own prices per million tokens, in a JSON file like {"models": {"mine": 1.2}}.',
    )
    max_tokens_allowed: int | None = option(
        min=0, metavar="N", help="End with exit code 4 where a text has more tokens."
    )
    budget: int | None = option(
        min=0, metavar="N", help="With --count: exit code 4 where all texts together have more tokens."
    )
    top_files: int | None = option(min=0, metavar="N", help="Of several files: name only the N with the most tokens.")
    workers: int | None = workers_option()

    @cached_property
    def price(self) -> ListedPrice | None:
        """The price per million tokens. Raises UsageError for what is none, UserError for a table that is none."""
        if self.cost is None:
            return None
        from llminspect.files.prices import ListedPrice, price_table

        text = str(self.cost)
        given = None if isinstance(self.cost, ModelName) or self.prices is not None else parse_price(text)
        if given is not None:
            return ListedPrice(None, *given)
        table = price_table(self.prices)
        if text not in table:
            from difflib import get_close_matches

            near = get_close_matches(text.casefold(), table, 3) or list(table)[:3]
            raise UsageError(
                f"--cost {shortened(text)!r} is neither a price nor a name in {self.prices or 'the price table'}",
                "a price of your own needs no --prices"
                if self.prices is not None and parse_price(text)
                else f"a price per million (2.50, '2 EUR'), or one of {len(table)} names, such as {', '.join(near)}",
            )
        return table[text]

    def for_model(self: Options, name: str) -> Options:
        """The same where tokens of the model of this name are counted: its price, if that is wanted."""
        return replace(self, cost=ModelName(name)) if self.cost == THIS_MODEL else self

    @property
    def most(self) -> int | None:
        """How many tokens one text may have."""
        return self.budget if self.max_tokens_allowed is None else self.max_tokens_allowed


@dataclass(frozen=True)
class TokenizeOptions(CountOptions):
    """The options that only `tokenize` has."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = 'tokenize "A cat sat." --compare bytes'

    paths: Texts | None = argument(
        None, metavar="[PATH]...", help="With --count and --file: more files and folders.", show_default=False
    )
    compare: Texts | None = option(
        None,
        "--compare",
        "-c",
        metavar="NAME",
        completes="tokenizers",
        help="Compare with this tokenizer; repeatable. One alone is compared with that of --model.",
    )
    count: bool = option(False, help="Only how many tokens. With --file PATH PATH …: of files and folders, as a table.")
    by_line: bool = option(False, help="With --count: the tokens of each line of the text, the most first.")
    steps: bool = option(False, help="How the tokens were made: pieces, merges, matches.")
    watch: bool = option(False, help="Draw the tokens again at each key while you type the text; Enter keeps them.")
    truncate: int | None = option(min=0, metavar="N", help="Write the text cut to at most N tokens.")
    side: Literal["start", "end"] = option("end", help="With --truncate: where to cut off.")
    inside_characters: bool = option(False, help="With --truncate: the cut may fall inside a character.")

    def check(self) -> None:
        """Raise UsageError for a price that is none."""
        if self.cost not in (None, THIS_MODEL):
            _ = self.price


def parse_price(text: str) -> tuple[float, str] | None:
    """`2.50`, `$2.50`, `2.50 EUR` as the number and the currency as it was given; None for what is no price."""
    match = re.fullmatch(r"\s*([^\d.\s-]*)\s*([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})\s*([^\d.\s-]*)\s*", text)
    if match is None or (match[1] and match[3]):
        return None
    from unicodedata import category

    currency = match[1] or match[3]
    if not all(character.isalpha() or category(character) == "Sc" for character in currency):
        return None
    return float(match[2]), currency


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
