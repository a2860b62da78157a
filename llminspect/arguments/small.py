"""The options of the commands without a file of their own: tokenize, encode, embed, diff, walk, and of the models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from llminspect.arguments.option import Texts, argument, each, option
from llminspect.arguments.ranges import Ids, shortened
from llminspect.arguments.shared import offline_option, revision_option, workers_option
from llminspect.arguments.together import check_together
from llminspect.errors import UsageError


@dataclass(frozen=True)
class InfoOptions:
    """Which model, and how much of it."""

    name: str | None = argument(metavar="[MODEL]", help="As --model.", show_default=False, completes="tokenizers")
    tensors: bool = option(False, help="Every tensor on its own line, all settings, the whole chat template.")


@dataclass(frozen=True)
class PullOptions:
    """What is fetched."""

    name: str = argument(
        "smollm2", metavar="NAME", help="A name of `llminspect models`, or org/name on the hub.", completes="catalogue"
    )
    revision: str | None = revision_option()
    offline: bool = offline_option()


@dataclass(frozen=True)
class WalkOptions:
    """How it goes from one step to the next."""

    paused: bool | None = option(
        None, "--pause/--no-pause", help="Wait for Enter after each step. Default: on a terminal.", show_default=False
    )


@dataclass(frozen=True)
class DiffOptions:
    """What is compared with."""

    against: str | None = option(metavar="TEXT", help="Compare with this text in the same model.")
    against_model: str | None = option(metavar="NAME", help="Compare with this model.")
    top: int = option(10, min=1, metavar="N", help="How many next tokens of each side.")


Action = Literal["show", "verify", "clear"]


@dataclass(frozen=True)
class CacheOptions:
    """What is done, and with which entries."""

    action: Action = argument("show", help="What to do.")
    names: Texts | None = argument(
        metavar="[NAME]...", help="Only these: a model's name, model, prepared …", show_default=False
    )
    limit: str | None = option(metavar="SIZE", help="With clear: only what was not used for longest, down to 2GB.")


BOUND = 1e-4
"""Of the relative difference. Rounding in float32 stays far below it, a wrong formula far above."""


@dataclass(frozen=True)
class VerifyOptions:
    """Which model, and what it is compared with."""

    name: str | None = argument(metavar="[MODEL]", help="As --model.", show_default=False, completes="models")
    against: Path | None = option(metavar="FILE.npz", help="Compare with these recorded activations.")
    record: Path | None = option(metavar="FILE.npz", help="Write the activations of this model.")
    ids: Ids | None = option(metavar="1,2,3", help="The input. Default: ids from all over the vocabulary.")
    bound: float = option(BOUND, min=0, help="The largest relative difference that passes.")


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search."""

    search: str | None = option(metavar="GLOB", help="Find tokens by their text: ' the*', '*ing', '[A-Z]??'.")
    only: Literal["special", "unreachable"] | None = option(
        help="With --search: special ones, or those that their own text never gives."
    )
    longest: bool = option(False, help="With --search: the longest first.")
    limit: int | None = option(min=0, metavar="N", help="With --search: how many.")


@dataclass(frozen=True)
class EncodeOptions:
    """In which direction, and how it is shown."""

    decode: bool = option(
        False, help="Back to text: TEXT (or standard input, --file, --ids) holds ids; of a text, there and back."
    )
    one_hot: bool = option(False, help="A row a token: 1 at its id, 0 elsewhere.")
    letters: bool = option(False, help="The letter code, A = 1, B = 2; as --model letters.")
    workers: int | None = workers_option()


Pool = Literal["none", "mean", "first", "last"]
Metric = Literal["cosine", "dot"]


@dataclass(frozen=True)
class EmbedOptions:
    """Where vectors are taken from, and what is looked for near them."""

    more: Texts | None = argument(metavar="[TEXT]...", help="More texts, as with --with.", show_default=False)
    beside: Texts | None = option(None, "--with", metavar="TEXT", help="Another text beside the first; repeatable.")
    at: str | int | None = option(
        metavar="embedding|LAYER|final",
        help="Where: the embedding table, the residual stream after a layer, or after the final norm. Default: "
        "embedding; with --pool on an encoder final, which are its sentence vectors.",
    )
    pool: Pool = option("none", help="One vector for a whole text.")
    nearest: int = option(0, min=0, metavar="N", help="The N nearest tokens of the whole vocabulary.")
    metric: Metric = option("cosine", help="What near and similar mean.")
    words: bool = option(False, help="Only whole words among the nearest.")
    analogy: str | None = option(metavar="SUM", help='In place of TEXT a sum of words: "king - man + woman".')
    exclude_inputs: bool = option(False, help="Leave the words of --analogy out of what is nearest.")
    similarity: bool = option(False, help="How alike each vector is to each other.")
    project: Literal["pca"] | None = option(help="The vectors as points in a plane.")
    positions: bool = option(False, help="What the model adds for the place of a token, by itself.")

    @property
    def others(self) -> list[str]:
        """The texts beside the first."""
        return [*each(self.more), *each(self.beside)]


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
