"""The options of `generate`, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from llminspect.arguments.experiments import Texts
from llminspect.arguments.option import Option
from llminspect.arguments.together import check_together
from llminspect.errors import UsageError


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen: the repetition penalty first, then in the order in which they stand here."""

    temperature: Annotated[
        float | None,
        Option("--temperature", min=0, metavar="X", help="Divide the logits by X; 0 takes the most probable."),
    ] = None
    top_k: Annotated[int | None, Option("--top-k", min=1, metavar="N", help="Keep the N most probable.")] = None
    top_p: Annotated[
        float | None, Option("--top-p", min=0, max=1, metavar="P", help="Keep the most probable up to P in all.")
    ] = None
    min_p: Annotated[
        float | None, Option("--min-p", min=0, max=1, metavar="P", help="Keep what has P times the best's.")
    ] = None
    typical: Annotated[
        float | None,
        Option("--typical", min=0, max=1, metavar="P", help="Keep what surprises as expected, P in all."),
    ] = None
    repetition_penalty: Annotated[
        float, Option("--repetition-penalty", metavar="X", help="Before all else: weaken tokens seen so far.")
    ] = 1.0
    seed: Annotated[int | None, Option("--seed", min=0, metavar="N", help="Repeat the same draws.")] = None


@dataclass(frozen=True)
class GenerateOptions:
    """How much is written, and what is shown of it."""

    max_tokens: Annotated[int, Option("--max-tokens", min=0, metavar="N", help="Stop after N tokens.")] = 32
    stop: Annotated[Texts | None, Option("--stop", metavar="TEXT", help="Stop before this text; repeatable.")] = None
    ignore_eos: Annotated[bool, Option("--ignore-eos", help="Go on after the end-of-text token.")] = False
    prefix: Annotated[str | None, Option("--prefix", metavar="TEXT", help="What the completion has to begin with.")] = (
        None
    )
    alternatives: Annotated[
        int, Option("--alternatives", min=0, metavar="N", help="Runners-up shown for each token.")
    ] = 3
    n: Annotated[int, Option("--n", min=1, metavar="N", help="Draw N completions.")] = 1
    beams: Annotated[int, Option("--beams", min=0, metavar="N", help="Beam search with N beams.")] = 0
    length_penalty: Annotated[
        float, Option("--length-penalty", metavar="X", help="With --beams: log p is divided by tokens^X.")
    ] = 1.0
    steps: Annotated[
        bool, Option("--steps", help="For each token the way from the model's probabilities to those drawn from.")
    ] = False
    tree: Annotated[
        int, Option("--tree", min=0, metavar="DEPTH", help="The branches not taken, as a tree of this depth.")
    ] = 0
    lookup: Annotated[
        int, Option("--lookup", min=0, max=15, metavar="N", help="Guess N tokens a pass where the text repeats.")
    ] = 0


@dataclass(frozen=True)
class FollowOptions:
    """What is seen while it is written."""

    stream: Annotated[bool, Option("--stream", help="Only the text, as it is written.")] = False
    watch: Annotated[bool, Option("--watch", help="Redraw the most probable tokens as it writes.")] = False


def sampled(sampling: SamplingOptions, options: GenerateOptions) -> bool:
    """Whether tokens are drawn: asked for by any option that only makes sense then."""
    if sampling.temperature is not None:
        return sampling.temperature > 0
    given = (sampling.top_k, sampling.top_p, sampling.min_p, sampling.typical, sampling.seed)
    return options.n > 1 or any(value is not None for value in given)


def seed_of(sampling: SamplingOptions, options: GenerateOptions, *others: Any) -> int | None:
    """The seed of this run, chosen where none was given; None where nothing is drawn.

    Raises UsageError for what does not go together; `others` are further options of the command.
    """
    if sampling.repetition_penalty <= 0:
        raise UsageError("--repetition-penalty has to be above 0", "1 changes nothing, 1.1 weakens what was said")
    check_together("generate", sampling, options, *others)
    if not sampled(sampling, options):
        return None
    if sampling.seed is not None:
        return sampling.seed
    import secrets

    return secrets.randbelow(2**31)
