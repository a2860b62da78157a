"""The options of `forward`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from llminspect.arguments.experiments import PatchOptions
from llminspect.arguments.option import Texts, each, option
from llminspect.arguments.ranges import Choice, Ids
from llminspect.arguments.words import TokenChoice, language
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

NEXT_TOKENS = 10
"""How many are shown where nothing else is said."""


@dataclass(frozen=True)
class ForwardOptions:
    """What is looked at."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = 'forward "The capital of France is" --lens'

    top: int | None = option(
        min=0,
        metavar="N",
        help="How many next tokens, labels or continuations. Default: 10 tokens, all labels, all continuations.",
        show_default=False,
    )
    at: int | None = option(metavar="INDEX", help="The position to look at; the last by default.")
    trace: bool = option(False, help="Every step of every layer: shape, norm, extremes, time.")
    layer: Choice | None = option(
        metavar="0,3-5", help="These layers in detail: each of their steps, and the units of the feed-forward step."
    )
    steps: bool = option(False, help="The formulas, and the formulas with the numbers.")
    lens: bool = option(False, help="What the model would say after each layer.")
    tuned_lens: str | None = option(
        metavar="FOLDER",
        help="With --lens: a tuned lens as well, from the folder in which its package saved params.pt.",
    )
    all: bool = option(False, help="With --lens: at every position, as a grid.")
    attribution: bool = option(False, help="What each part of the model adds to the target's logit.")
    neurons: int | None = option(
        min=1,
        max=1000,
        metavar="N",
        help="With --attribution: also the N neurons, of all layers, that raise or lower the logit most.",
        show_default=False,
    )
    target: TokenChoice | None = option(
        metavar="TOKEN",
        help="The token in question, or #ID. Default: the most probable. Encoder–decoder: the target so far.",
    )
    target_ids: Ids | None = option(
        metavar="1,2,3", help="The same, of an encoder–decoder, as ids; with --no-special exactly these."
    )
    target_language: str | None = language()
    versus: TokenChoice | None = option(metavar="TOKEN", help="Compare the target with this token.")
    saliency: bool = option(False, help="How much the target depends on each token, by leaving it out.")
    gradient: bool = option(False, help="Estimate --saliency or --patch from gradients, which takes less time.")
    exact: bool = option(
        False, help="With --gradient and --patch: the exact numbers as well, and how well the two agree."
    )
    integrated: bool = option(
        False, help="Do --saliency by integrated gradients: what the tokens get adds up to the whole."
    )
    baseline: str | None = option(
        metavar="zero|mean|TEXT",
        help="With --integrated: the vectors to start from: zero, the mean of all tokens, those of one token, or those "
        "of a text with as many tokens. Default: zero.",
    )
    path_steps: int | None = option(
        min=4, max=10_000, usual=64, metavar="N",
        help="With --integrated: compute at N points at most, more of them where the curve is steep.",
    )  # fmt: skip
    of: Literal["logprob", "logit"] | None = option(
        usual="logprob",
        help="With --integrated: which number is divided among the tokens; with --versus the difference of logits.",
    )
    surprise: bool = option(False, help="How surprising each token is, in bits; the perplexity.")
    perplexity: bool = option(False, help="Only the perplexity: one number; with --lines one for each line.")
    score: Texts | None = option(
        metavar="TEXT",
        help="How probable it is that the text goes on like this; repeatable, to compare several (with --ids: ids).",
    )
    scores: Path | None = option(metavar="FILE", help="The same for each line of a file; - reads standard input.")
    window: int | None = option(metavar="N", help="With --surprise: how many tokens the model sees at once.")

    @property
    def tokens(self) -> int:
        """How many next tokens."""
        return NEXT_TOKENS if self.top is None else self.top

    def continuations(self, lines: Iterable[str] | None = None) -> list[tuple[str, str]]:
        """The texts of --score and the lines of --scores (`lines`, if not in a file), each with where it stands.

        UsageError: there are none. UserError: a file cannot be read."""
        from llminspect.files.source import text_lines

        if self.scores is not None and lines is None:
            lines = text_lines(self.scores)
        counted = [(f"line {number} (from 0) of --scores", line) for number, line in enumerate(lines or ()) if line]
        if self.scores is not None and not counted:
            raise UsageError(f"--scores {self.scores} has no lines", "write one continuation a line, with its spaces")
        if self.score is not None and not self.score and not counted:
            raise UsageError("--score is empty", "give one continuation or more")
        return [*(("--score", text) for text in each(self.score)), *counted]


SweptPart = Literal["stream", "attention", "feedforward", "cross", "head", "head-position", "cross-head"]


@dataclass(frozen=True)
class SweepOptions(PatchOptions):
    """The same, and what is tried where no place is said."""

    sweep: SweptPart | None = option(
        help="With --patch and no --into, or --ablate each: what is changed, place by place (cross: the attention to "
        "a source). Default: stream; with --ablate each: head.",
        show_default=False,
    )
    noising: bool = option(
        False,
        help="With --patch and no --into: put this text's vectors into the other, and see what breaks its answer. "
        "Default: the other's into this one (denoising).",
    )
