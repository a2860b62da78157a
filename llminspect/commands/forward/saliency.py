"""How `forward --saliency` looks: the text coloured by what each token does for the target, and the strongest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from llminspect.core.numbers import number, several
from llminspect.render import theme
from llminspect.render.bars import signed_bars
from llminspect.render.safe import visible
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.token_scores import Integrated, Saliency

SHOWN = 10
"""Tokens that have a bar."""
TOO_FAR = 0.05
"""Share of the difference that is missing or too much: section 5 of the paper: take more steps then."""


def saliency(found: Saliency, labels: Sequence[str]) -> RenderableType:
    """The text coloured by what each token does for the target, and the strongest as bars."""
    texts = labels[: len(found.drops)]
    target = visible(found.target.text, True)
    if found.integrated is not None:
        title, name, notes = _integrated(found.integrated, target)
    else:
        by_gradient = found.by == "gradient"
        nearly = ", by gradient × input" if by_gradient else ""
        out = (
            "as if it fell in a straight line from here to a vector of zeros"
            if by_gradient
            else "left out: no later token reads anything of it; the last one keeps its own vector"
        )
        title = f"saliency: how far log p({target}) falls when a token is left out{nearly}"
        name = "fall of log p, in nats"
        notes = [f"log p({target}) = {number(found.logprob)} with the whole text; {out}"]
    strongest = sorted(range(len(texts)), key=lambda index: -abs(found.drops[index]))[:SHOWN]
    return Group(
        Text(title, theme.TITLE),
        value_strip(texts, found.drops, scale="diverging", numbers=True, name=name),
        Text(),
        signed_bars(
            [f"{index} {visible(texts[index], True)}" for index in strongest],
            [found.drops[index] for index in strongest],
        ),
        *(Text(note, theme.QUIET) for note in notes),
    )


def _integrated(found: Integrated, target: str) -> tuple[str, str, list[str]]:
    """The title, what the colours stand for, and what is said below."""
    what = {"logprob": f"log p({target})", "logit": f"logit({target})", "difference": f"logit({target})"}[found.of]
    if found.versus is not None:
        what += f" − logit({visible(found.versus.text, True)})"
    start = {"zero": "vectors of zeros", "mean": "the mean vector of all tokens"}
    baseline = start.get(found.baseline, f"the vectors of “{visible(found.baseline)}”")
    moved = found.value - found.baseline_value
    off = abs(found.error / moved) if moved else abs(found.error)
    return (
        f"integrated gradients: each token's part of {what}, from {baseline} to the text",
        "part, in nats" if found.of == "logprob" else "part, in logits",
        [
            f"{what} = {number(found.value)} after the text and {number(found.baseline_value)} after the baseline; "
            f"the parts sum to {number(found.sum)} for a difference of {number(moved)}: {100 * off:.2g} % off, with "
            f"{several(found.steps, 'step')}"
            + ("; take more --path-steps, or a --baseline that is more like the text" if off > TOO_FAR else "")
        ],
    )
