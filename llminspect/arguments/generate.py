"""The options of `generate`, and what they mean."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from llminspect.arguments.option import Texts, option, usual_of
from llminspect.arguments.words import language
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen: what weakens and forbids repeats first, then in the order in which they stand
    here."""

    heading: ClassVar[str] = "How the next token is chosen"
    example: ClassVar[str] = 'generate "Once upon a time" --temperature 0.8 --top-p 0.9'

    temperature: float | None = option(
        min=0, metavar="X", help="Divide the logits by X; 0 takes the most probable token."
    )
    top_k: int | None = option(min=1, metavar="N", help="Keep the N most probable tokens.")
    top_p: float | None = option(
        min=0, max=1, metavar="P", help="Keep the most probable tokens that have probability P together."
    )
    min_p: float | None = option(
        min=0, max=1, metavar="P", help="Keep tokens at least P times as probable as the best."
    )
    typical: float | None = option(
        min=0, max=1, metavar="P", help="Keep tokens whose surprise is nearest to the entropy, P in all."
    )
    repetition_penalty: float | None = option(
        usual=1.0, metavar="X", help="Before all else: make tokens seen so far less probable."
    )
    no_repeat_ngram: int | None = option(
        usual=0, min=0, metavar="N", help="Never write N tokens in a row that are in the text already."
    )
    sampler_order: Literal["reference", "llama.cpp"] | None = option(
        usual="reference", help="llama.cpp: typical after top-k, and the temperature last."
    )
    seed: int | None = option(min=0, metavar="N", help="Seed of the draws: the same seed repeats them.")


@dataclass(frozen=True)
class GenerateOptions:
    """How much is written, and what is shown of it."""

    heading: ClassVar[str] = "What is written and shown"
    example: ClassVar[str] = 'generate "Once upon a time" --max-tokens 8 --steps'

    max_tokens: int | None = option(usual=32, min=0, metavar="N", help="Stop after N tokens.")
    stop: Texts | None = option(metavar="TEXT", help="Stop before this text; repeatable.")
    ignore_eos: bool = option(False, help="Go on after the end-of-text token.")
    prefix: str | None = option(metavar="TEXT", help="What the completion has to begin with.")
    alternatives: int = option(3, min=0, metavar="N", help="Runners-up shown for each token.")
    n: int | None = option(usual=1, min=1, metavar="N", help="Draw N completions.")
    beams: int | None = option(usual=0, min=1, metavar="N", help="Beam search with N beams.")
    length_penalty: float | None = option(usual=1.0, metavar="X", help="With --beams: log p is divided by tokens^X.")
    steps: bool = option(False, help="For each token: how the model's probabilities become those that are drawn from.")
    tree: int = option(0, min=0, metavar="DEPTH", help="The branches not taken, as a tree of this depth.")
    model_settings: bool = option(
        False, help="Choose tokens by the settings in the model's own files; options come before them."
    )
    diffusion_steps: int | None = option(
        min=1,
        metavar="N",
        help="For a model that fills masks: fill them in N passes; unless given, one for each token.",
    )
    block_length: int | None = option(
        min=1, metavar="N", help="For such a model: fill N tokens before the next N; unless given, all together."
    )
    unmask_order: Literal["confidence", "margin", "entropy", "random", "chance"] | None = option(
        help="For such a model: which masks are filled first; unless given, the order it was made for."
    )
    lookup: int = option(
        0, min=0, max=15, metavar="N", help="Guess N tokens in each pass where the text repeats itself."
    )
    target_language: str | None = language()


@dataclass(frozen=True)
class FollowOptions:
    """What is seen while it is written."""

    heading: ClassVar[str] = "What is written and shown"
    example: ClassVar[str] = 'generate "Once upon a time" --watch'

    stream: bool = option(False, help="Only the text, as it is written.")
    watch: bool = option(False, help="Redraw the most probable tokens as it writes.")


def draws(sampling: SamplingOptions, options: GenerateOptions) -> bool:
    """Whether the options want tokens drawn; else the most probable is taken."""
    given = (sampling.top_k, sampling.top_p, sampling.min_p, sampling.typical, sampling.seed)
    drawn = usual_of(options, "n") > 1 or any(value is not None for value in given)
    return drawn if sampling.temperature is None else sampling.temperature > 0


def check_generate(sampling: SamplingOptions) -> None:
    """Raise UsageError for a penalty that is none."""
    if usual_of(sampling, "repetition_penalty") <= 0:
        raise UsageError(
            "--repetition-penalty has to be above 0", "1 changes nothing, 1.1 makes tokens seen so far less probable"
        )


BY_CHANCE = ("random", "chance")
"""The orders of unmasking that draw which masks are filled."""


def draws_tokens(sampling: SamplingOptions, options: GenerateOptions) -> bool:
    """Whether a model that fills masks draws its tokens, and not only which masks it fills."""
    if options.unmask_order in BY_CHANCE:
        return draws(replace(sampling, seed=None), replace(options, n=None))
    return draws(sampling, options)


def seed_of(sampling: SamplingOptions, options: GenerateOptions) -> int | None:
    """The seed of this run, chosen where none was given; None where nothing is drawn."""
    if not draws(sampling, options) and options.unmask_order not in BY_CHANCE:
        return None
    if sampling.seed is not None:
        return sampling.seed
    import secrets

    return secrets.randbelow(2**31)
