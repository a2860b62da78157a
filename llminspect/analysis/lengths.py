"""How long a text may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llminspect.model.opened import Model

TIMES_BEYOND, ALWAYS = 8, 1 << 16
"""Texts of so many times the tokens that a model was made for are computed, and texts of so many tokens with any model.
Longer ones are refused: the work grows with the square of their length, and would practically never end."""


def longest_computed(model: Model) -> int:
    """How many tokens the model is given together at most."""
    return max(TIMES_BEYOND * model.config.sizes.context, ALWAYS)


def beyond_context(model: Model, *tokens: int) -> list[str] | None:
    """What is to be noted of texts of so many tokens: whether one is longer than those that the model was made for."""
    context, longest = model.config.sizes.context, max(tokens)
    if longest <= context:
        return None
    return [
        f"{longest} tokens are more than the {context} that {model.name} was made for; the positions beyond that are "
        "computed all the same"
    ]
