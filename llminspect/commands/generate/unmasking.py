"""How `generate` looks for a model that fills masks: which place was filled when, and what was guessed there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group
from rich.text import Text

from llminspect.core.numbers import several
from llminspect.render import theme
from llminspect.render.heatmap import heatmap
from llminspect.render.safe import visible
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.candidates import ProbableToken
    from llminspect.analysis.completion import Unmasking

FILLED = "■"
_ORDERS = {
    "confidence": "the most probable guess first",
    "margin": "the guess furthest before the second first",
    "entropy": "where the model is least uncertain first",
    "random": "in an order that was drawn",
    "chance": "each mask by chance",
}


def unmasking_view(found: Unmasking) -> RenderableType:
    """The tokens on the colour of the step that filled them; below it steps × masks, each guess on the colour of its
    probability, with a mark where it stayed."""
    steps = [np.nan if place.step is None else place.step for place in found.positions]
    probs_SM = np.array([[np.nan if guess is None else guess.prob for guess in row] for row in found.guesses])
    cells = [
        [
            "" if guess is None else _cell(guess, place.step == step)
            for guess, place in zip(row, found.positions, strict=True)
        ]
        for step, row in enumerate(found.guesses)
    ]
    blocks = "" if found.block_length >= len(found.positions) else f", {several(found.block_length, 'token')} at a time"
    order = f"{several(len(steps), 'mask')} in {several(found.diffusion_steps, 'step')}, {_ORDERS[found.unmask_order]}"
    return Group(
        Text(order + blocks, theme.QUIET),
        Text(),
        Text("the step in which each was filled", theme.TITLE),
        value_strip([place.text for place in found.positions], steps, numbers=True, name="step"),
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


def _cell(guess: ProbableToken, stays: bool) -> str:
    return f"{FILLED if stays else ''}{100 * guess.prob:.0f}"
