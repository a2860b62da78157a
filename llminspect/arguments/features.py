"""The options of `features`, and which features are meant, `5,7`, and changed: `feature.5`, `feature.5*2`."""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol, get_args

from llminspect.arguments.option import Texts, argument, each, option
from llminspect.arguments.ranges import Choice, check_exists, is_index, shortened
from llminspect.arguments.words import WORD_STARTS, parse_factor, sign_in_print
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

SHOWN = 5
"""Features a token that are listed where nothing else is said."""


@dataclass(frozen=True)
class FeaturesOptions:
    """Which dictionary, and what of it."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = 'features sae "A cat sat." --top 3'
    needed: ClassVar[str] = " sae --feature 5"

    dictionary: str | None = argument(
        metavar="PATH", help="A folder of SAELens or sparsify, or an .npz of Gemma Scope.", show_default=False
    )
    top: int = option(
        SHOWN, min=1, max=1000, metavar="N", help="How many features for each token, and tokens in each list."
    )
    feature: Texts | None = option(metavar="N", help="These features by themselves: 5, or 5,7; repeatable.")
    position: Choice | None = option(
        metavar="0,3-5", help="Only what is on at these tokens, and not how well all of them are rebuilt."
    )
    at: str | None = option(
        metavar="HOOK", help="Where the dictionary reads, if its files do not say: blocks.20.hook_resid_post."
    )
    words: bool = option(True, "--words/--no-words", help=f"Only {WORD_STARTS}, or all.")
    examples: int | None = option(
        min=1, max=1000, metavar="N", usual=8, help="With --corpus: how many places are shown.", show_default=False
    )


@dataclass(frozen=True)
class FeatureEdits:
    """Changes to the running model, feature by feature."""

    heading: ClassVar[str] = "Change the model"
    example: ClassVar[str] = 'features sae "A cat sat." --ablate feature.5'

    ablate: Texts | None = option(metavar="feature.N", help="Take away what a feature writes: feature.5; repeatable.")
    scale: Texts | None = option(metavar="feature.N*X", help="Multiply a feature's activation: feature.5*2.")
    steer: Texts | None = option(
        metavar="feature.N*X", help="Add to a feature's activation at every token: feature.5*10."
    )

    def parsed(self, count: int) -> list[FeatureEdit]:
        """What is wanted, in the order of its doing. Raises UsageError, for features that are not there."""
        for kind, text in texts_of(self):
            if not names_feature(text):
                raise UsageError(f"--{kind} {shortened(text)!r} names no feature", _forms(kind)[1])
        return feature_edits(self, count)


FeatureKind = Literal["ablate", "scale", "steer"]
FEATURE_KINDS: tuple[FeatureKind, ...] = get_args(FeatureKind)


@dataclass(frozen=True)
class FeatureEdit:
    """One change of one feature's activation."""

    kind: FeatureKind
    feature: int
    value: float

    @property
    def place(self) -> str:
        """As it is written."""
        return f"{PREFIX}{self.feature}"

    @property
    def what(self) -> str:
        if self.kind == "ablate":
            return "zero"
        return f"× {self.value:g}" if self.kind == "scale" else sign_in_print(self.value)


class Changing(Protocol):
    """Options that change a model."""

    @property
    def ablate(self) -> Texts | None: ...
    @property
    def scale(self) -> Texts | None: ...
    @property
    def steer(self) -> Texts | None: ...


PREFIX = "feature."


def names_feature(text: str) -> bool:
    """Whether a place, or a change at one, is that of a feature: `feature.5`, `feature.5*2`."""
    return text.strip().startswith(PREFIX)


def texts_of(options: Changing) -> list[tuple[FeatureKind, str]]:
    """Each change as it was given, in the order of its doing."""
    found: list[tuple[FeatureKind, str]] = [
        ("ablate", part) for entry in each(options.ablate) for part in entry.split(",")
    ]
    return [
        *found,
        *(("scale", text) for text in each(options.scale)),
        *(("steer", text) for text in each(options.steer)),
    ]


def feature_edits(options: Changing, count: int) -> list[FeatureEdit]:
    """The changes that are of features; of a dictionary with so many. Raises UsageError for one that is none."""
    return [parse_feature_edit(kind, text, count) for kind, text in texts_of(options) if names_feature(text)]


def parse_feature_edit(kind: FeatureKind, text: str, count: int) -> FeatureEdit:
    """`feature.5` to ablate, `feature.5*2` to scale or to steer. Raises UsageError for what is none."""
    place, star, factor_text = (text, "*", "0") if kind == "ablate" else text.rpartition("*")
    factor, number = parse_factor(factor_text) if star else None, place.strip().removeprefix(PREFIX)
    if factor is None or not is_index(number):
        raise UsageError(f"--{kind} {shortened(text)!r} does not say {_forms(kind)[0]}", _forms(kind)[1])
    check_exists(int(number), count, "feature")
    return FeatureEdit(kind, int(number), factor)


def _forms(kind: FeatureKind) -> tuple[str, str]:
    """What such a change looks like, and an example."""
    star = "" if kind == "ablate" else "*"
    return f"{PREFIX}NUMBER{star and '*number'}", f"for example --{kind} {PREFIX}5{star and '*2'}"


def parse_features(texts: Texts | None, count: int, option: str) -> list[int]:
    """`7,5,7` as [7, 5], each once, as they were given. Raises UsageError for what is no feature of the dictionary."""
    found = []
    for text in each(texts):
        for part in text.split(","):
            if not is_index(part.strip()):
                raise UsageError(
                    f"{option} {shortened(text)!r} names no feature", "write its number, such as 5, or 5,7"
                )
            check_exists(int(part), count, "feature")
            found.append(int(part))
    return list(dict.fromkeys(found))
