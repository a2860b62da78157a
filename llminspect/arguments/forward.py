"""The options of `forward`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from llminspect.arguments.ids import Ids
from llminspect.arguments.option import Option
from llminspect.arguments.patch import PatchOptions, needs_of
from llminspect.arguments.ranges import Choice
from llminspect.arguments.tokens import TokenChoice
from llminspect.errors import UsageError

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


def check_forward(look: ForwardOptions, patch: SweepOptions, experiments: ExperimentOptions) -> None:
    """Raise UsageError for options that make no sense without each other."""
    needs = [
        (look.all and not look.lens, "--all", "--lens"),
        (look.versus is not None and not (look.attribution or patch.patch), "--versus", "--attribution or --patch"),
        (look.gradient and not (look.saliency or patch.patch), "--gradient", "--saliency or --patch"),
        (
            look.gradient and bool(patch.into) and not look.saliency,
            "--gradient",
            "--saliency, or no --into",
        ),
        (look.window is not None and not (look.surprise or look.perplexity), "--window", "--surprise"),
        *needs_of(patch),
        (patch.sweep != "stream" and patch.patch is None, "--sweep", "--patch"),
    ]
    for wrong, option, other in needs:
        if wrong:
            raise UsageError(f"{option} says nothing without {other}", f"give {other} as well")
    _check_surprise(look, patch)
    if patch.into and patch.sweep != "stream":
        raise UsageError("--sweep and --into are two ways to patch", "give one of them")


def _check_surprise(look: ForwardOptions, patch: PatchOptions) -> None:
    """The whole text is scored, in windows where it is long: there is no one pass to look at otherwise."""
    asked = "--surprise" if look.surprise else "--perplexity"
    if not (look.surprise or look.perplexity):
        return
    beside = [name for name in ("trace", "steps", "lens", "attribution", "saliency") if getattr(look, name)]
    beside += [
        name for name, value in (("layer", look.layer), ("at", look.at), ("patch", patch.patch)) if value is not None
    ]
    if beside:
        raise UsageError(f"{asked} scores every token and goes with no --{beside[0]}", "ask for one at a time")
