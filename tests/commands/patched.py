"""What patching is, said the slow way: passes over a whole text, without a cache, with a tap that is a dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.attention import softmax
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.analysis.generate import GenerateResult
    from llminspect.core.array import Array
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class Acts:
    """A tap that is nothing but a dictionary: what happens to which array."""

    what: dict[str, Callable[[Array], Array]]

    def wants(self, name: str) -> bool:
        return name in self.what

    def __call__(self, name: str, array: Array) -> Array:
        return self.what[name](array) if name in self.what else array


def put(values: Array, positions: Sequence[int], head: int | None = None) -> Callable[[Array], Array]:
    def act(array: Array) -> Array:
        changed = array.copy()
        for position in positions:
            if head is None:
                changed[position] = values[position]
            else:
                changed[head, position] = values[head, position]
        return changed

    return act


def values_at(model: Model, ids: Sequence[int], name: str) -> Array:
    seen = []

    def look(array: Array) -> Array:
        seen.append(array)
        return array

    model.run(ids, Acts({name: look}))
    return seen[0]


def agrees(model: Model, front: Sequence[int], result: GenerateResult, acts: Acts, both_ways: bool = False) -> None:
    """Each step is what a pass over all that stands before it gives, without a cache: one pass over the whole text,
    unless words see `both_ways`."""
    assert result.ids
    ends = range(len(result.ids)) if both_ways else [len(result.ids) - 1]
    streams = [model.run([*front, *result.ids[:end]], acts).stream_TD for end in ends]
    stream_SD = np.stack([stream_TD[-1] for stream_TD in streams]) if both_ways else streams[0][len(front) - 1 :]
    chances_SV = softmax(model.logits(stream_SD).astype(np.float64))
    for step, chances_V in zip(result.steps, chances_SV, strict=True):
        assert abs(step.prob - chances_V[step.id]) < 2e-5
        if not step.forced and result.seed is None:
            assert step.id == int(np.argmax(chances_V))


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.wrap(model.tokenizer.encode(text)))


def ids_prompt(*ids: int) -> Prompt:
    return Prompt(None, [Token(token_id, b"", None, None) for token_id in ids])
