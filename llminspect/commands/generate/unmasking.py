"""How `generate` looks for a model that fills masks: which place was filled when, and what was guessed there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType

from llminspect.core.numbers import fixed, ranges, several
from llminspect.render import theme
from llminspect.render.heatmap import heatmap
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from llminspect.analysis.completion import Unmasking

FILLED = "■"
_ORDERS = {
    "confidence": "the most probable guess first",
    "margin": "first the guess that leads its runner-up by most",
    "entropy": "where the model is least uncertain first",
    "random": "in an order that was drawn",
    "chance": "each mask by chance",
}


def unmasking_view(found: Unmasking, prompt: int, seed: int | None) -> RenderableType:
    """The tokens on the colour of the step that filled them; below it steps × masks, each guess on the colour of its
    probability, with a mark where it stayed. `prompt`: how many tokens it has."""
    rows = [row for row in found.guesses if any(row)]  # Then nothing is left.
    steps = [np.nan if place.step is None else place.step for place in found.positions]
    probs_SM = np.array([[np.nan if guess is None else guess.prob for guess in row] for row in rows])
    cells = [
        [
            "" if guess is None else f"{FILLED if place.step == step else ''}{fixed(100 * guess.prob, 0)}"
            for guess, place in zip(row, found.positions, strict=True)
        ]
        for step, row in enumerate(rows)
    ]
    after = sum(place.index >= prompt for place in found.positions)
    blocks = "" if found.block_length >= after else f", {several(found.block_length, 'token')} at a time"
    if found.unmask_order in ("random", "chance") and seed is not None:
        blocks += f" (seed {seed})"
    order = f"{several(len(steps), 'mask')} in {several(found.diffusion_steps, 'step')}, {_ORDERS[found.unmask_order]}"
    limits = (0.0, len(rows) - 1.0) if len(rows) > 1 else None
    return Group(
        Text(order + blocks, theme.QUIET),
        Text(),
        Text("the step in which each was filled", theme.TITLE),
        value_strip([place.text for place in found.positions], steps, limits=limits, numbers=True, name="step"),
        *_without_masks(found, len(rows)),
        Text(),
        heatmap(
            probs_SM,
            column_labels=[visible(place.text, True) for place in found.positions],
            title="what each step would put at each mask",
            limits=(0, 1),
            fold="thin",
            row_name="steps",
            column_name="masks",
            value_name=f"probability, in percent; {FILLED} filled in this step",
            masked="filled before",
            marks=cells,
            max_rows=48,
        ),
    )


def _without_masks(found: Unmasking, steps: int) -> list[Text]:
    """In which steps no mask was filled, as few were due, or none was left."""
    filled = {place.step for place in found.positions}
    none_due = [step for step in range(steps) if step not in filled]
    lines = [f"no mask was due in step {ranges(none_due)}"] if none_due else []
    if steps < found.diffusion_steps:
        lines.append(f"nothing was left to fill from step {steps} on")
    return [Text(line, theme.QUIET) for line in lines]
