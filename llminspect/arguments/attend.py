"""The options of `attend`."""

from __future__ import annotations

from typing import ClassVar, Literal

from llminspect.arguments.option import option
from llminspect.arguments.ranges import Choice, Ids, shortened
from llminspect.arguments.words import Pair, Word, language, parse_pair
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

MeasureName = Literal["entropy", "sink", "previous", "next", "self", "same", "induction", "distance"]
SCORE_PARTS = ("compressed", "rotary")
SHOWN = ("weights", "scores", *SCORE_PARTS, "scaled", "capped", "masked", "queries", "keys", "values", "added")


def parse_shown(shown: str | tuple[str, ...]) -> tuple[str, ...]:
    """`weights,scores` as its names. Raises UsageError for one that is not known."""
    names = tuple(part.strip() for part in shown.split(",")) if isinstance(shown, str) else shown
    strange = [name for name in names if name not in SHOWN]
    if strange or not names:
        raise UsageError(f"--show does not know {shortened(''.join(strange[:1]))!r}", f"it shows {', '.join(SHOWN)}")
    return names


@dataclass(frozen=True)
class AttendOptions:
    """The options of the command line that say what to look at."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = 'attend "Alice gave Bob her book" --measure previous'

    layer: Choice | None = option(metavar="0,3-5", help="Only these layers, from 0.")
    head: Choice | None = option(metavar="2", help="Only these heads, from 0.")
    mean: bool = option(False, help="The mean of the chosen heads, as one picture.")
    show: str | tuple[str, ...] = option(
        "weights",
        metavar="WHAT,WHAT",
        help="Of a head: weights, scores, scaled, capped, masked, queries, keys, values, "
        "added (the length of the vector that each key adds), compressed, rotary (the two parts of a score, in "
        "models that make their keys from a shorter vector).",
    )
    query: Word | None = option(metavar="WORD|INDEX", help="The attention of one token, worked out by hand.")
    steps: bool = option(
        False, help="With --query: also how q, k and v come from the stream, and how positions turn q and k."
    )
    find: Pair | None = option(
        metavar="HER->ALICE", help="All heads, ranked by how much the first word looks at the second."
    )
    control: str | None = option(metavar="TEXT", help="With --find: the same pair in another sentence.")
    rollout: bool = option(False, help="Attention followed through all layers (Abnar and Zuidema 2020).")
    contributions: bool = option(False, help="What each head wrote into the last token's stream (or --query's).")
    measure: MeasureName | None = option(help="What the overview is coloured by. Default: entropy.")
    mask: Literal["none", "causal"] | None = option(
        help="With toy-attention: with or without a causal mask.", show_default=False
    )

    target: str | None = option(metavar="TEXT", help="Of an encoder–decoder: the target so far.")
    target_ids: Ids | None = option(metavar="1,2,3", help="The same as ids; with --no-special exactly these.")
    target_language: str | None = language()
    part: Literal["decoder", "encoder"] | None = option(
        help="Of an encoder–decoder: only this part; --query, --find and the like are about it."
    )

    @property
    def selects(self) -> bool:
        """Whether heads are chosen."""
        return self.layer is not None or self.head is not None

    @property
    def asks(self) -> bool:
        """Whether it is a question about the attention rather than the weights themselves."""
        return self.query is not None or self.find is not None or self.rollout or self.contributions


def check_attend(options: AttendOptions) -> None:
    """Refuse what cannot be meant, before a model is opened."""
    if options.find is not None:
        parse_pair(options.find)
    if isinstance(options.query, str) and not options.query.strip():
        raise UsageError("--query is empty", "give a word of the text, or the index of a token")
    parse_shown(options.show)
