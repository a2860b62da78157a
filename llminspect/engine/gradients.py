"""How a number that is read off the logits changes with the intermediates of a pass: one pass forward, one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from llminspect.arch.params import Params
from llminspect.core.unembed import log_softmax
from llminspect.engine.plan import Recorder, planned
from llminspect.engine.widened import Widened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.engine.compiled import Compiled


class _Nudged:
    """The tap of `recorder`, with something added to some of the named arrays, whose values are kept."""

    def __init__(self, recorder: Recorder, added: dict[str, Array]) -> None:
        self.recorder, self.added = recorder, added
        self.values: dict[str, Array] = {}

    def wants(self, name: str) -> bool:
        return name in self.added or self.recorder.wants(name)

    def __call__(self, name: str, array: Array) -> Array:
        array = self.recorder(name, array)
        if name not in self.added:
            return array
        self.values[name] = array
        return array + self.added[name]


def gradients(
    engine: Compiled, ids: Sequence[int], names: Sequence[str], position: int, target: int, versus: int | None, tap: Tap
) -> tuple[float, dict[str, Array], dict[str, Array]]:
    """A score at one position, and for each named intermediate its value and the gradient of the score.

    The score is the logit of `target` minus that of `versus`, or without it the log-probability of `target`.
    """
    plan, shapes = planned(tap), _shapes(engine, ids, names)

    def score(added: dict[str, Array], arrays: Any, operands: Any, ids_T: Array) -> Any:
        nudged = _Nudged(Recorder(plan.parts, operands), added)
        params = Params(Widened(arrays))
        stream_TD = engine.architecture.forward(params, engine.config, ids_T, nudged).stream_TD
        logits_V = engine.architecture.readout(params, engine.config, stream_TD[position : position + 1], nudged)[0]
        value = log_softmax(logits_V)[target] if versus is None else logits_V[target] - logits_V[versus]
        return value, nudged.values

    nothing = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    derive = jax.jit(jax.value_and_grad(score, has_aux=True))
    operands = [tuple(jnp.asarray(value, jnp.float32) for value in own) for own in plan.operands]
    (value, values), slopes = derive(nothing, engine.arrays, operands, np.asarray(ids, np.int32))
    host = {name: np.asarray(array) for name, array in values.items()}
    return float(value), host, {name: np.asarray(array) for name, array in slopes.items()}


def _shapes(engine: Compiled, ids: Sequence[int], names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of the named intermediates, found without computing anything."""
    found: dict[str, tuple[int, ...]] = {}

    class Shapes:
        def wants(self, name: str) -> bool:
            return name in names

        def __call__(self, name: str, array: Array) -> Array:
            if name in names:
                found[name] = array.shape
            return array

    def whole(arrays: Any, ids_T: Array) -> Array:
        return engine.architecture.forward(Params(Widened(arrays)), engine.config, ids_T, Shapes()).stream_TD

    jax.eval_shape(whole, engine.arrays, np.asarray(ids, np.int32))
    return found
