"""The options of `features`, and which features are meant and changed: `5`, `5,7`, `5*2`."""

from __future__ import annotations

from typing import ClassVar, Literal

from llminspect.arguments.option import Texts, argument, each, option
from llminspect.arguments.ranges import check_exists, is_index, shortened
from llminspect.arguments.words import parse_factor
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
    at: str | None = option(
        metavar="HOOK", help="Where the dictionary reads, if its files do not say: blocks.20.hook_resid_post."
    )
    words: bool = option(True, "--words/--no-words", help="Only tokens that are whole words, or all.")
    examples: int | None = option(
        min=1, max=1000, metavar="N", usual=8, help="With --corpus: how many places are shown.", show_default=False
    )


@dataclass(frozen=True)
class FeatureEdits:
    """Changes to the running model, feature by feature."""

    heading: ClassVar[str] = "Change the model"
    example: ClassVar[str] = 'features sae "A cat sat." --ablate 5'

    ablate: Texts | None = option(metavar="N", help="Take away what a feature writes: 5, or 5,7; repeatable.")
    scale: Texts | None = option(metavar="N*X", help="Multiply a feature's activation: 5*2.")
    steer: Texts | None = option(metavar="N*X", help="Add to a feature's activation at every token: 5*10.")

    def parsed(self, count: int) -> list[FeatureEdit]:
        """What is asked for, in the order of its doing. Raises UsageError, for features that are not there."""
        found = [FeatureEdit("ablate", feature, 0.0) for feature in parse_features(self.ablate, count, "--ablate")]
        for kind, texts in (("scale", self.scale), ("steer", self.steer)):
            for text in each(texts):
                name, star, factor_text = text.rpartition("*")
                factor = parse_factor(factor_text) if star else None
                if factor is None:
                    raise UsageError(
                        f"--{kind} {shortened(text)!r} does not say feature*number", f"for example --{kind} 5*2"
                    )
                feature = parse_features(name, count, f"--{kind}")[0]
                found.append(FeatureEdit(kind, feature, factor))  # type: ignore[arg-type]
        return found


@dataclass(frozen=True)
class FeatureEdit:
    """One change of one feature's activation."""

    kind: Literal["ablate", "scale", "steer"]
    feature: int
    value: float


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
