"""The options of `generate`, and what they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.commands._generate_steps import Limits
    from llminspect.core.sampling import Sampling
    from llminspect.model import Model


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen: the repetition penalty first, then in the order in which they stand here."""

    temperature: Annotated[
        float | None,
        typer.Option("--temperature", min=0, metavar="X", help="Divide the logits by X; 0 takes the most probable."),
    ] = None
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, metavar="N", help="Keep the N most probable.")] = None
    top_p: Annotated[
        float | None, typer.Option("--top-p", min=0, max=1, metavar="P", help="Keep the most probable up to P in all.")
    ] = None
    min_p: Annotated[
        float | None, typer.Option("--min-p", min=0, max=1, metavar="P", help="Keep what has P times the best's.")
    ] = None
    typical: Annotated[
        float | None,
        typer.Option("--typical", min=0, max=1, metavar="P", help="Keep what surprises as expected, P in all."),
    ] = None
    repetition_penalty: Annotated[
        float, typer.Option("--repetition-penalty", metavar="X", help="Before all else: weaken tokens seen so far.")
    ] = 1.0
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Repeat the same draws.")] = None


@dataclass(frozen=True)
class GenerateOptions:
    """How much is written, and what is shown of it."""

    max_tokens: Annotated[int, typer.Option("--max-tokens", min=0, metavar="N", help="Stop after N tokens.")] = 32
    stop: Annotated[
        list[str] | None, typer.Option("--stop", metavar="TEXT", help="Stop before this text; repeatable.")
    ] = None
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Go on behind the end-of-text token.")] = False
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="TEXT", help="What the completion has to begin with.")
    ] = None
    alternatives: Annotated[
        int, typer.Option("--alternatives", min=0, metavar="N", help="Runners-up shown for each token.")
    ] = 3
    n: Annotated[int, typer.Option("--n", min=1, metavar="N", help="Draw N completions.")] = 1
    beams: Annotated[int, typer.Option("--beams", min=0, metavar="N", help="Beam search with N beams.")] = 0
    length_penalty: Annotated[
        float, typer.Option("--length-penalty", metavar="X", help="With --beams: log p is divided by tokens^X.")
    ] = 1.0
    steps: Annotated[
        bool, typer.Option("--steps", help="For each token the way from the model's probabilities to those drawn from.")
    ] = False
    tree: Annotated[
        int, typer.Option("--tree", min=0, metavar="DEPTH", help="The branches not taken, as a tree of this depth.")
    ] = 0
    lookup: Annotated[
        int, typer.Option("--lookup", min=0, max=15, metavar="N", help="Guess N tokens a pass where the text repeats.")
    ] = 0


def sampled(sampling: SamplingOptions, options: GenerateOptions) -> bool:
    """Whether tokens are drawn: asked for by any option that only makes sense then."""
    if sampling.temperature is not None:
        return sampling.temperature > 0
    given = (sampling.top_k, sampling.top_p, sampling.min_p, sampling.typical, sampling.seed)
    return options.n > 1 or any(value is not None for value in given)


def seed_of(sampling: SamplingOptions, options: GenerateOptions) -> int | None:
    """The seed of this run, chosen where none was given; None where nothing is drawn. Raises UsageError."""
    divisors = {"temperature": sampling.temperature, "repetition-penalty": sampling.repetition_penalty}
    for name, value in {**divisors, "length-penalty": options.length_penalty}.items():
        if value is not None and not math.isfinite(value):
            raise UsageError(f"--{name} {value} is not a finite number", "take one near 1")
    if sampling.repetition_penalty <= 0:
        raise UsageError("--repetition-penalty has to be above 0", "1 changes nothing, 1.1 weakens what was said")
    if options.length_penalty != 1 and not options.beams:
        raise UsageError("--length-penalty says nothing without --beams", "give --beams as well")
    drawing = sampled(sampling, options)
    if options.beams and (drawing or options.n > 1 or sampling.repetition_penalty != 1):
        raise UsageError("--beams searches, it does not draw", "leave out --beams, or the sampling options")
    if options.beams and (options.stop or options.prefix):
        raise UsageError("--beams does not go with --stop or --prefix", "leave one of them out")
    if options.beams and options.lookup:
        raise UsageError("--lookup guesses for one text, --beams follows several", "leave one of them out")
    if options.n > 1 and not drawing:
        raise UsageError("--n with temperature 0 would give the same text each time", "take --temperature 1")
    if not drawing:
        return None
    if sampling.seed is not None:
        return sampling.seed
    import secrets

    return secrets.randbelow(2**31)


def sampling_of(options: SamplingOptions) -> Sampling:
    """The filters, as the mathematics takes them."""
    from llminspect.core.sampling import Sampling

    return Sampling(
        temperature=1.0 if options.temperature is None else options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        typical=options.typical,
        repetition_penalty=options.repetition_penalty,
    )


def limits_of(model: Model, options: GenerateOptions) -> Limits:
    """When to stop. Raises UsageError for an empty stop string, and for a prefix that the tokenizer does not take."""
    from llminspect.commands._generate_steps import Limits

    stops = tuple(options.stop or ())
    if "" in stops:
        raise UsageError("--stop is empty", "give the text to stop before")
    forced: tuple[int, ...] = ()
    if options.prefix:
        if model.tokenizer is None:
            raise UsageError("--prefix takes text; this model comes without a tokenizer")
        forced = tuple(model.tokenizer.encode_ids(options.prefix))
    return Limits(options.max_tokens, stops, options.ignore_eos, forced)
