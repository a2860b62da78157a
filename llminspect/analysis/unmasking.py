"""`llminspect generate` of a model that fills masks: after the prompt all is masked, and filled step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llminspect.analysis.candidates import ProbableToken, mask_of, predicting, token_text
from llminspect.analysis.completion import (
    Completion,
    FilledPosition,
    Limits,
    PassChanges,
    StepRecord,
    Unmasking,
    step_record,
)
from llminspect.arguments.generate import GenerateOptions, SamplingOptions, draws_tokens
from llminspect.arguments.option import fields_of, usual_of
from llminspect.core.array import Array
from llminspect.core.decoding import Choice
from llminspect.core.sampling import Draws, Sampling
from llminspect.core.unmasking import Chance, Guess, MaskPlan, unmask
from llminspect.errors import ModelError, UsageError
from llminspect.model.opened import Model
from llminspect.text.text_stream import text_after

OF_MASKS = ("diffusion_steps", "block_length", "unmask_order")
TOKEN_AFTER_TOKEN = (
    *("stop", "prefix", "beams", "length_penalty", "tree", "lookup", "model_settings"),
    *("repetition_penalty", "no_repeat_ngram", "stream", "watch"),
)
"""Options that say something only of a text that grows at its end."""
PLACES = 1 << 32
"""Draws of which masks are filled come from a stream of their own, whatever is drawn of tokens."""


def check_way_of_writing(model: Model, *groups: Any) -> None:
    """Raise UsageError for an option that is of models which write in another way than this one."""
    fills = model.can("unmask")
    refused = TOKEN_AFTER_TOKEN if fills else OF_MASKS
    for group in groups:
        kind: Any = type(group)
        for name, (_, option) in fields_of(kind).items():
            if name in refused and getattr(group, name) not in (None, False, 0, option.usual):
                way = "fills masks, in any order" if fills else "writes token after token, and fills no masks"
                raise UsageError(f"{option.shown}: {model.name} {way}", "leave it out")


def unmasking_plan(
    model: Model, ids: Sequence[int], sampling: SamplingOptions, options: GenerateOptions
) -> MaskPlan | None:
    """How masks are filled; None for a model that writes token after token.

    Raises UsageError for options that do not go with the model, or with one another; ModelError where the model does
    not name its mask.
    """
    check_way_of_writing(model, sampling, options)
    masking = model.config.masking
    if masking is None:
        return None
    mask_id, new = mask_of(model), usual_of(options, "max_tokens")
    if mask_id is None:
        raise ModelError(f"{model.name} does not name its mask token", "its config.json needs mask_token_id")
    masks = new + sum(token == mask_id for token in ids)
    if not masks:
        raise UsageError("there is no mask to fill", "take --max-tokens above 0, or a text with masks")
    if len(ids) + new > (context := model.config.sizes.context):
        raise UsageError(
            f"the text and its masks are {len(ids) + new:,} tokens, {model.name} was made for {context:,}",
            "give a smaller --max-tokens: all masks are there from the first step on",
        )
    block = options.block_length or max(1, new)
    if new % block:
        raise UsageError(
            f"--block-length {block} does not divide the {new} tokens of --max-tokens", "give a number that does"
        )
    blocks = max(1, new // block)
    steps = options.diffusion_steps or -(-masks // blocks) * blocks
    if steps % blocks:
        raise UsageError(
            f"--diffusion-steps {steps} cannot be shared evenly by {blocks} blocks", f"give a multiple of {blocks}"
        )
    return MaskPlan(mask_id, steps, options.unmask_order or masking.order, masking.even, block)


def chance_of(sampling: SamplingOptions, options: GenerateOptions, seed: int | None, sample: int) -> Chance:
    """Where a run draws from: its tokens, and which masks it fills, as far as the options want it."""
    if seed is None:
        return Chance(None, None)
    tokens = Draws(seed, sample) if draws_tokens(sampling, options) else None
    return Chance(tokens, Draws(seed, sample + PLACES))


def complete_by_filling(
    model: Model,
    prompt_ids: Sequence[int],
    plan: MaskPlan,
    sampling: Sampling,
    limits: Limits,
    chance: Chance,
    changes: PassChanges,
    options: GenerateOptions,
) -> Completion:
    """The prompt, and masks after it, filled. The completion ends before the first token that ends a text."""
    first, text = len(prompt_ids), [*prompt_ids, *[plan.mask_id] * limits.max_tokens]

    def at_masks(ids: Sequence[int], masks: Sequence[int]) -> Array:
        tap = changes.in_pass(first=True)
        return model.logits(model.run(ids, tap).stream_TD[predicting(model, masks)], tap)

    def record(choice: Choice) -> StepRecord:
        return step_record(model, choice, options.alternatives, options.steps, drawn=chance.tokens is not None)

    steps: dict[int, int] = {}
    records: dict[int, StepRecord] = {}
    probable: list[dict[int, ProbableToken]] = []
    guesses: list[Guess] = []
    for number, guesses in enumerate(unmask(at_masks, text, first, plan, sampling, chance)):
        probable.append({guess.index: _named(model, guess) for guess in guesses})
        for guess in guesses:
            if guess.filled and guess.id != plan.mask_id:
                steps[guess.index], records[guess.index], text[guess.index] = number, record(guess.choice), guess.id
    left = [guess for guess in guesses if guess.index not in steps]  # Where the model put the mask once more.
    records |= {guess.index: record(Choice(plan.mask_id, guess.choice.stages)) for guess in left}
    whole = _unmasking(plan, records, steps, probable)
    if text[:first] != list(prompt_ids):
        read = "" if model.tokenizer is None else model.tokenizer.shown(text[:first]).decode("utf-8", "replace")
        whole = replace(whole, prompt=read, prompt_ids=text[:first])
    passes = sum(map(bool, probable))  # None where nothing was left to fill.
    ends = frozenset[int]() if limits.ignore_eos else model.eos_ids
    ended = next((index for index in range(first, len(text)) if text[index] in ends), None)
    ids = text[first : None if ended is None else ended + 1]
    written = [records[index] for index in range(first, first + len(ids))]
    shown = text_after(model.tokenizer, prompt_ids[-1], ids if ended is None else ids[:-1])
    return Completion(shown, ids, written, "length" if ended is None else "eos", passes, whole)


def _unmasking(
    plan: MaskPlan,
    records: Mapping[int, StepRecord],
    steps: Mapping[int, int],
    probable: Sequence[Mapping[int, ProbableToken]],
) -> Unmasking:
    masks = sorted(probable[0])
    positions = [
        FilledPosition(record.id, record.text, record.prob, index, steps.get(index))
        for index, record in ((index, records[index]) for index in masks)
    ]
    guesses = [[row.get(index) for index in masks] for row in probable]
    return Unmasking(plan.order, plan.steps, plan.block, plan.mask_id, positions, guesses)


def _named(model: Model, guess: Guess) -> ProbableToken:
    return ProbableToken(guess.id, token_text(model, guess.id), float(guess.choice.model_V[guess.id]))
