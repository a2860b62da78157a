"""One completion: token after token, each with what the model thought and what the filters left of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from llminspect.analysis.candidates import NamedToken, ProbableToken, token_text
from llminspect.core.array import Array
from llminspect.core.cache import Cache
from llminspect.core.dataclass import dataclass
from llminspect.core.decoding import Choice, LookAhead, NextLogits, decode
from llminspect.core.rotary import Divided, LongRope
from llminspect.core.sampling import Draws, Sampling, entropy, top_ids
from llminspect.core.tap import NO_TAP, Chain, Tap
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.text.text_stream import TextStream, next_piece

Stop = Literal["length", "eos", "stop"]
ROWS_SHOWN = 12
"""Tokens shown in a table of filters."""


@dataclass(frozen=True)
class FilteredToken(NamedToken):
    """One token on its way through the filters: its probability after each, 0 from where it was cut."""

    probs: list[float]


@dataclass(frozen=True)
class Filters:
    """The way of the most probable tokens from the model's own probabilities to those that are drawn from."""

    names: list[str]
    kept: list[int]
    """How many tokens each stage leaves."""
    tokens: list[FilteredToken]


@dataclass(frozen=True)
class StepRecord:
    """One token of the completion."""

    id: int
    text: str
    prob: float
    """The model's own probability, before any filter."""
    logprob: float
    """Its natural logarithm."""
    alternatives: list[ProbableToken]
    """The most probable other tokens."""
    entropy: float
    """Of the model's own distribution, in bits."""
    drawn_prob: float | None = None
    """The probability that it was drawn with, after the filters."""
    forced: bool | None = None
    filters: Filters | None = None


@dataclass(frozen=True)
class FilledPosition(ProbableToken):
    """A position of the text where a mask stood, what stands there now, and its probability when it was filled."""

    index: int
    step: int | None
    """The step in which it was filled; None: the model left the mask there."""


@dataclass(frozen=True)
class Unmasking:
    """How masks became a text."""

    unmask_order: str
    diffusion_steps: int
    block_length: int
    mask_id: int
    positions: list[FilledPosition]
    guesses: list[list[ProbableToken | None]]
    """The guess of each step at each of `positions`, with the model's own probability; None where none is due."""
    prompt: str | None = None
    """Where masks stood in the prompt, how it reads with them filled …"""
    prompt_ids: list[int] | None = None
    """… and its ids."""


@dataclass(frozen=True)
class Completion:
    """A finished continuation."""

    completion: str
    ids: list[int]
    steps: list[StepRecord]
    stop: Stop
    passes: int | None = None
    """How often the model was run for it, where tokens were guessed or masks filled."""
    unmasking: Unmasking | None = None
    """Of a model that fills masks: in which order it did."""


@dataclass(frozen=True)
class Limits:
    """When a completion ends, and what it has to begin with."""

    max_tokens: int = 32
    stops: tuple[str, ...] = ()
    ignore_eos: bool = False
    forced: tuple[int, ...] = ()
    end: int | None = None
    """Of what is only gone over once more, the length in tokens at which it would have been cut off."""


@dataclass(frozen=True)
class CompletionListener:
    """Who follows while the completion is written."""

    text: Callable[[str], None] | None = None
    step: Callable[[StepRecord, str], None] | None = None
    """Called with the step and the whole text so far."""


@dataclass(frozen=True)
class PassChanges:
    """What the experiments do to the model."""

    taps: Sequence[Tap] = ()
    """They act on every token."""
    patches: Sequence[Tap] = ()
    """They act before, on the prompt alone: what is written after it has no other text to take from, and meets the
    patch in the keys and values that the prompt leaves."""

    def in_pass(self, *, first: bool) -> Tap:
        """The taps of a pass; `first`: of one that starts with the prompt."""
        taps = [*self.patches, *self.taps] if first else self.taps
        return Chain(taps) if taps else NO_TAP


NO_CHANGES = PassChanges()


def next_logits(model: Model, changes: PassChanges = NO_CHANGES) -> NextLogits:
    """The model as a function from new ids and what it keeps of those before to the logits after the last of them."""

    def ask(
        ids: Sequence[int], before: tuple[Cache | None, Sequence[int]] | None
    ) -> tuple[Array, tuple[Cache | None, Sequence[int]]]:
        cache, earlier = (None, ()) if before is None else before
        whole = [*earlier, *ids]
        anew = before is None or turned_anew(model, len(earlier), len(whole))
        tap = changes.in_pass(first=anew)
        result = model.run(whole if anew else ids, tap, None if anew else cache)
        return model.logits(result.stream_TD[-1:], tap)[0], (result.cache, whole)

    def ask_anew(ids: Sequence[int], before: Sequence[int] | None) -> tuple[Array, Sequence[int]]:
        # Where a token sees those after it, each new one changes what the earlier ones were: nothing can be kept.
        whole, tap = [*(before or ()), *ids], changes.in_pass(first=True)
        return model.logits(model.run(whole, tap).stream_TD[-1:], tap)[0], whole

    return ask if model.config.causal else ask_anew


