"""A text written by filling masks step by step: in each step the model guesses at every mask, and some guesses stay.

Two schedules say how many: LLaDA fills as many in each step (Nie et al. 2025, "Large Language Diffusion Models",
section 2.4 and algorithm 5), Dream those that a mask is likely to be filled in between two times (Ye et al. 2025,
"Dream 7B", section 3; Austin et al. 2021, "Structured Denoising Diffusion Models", section 3). Which ones, an order
says: where the guess is surest, by its probability (Chang et al. 2022, "MaskGIT"), by its margin before the second
(Kim et al. 2025, "Train for the Worst, Plan for the Best") or by the entropy, or anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.decoding import Choice
from llminspect.core.sampling import Draws, Sampling, draw, filtered, top_ids

Order = Literal["confidence", "margin", "entropy", "random", "chance"]
"""Which guesses stay: the most probable; those furthest before the second; those of the least entropy; any; or each by
chance, so that their number is chance as well."""
LAST_TIME = 1e-3
"""What time the masks are nearly gone at, from 1 on (Dream's ε)."""
LEAST = 1e-10
"""Added to probabilities whose logarithm is taken, as Dream does it."""


@dataclass(frozen=True)
class MaskPlan:
    """How masks are filled."""

    mask_id: int
    steps: int
    """Passes through the model, in all blocks together."""
    order: Order
    even: bool
    """Whether as many masks are filled in each step, by the model's own probabilities and not by those drawn from."""
    block: int
    """So many of the masks after the prompt are filled before those after them."""


@dataclass(frozen=True)
class Guess:
    """What the model would put at a mask in one step."""

    index: int
    choice: Choice
    filled: bool
    """Whether the guess stays."""

    @property
    def id(self) -> int:
        return self.choice.id


class AtMasks(Protocol):
    def __call__(self, ids: Sequence[int], masks: Sequence[int], /) -> Array:
        """The logits [M, V] of what stands at each of `masks` in the text."""


@dataclass(frozen=True)
class Chance:
    """Where draws come from; None: the most probable token is taken, and no order is by chance."""

    tokens: Draws | None
    places: Draws | None


def unmask(
    at_masks: AtMasks, ids: Sequence[int], first: int, plan: MaskPlan, sampling: Sampling, chance: Chance
) -> Iterator[list[Guess]]:
    """The guesses of each step, at all masks that are left, in the order of their places.

    `first` is the place where the masks after the prompt begin: blocks are counted from there. A guess that is the
    mask itself leaves the mask there.
    """
    text = list(ids)
    blocks = max(1, -(-(len(text) - first) // plan.block))
    for block in range(blocks):
        start = first + block * plan.block if block else 0  # What is masked in the prompt is of the first block.
        end = min(len(text), first + (block + 1) * plan.block)
        steps = plan.steps // blocks
        numbers = shares(text[start:end].count(plan.mask_id), steps)
        for step in range(steps):
            masks = [index for index, token in enumerate(text) if token == plan.mask_id]
            logits_MV = at_masks(text, masks) if masks else np.empty((0, 1))
            choices = [_chosen(logits_V, text, sampling, chance.tokens) for logits_V in logits_MV]
            inside = [place for place, index in enumerate(masks) if index < end]
            share = share_at(step, steps, plan)
            wanted = numbers[step] if plan.even else int(len(inside) * share)
            kept = set(_kept([choices[place] for place in inside], wanted, share, plan, chance.places))
            found = zip(masks, choices, strict=True)
            guesses = [Guess(index, choice, place in kept) for place, (index, choice) in enumerate(found)]
            for guess in guesses:
                text[guess.index] = guess.id if guess.filled else plan.mask_id
            yield guesses


def shares(masks: int, steps: int) -> list[int]:
    """`masks` cut into `steps` numbers that differ by one at most, the larger ones first."""
    return [masks // steps + (step < masks % steps) for step in range(steps)]


def share_at(step: int, steps: int, plan: MaskPlan) -> float:
    """How likely a mask that is left is to be filled in this step, 1 in the last: 1 − s/t for the times t and s before
    and after it, which go from 1 to 0 where the steps are even, else to LAST_TIME."""
    if step == steps - 1:
        return 1.0
    last = 0.0 if plan.even else LAST_TIME
    before, after = (1 - (1 - last) * at / steps for at in (step, step + 1))
    return 1 - after / before


def _chosen(logits_V: Array, text: Sequence[int], sampling: Sampling, draws: Draws | None) -> Choice:
    stages = filtered(logits_V, sampling, text)
    probabilities_V = stages[-1][1]
    if draws is None or sampling.greedy:
        return Choice(int(np.argmax(probabilities_V)), stages)
    return Choice(draw(probabilities_V, draws.next()), stages)


def _kept(choices: Sequence[Choice], wanted: int, share: float, plan: MaskPlan, places: Draws | None) -> list[int]:
    """Which of the guesses stay: `wanted` of them, or each with the probability `share`."""
    if plan.order in ("random", "chance"):
        assert places is not None, "an order by chance needs a seed"
        points = [places.next() for _ in choices]
        if plan.order == "random":
            return top_ids(np.asarray(points), wanted) if points else []
        return [place for place, point in enumerate(points) if point < share]
    sureness = [_sureness(choice, plan) for choice in choices]
    return top_ids(np.asarray(sureness), wanted) if sureness else []


def _sureness(choice: Choice, plan: MaskPlan) -> float:
    probabilities_V = choice.model_V if plan.even else choice.stages[-1][1]
    if plan.order == "confidence":
        return float(probabilities_V[choice.id])
    if plan.order == "margin":
        second, best = np.partition(probabilities_V, -2)[-2:]
        return float(best - second)
    return float(np.sum(probabilities_V * np.log(probabilities_V + LEAST)))
