"""Masks are filled as the published code fills them, which is written out here with loops over everything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.core.sampling import Draws, Sampling
from llminspect.core.unmasking import Chance, MaskPlan, Order, unmask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array

VOCABULARY, MASK = 11, 10
NO_CHANCE = Chance(None, None)


def logits_of(text: Sequence[int], index: int) -> list[float]:
    """Of what stands at a place: other numbers for every other text."""
    generator = np.random.default_rng([index, *text])
    return [*(3 * generator.normal(size=VOCABULARY - 1)), -9.0 if index % 3 else 2.0]


def at_masks(text: Sequence[int], masks: Sequence[int]) -> Array:
    return np.array([logits_of(text, index) for index in masks])


def never_the_mask(text: Sequence[int], masks: Sequence[int]) -> Array:
    return at_masks(text, masks)[:, :MASK]


def softmax(logits: Sequence[float]) -> list[float]:
    sizes = [math.exp(logit) for logit in logits]
    return [size / sum(sizes) for size in sizes]


def llada(prompt: list[int], new: int, steps: int, block: int) -> list[int]:
    """`generate` of ML-GSAI/LLaDA, remasking "low_confidence", temperature 0."""
    text = prompt + [MASK] * new
    blocks = new // block
    for number in range(blocks):
        start, end = len(prompt) + number * block, len(prompt) + (number + 1) * block
        masks = text[start:end].count(MASK)
        each, more = divmod(masks, steps // blocks)
        for step in range(steps // blocks):
            best, sure = {}, {}
            for index, token in enumerate(text):
                if token == MASK:
                    probabilities = softmax(logits_of(text, index))
                    best[index] = probabilities.index(max(probabilities))
                    sure[index] = probabilities[best[index]] if index < end else -math.inf
            chosen = sorted(sure, key=lambda index: -sure[index])[: each + (step < more)]
            for index in chosen:
                text[index] = best[index]
    return text


def dream(prompt: list[int], new: int, steps: int, order: str) -> list[int]:
    """`_sample` of Dream's generation_utils.py, temperature 0; `order` is "maskgit_plus", "topk_margin", "entropy"."""
    text = prompt + [MASK] * new
    times = [1 - (1 - 1e-3) * step / steps for step in range(steps + 1)]
    for step in range(steps):
        best, sure = {}, {}
        for index, token in enumerate(text):
            if token == MASK:
                probabilities = softmax(logits_of(text, index))
                best[index] = probabilities.index(max(probabilities))
                first, second = sorted(probabilities)[-1], sorted(probabilities)[-2]
                sure[index] = {
                    "maskgit_plus": first,
                    "topk_margin": first - second,
                    "entropy": sum(p * math.log(p + 1e-10) for p in probabilities),
                }[order]
        share = 1 - times[step + 1] / times[step]
        number = len(best) if step == steps - 1 else int(len(best) * share)
        for index in sorted(sure, key=lambda index: -sure[index])[:number]:
            text[index] = best[index]
    return text


def filled(prompt: list[int], new: int, plan: MaskPlan, sampling: Sampling, chance: Chance = NO_CHANCE) -> list[int]:
    text = prompt + [MASK] * new
    for guesses in unmask(at_masks, text, len(prompt), plan, sampling, chance):
        for guess in guesses:
            text[guess.index] = guess.id if guess.filled else MASK
    return text


@pytest.mark.parametrize(("steps", "block"), [(12, 12), (5, 12), (12, 4), (6, 3), (24, 12), (4, 6)])
def test_evenly_as_llada_does_it(steps: int, block: int) -> None:
    plan = MaskPlan(MASK, steps, "confidence", even=True, block=block)
    for prompt in ([1, 2, 3], [4]):
        assert filled(prompt, 12, plan, Sampling(temperature=0)) == llada(prompt, 12, steps, block)


@pytest.mark.parametrize("steps", [1, 4, 12, 30])
@pytest.mark.parametrize("order", [("confidence", "maskgit_plus"), ("margin", "topk_margin"), ("entropy", "entropy")])
def test_by_share_as_dream_does_it(order: tuple[Order, str], steps: int) -> None:
    plan = MaskPlan(MASK, steps, order[0], even=False, block=12)
    for prompt in ([1, 2, 3], [4, MASK, 5, MASK]):  # A mask in the prompt is one like the others.
        assert filled(prompt, 12, plan, Sampling(temperature=0)) == dream(prompt, 12, steps, order[1])


def test_by_chance_each_mask_is_as_likely_in_every_step() -> None:
    """Dream's "origin": a mask that is left at time t stays until time s with the probability s/t."""
    counts = np.zeros(4)
    plan = MaskPlan(MASK, 4, "chance", even=False, block=6)
    for seed in range(200):
        steps = unmask(never_the_mask, [1, *[MASK] * 6], 1, plan, Sampling(temperature=0), Chance(None, Draws(seed)))
        counts += [sum(guess.filled for guess in guesses) for guesses in steps]
    assert counts.sum() == 1200
    assert np.abs(counts / 1200 - 0.25).max() < 0.05  # Four standard deviations.


def test_drawn_tokens_are_drawn_from_what_the_filters_leave() -> None:
    plan, sampling = MaskPlan(MASK, 6, "random", even=True, block=6), Sampling(temperature=2.0, top_k=2)
    chance = Chance(Draws(1), Draws(2))
    seen = set()
    for guesses in unmask(at_masks, [1, *[MASK] * 6], 1, plan, sampling, chance):
        for guess in guesses:
            order = np.argsort(-guess.choice.model_V, kind="stable")
            seen.add(int(np.flatnonzero(order == guess.id)[0]))
    assert seen == {0, 1}


def test_whose_probability_decides() -> None:
    """LLaDA's is the model's own, Dream's the one that is drawn from."""
    logits = np.log([[0.5, 0.25, 0.25], [0.6, 0.39, 0.01]])
    sampling = Sampling(top_k=2)  # Of the first mask it leaves 0.67 and 0.33, of the second 0.61 and 0.39.

    def two(_: Sequence[int], masks: Sequence[int]) -> Array:
        return logits[[index - 1 for index in masks]]

    for even, first in ((True, 2), (False, 1)):
        plan = MaskPlan(9, 3, "entropy", even=even, block=2)
        steps = list(unmask(two, [0, 9, 9], 1, plan, sampling, Chance(Draws(0), None)))
        kept = [guess.index for guesses in steps for guess in guesses if guess.filled]
        assert kept == [first, 3 - first]