def turned_anew(model: Model, before: int, after: int) -> bool:
    """Whether the first `before` tokens are turned otherwise in a text of `after`: of LongRoPE (Ding et al. 2024) a
    long text has other divisors, so that nothing is kept where it grows into one, as the reference does."""
    turns = (model.config.rotary, model.config.local_rotary)
    slowed = [turn.scaling for turn in turns if turn is not None]
    return any(isinstance(each, LongRope | Divided) and before <= each.context < after for each in slowed)


def lookahead(model: Model, most: int, changes: PassChanges = NO_CHANGES) -> LookAhead:
    """The same, with up to `most` tokens guessed from what stood before.

    A change acts on a guessed token as on a chosen one: on each by itself, and a guess that was wrong leaves nothing.
    """

    def ask_rows(ids: Sequence[int], cache: Cache | None, wanted: int) -> tuple[Array, Cache]:
        tap = changes.in_pass(first=cache is None)
        result = model.run(ids, tap, cache)
        assert result.cache is not None, "a model that keeps nothing cannot look ahead"
        return model.logits(result.stream_TD[-wanted:], tap), result.cache

    return LookAhead(ask_rows, most, model.config.sizes.context)


def complete(
    model: Model,
    prompt_ids: Sequence[int],
    sampling: Sampling,
    limits: Limits,
    *,
    seed: tuple[int, int] | None,
    changes: PassChanges = NO_CHANGES,
    alternatives: int = 3,
    table: bool = False,
    listener: CompletionListener | None = None,
    lookup: int = 0,
) -> Completion:
    """Continue the prompt. `seed` is a seed and the number of the sample; None takes the most probable token.

    With `lookup` up to so many tokens a pass are guessed.
    `ids` ends with the token that ended it (the end-of-text token, or the one that completed a stop string).
    """
    listener = listener or CompletionListener()
    eos_ids = frozenset() if limits.ignore_eos else model.eos_ids
    stream, ids, steps = TextStream(limits.stops), list[int](), list[StepRecord]()
    stop: Stop = "length"
    if lookup and turned_anew(model, len(prompt_ids), len(prompt_ids) + limits.max_tokens):
        raise UsageError(
            f"--lookup: {model.name} turns all tokens by other angles once its text is that long, so no guess could "
            "be kept",
            "leave it out, or ask for fewer tokens",
        )
    ahead = lookahead(model, lookup, changes) if lookup else None
    choices = decode(
        ahead or next_logits(model, changes),
        prompt_ids,
        sampling,
        None if seed is None else Draws(*seed),
        context=longest(model, len(prompt_ids) + limits.max_tokens),
        forced=limits.forced,
        end=limits.end,
    )
    for choice in choices:
        steps.append(step_record(model, choice, alternatives, table, drawn=seed is not None))
        previous = ids[-1] if ids else prompt_ids[-1]
        ids.append(choice.id)
        if choice.id in eos_ids and not choice.forced:
            stop = "eos"
        elif model.tokenizer is not None:
            given = stream.feed(next_piece(model.tokenizer, previous, choice.id))
            if listener.text and given:
                listener.text(given)
        elif listener.text:
            listener.text(f" {token_text(model, choice.id)}")
        if listener.step:
            listener.step(steps[-1], stream.text)
        if stream.stopped:
            stop = "stop"
        if stop != "length":
            break
    rest = stream.finish()
    if listener.text and rest:
        listener.text(rest)
    return Completion(stream.text, ids, steps, stop, ahead.passes if ahead else None)


def longest(model: Model, wanted: int) -> int:
    """So many tokens at most, the prompt's among them, of `wanted`: as many as the model has positions for."""
    return wanted if model.most_tokens is None else min(model.most_tokens, wanted)


def step_record(model: Model, choice: Choice, alternatives: int, table: bool, *, drawn: bool) -> StepRecord:
    """What is kept of a step: not the whole distributions."""
    model_V = choice.model_V
    others = [token_id for token_id in top_ids(model_V, alternatives + 1) if token_id != choice.id][:alternatives]
    probability = float(model_V[choice.id])
    filters = None
    if table:  # The most probable tokens, and the chosen one, from stage to stage.
        names, stages = zip(*choice.stages, strict=True)
        shown = dict.fromkeys([*top_ids(model_V, ROWS_SHOWN), choice.id])
        tokens = [FilteredToken(at, token_text(model, at), [float(stage[at]) for stage in stages]) for at in shown]
        filters = Filters(list(names), [int((stage > 0).sum()) for stage in stages], tokens)
    return StepRecord(
        id=choice.id,
        text=token_text(model, choice.id),
        prob=probability,
        logprob=math.log(probability) if probability > 0 else -math.inf,
        alternatives=[ProbableToken(other, token_text(model, other), float(model_V[other])) for other in others],
        entropy=entropy(model_V),
        drawn_prob=float(choice.stages[-1][1][choice.id]) if drawn else None,
        forced=True if choice.forced else None,
        filters=filters,
    )
