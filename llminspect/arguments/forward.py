"""The options of `forward`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from llminspect.arguments.experiments import PatchOptions
from llminspect.arguments.option import Option
from llminspect.arguments.ranges import Choice, Ids
from llminspect.arguments.together import check_together
from llminspect.arguments.words import TokenChoice

if TYPE_CHECKING:
    from llminspect.arguments.experiments import ExperimentOptions


@dataclass(frozen=True)
class ForwardOptions:
    """What is looked at."""

    top: Annotated[int, Option("--top", min=0, metavar="N", help="How many next tokens.")] = 10
    at: Annotated[int | None, Option("--at", metavar="INDEX", help="The position to look at; the last by default.")] = (
        None
    )
    trace: Annotated[bool, Option("--trace", help="Every step of every layer: shape, norm, extremes, time.")] = False
    layer: Annotated[
        Choice | None, Option("--layer", metavar="0,3-5", help="Open these layers: their steps and feed forward.")
    ] = None
    steps: Annotated[bool, Option("--steps", help="The formulas, and the formulas with the numbers.")] = False
    lens: Annotated[bool, Option("--lens", help="What the model would say after each layer.")] = False
    all: Annotated[bool, Option("--all", help="With --lens: at every position, as a grid.")] = False
    attribution: Annotated[
        bool, Option("--attribution", help="What each part of the model adds to the target's logit.")
    ] = False
    target: Annotated[
        TokenChoice | None,
        Option(
            "--target",
            metavar="TOKEN",
            help="The token in question, or #ID; by default the most probable. Encoder–decoder: the target so far.",
        ),
    ] = None
    target_ids: Annotated[
        Ids | None, Option("--target-ids", metavar="1,2,3", help="The same, of an encoder–decoder, as ids.")
    ] = None
    versus: Annotated[
        TokenChoice | None, Option("--versus", metavar="TOKEN", help="Compare the target with this token.")
    ] = None
    saliency: Annotated[bool, Option("--saliency", help="Which words the target hangs on, by leaving each out.")] = (
        False
    )
    gradient: Annotated[
        bool,
        Option("--gradient", help="With jax: --saliency (also: --saliency gradient) or --patch by gradients."),
    ] = False
    surprise: Annotated[bool, Option("--surprise", help="How surprising each token is, in bits; the perplexity.")] = (
        False
    )
    perplexity: Annotated[
        bool, Option("--perplexity", help="Only the perplexity: one number, with --lines one a line.")
    ] = False
    window: Annotated[
        int | None, Option("--window", metavar="N", help="With --surprise: tokens that are looked at together.")
    ] = None


@dataclass(frozen=True)
class SweepOptions(PatchOptions):
    """The same, and what is tried where no place is said."""

    sweep: Annotated[
        Literal["stream", "attention", "feedforward", "head"],
        Option("--sweep", help="With --patch and no --into: what is patched, place by place."),
    ] = "stream"


def check_forward(look: ForwardOptions, patch: SweepOptions, experiments: ExperimentOptions, *others: Any) -> None:
    """Raise UsageError for options that make no sense without each other. `others` are further ones of the command."""
    check_together("forward", look, patch, experiments, *others)
