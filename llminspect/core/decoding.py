"""One token after another: choose, append, ask the model again with the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llminspect.core.sampling import Draws, Sampling, draw, filtered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llminspect.core.array import Array


class NextLogits(Protocol):
    def __call__(self, ids: Sequence[int], cache: Any, /) -> tuple[Array, Any]:
        """The logits [V] after the last of `ids`, which follow those of the cache; and the cache with them.

        The cache is whatever was given back before, None at first."""
        ...


@dataclass(frozen=True)
class Choice:
    """One step: what the model said, what the filters left of it, and what was taken."""

    id: int
    stages: list[tuple[str, Array]]
    """The probabilities [V] after each filter, from the model's own ("model") to those drawn from."""
    forced: bool = False

    @property
    def model_V(self) -> Array:
        """The model's own probabilities."""
        return self.stages[0][1]


def decode(
    next_logits: NextLogits,
    prompt_ids: Sequence[int],
    sampling: Sampling,
    draws: Draws | None,
    *,
    context: int,
    forced: Sequence[int] = (),
) -> Iterator[Choice]:
    """Choose token after token until the caller stops or the context is full.

    Without `draws`, or with temperature 0, the most probable token is taken (the first of equals). `forced` are the ids
    that the continuation has to begin with.
    """
    ids = list(prompt_ids)
    new, cache = ids, None
    while len(ids) < context:
        logits_V, cache = next_logits(new, cache)
        stages = filtered(logits_V, sampling, ids)
        done = len(ids) - len(prompt_ids)
        if done < len(forced):
            chosen = forced[done]
        elif draws is None or sampling.greedy:
            chosen = int(np.argmax(stages[-1][1]))
        else:
            chosen = draw(stages[-1][1], draws.next())
        yield Choice(chosen, stages, done < len(forced))
        new = [chosen]
        ids.append(chosen)
