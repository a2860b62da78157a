"""How a number that is read off the logits changes with the intermediates of a pass: one pass forward, one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from llminspect.backends.jax.plan import Recorder, planned
from llminspect.backends.jax.scanned import Scanned
from llminspect.backends.jax.widened import Widened
from llminspect.core.tap import Capture, Chain, Edit
from llminspect.core.unembed import log_softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.backends.jax.plan import Plan
    from llminspect.backends.jax.widened import Places
    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.config import Config
    from llminspect.model.params import Params
    from llminspect.model.spec import Architecture


class Programs(Protocol):
    """What compiles and runs a program (`compiled.Compiled`)."""

    architecture: Architecture
    config: Config
    arrays: Any
    places: Places

    def call(
        self,
        static: tuple[Any, ...],
        function: Callable[..., Any],
        plan: Plan,
        *arguments: Any,
        derive: bool = False,
    ) -> tuple[Any, Any]: ...

    def show(self, plan: Plan, program: Any, kept: Any, cache: Any) -> Any: ...


def gradients(
    engine: Programs, ids: Sequence[int], names: Sequence[str], position: int, target: int, versus: int | None, tap: Tap
) -> tuple[float, dict[str, Array], dict[str, Array]]:
    """A score at one position, and for each named intermediate its value and the gradient of the score.

    The score is the logit of `target` minus that of `versus`, or without it the log-probability of `target`. The
    gradient by an intermediate is that by something added to it, which is nothing.
    """
    ids_T = np.asarray(ids, np.int32)
    nothing = {name: np.zeros(shape, np.float32) for name, shape in _shapes(engine, ids_T, names, tap).items()}
    kept, added = Capture(*names), [Edit(name, _sum, array) for name, array in nothing.items()]
    plan = planned(Chain([tap, kept, *added]))

    def score(params: Params, recorder: Recorder, ids_T: Array, place: Array, answers: tuple[Array, ...]) -> Any:
        stream_TD = engine.architecture.forward(params, engine.config, ids_T, recorder).stream_TD
        row_1D = jax.lax.dynamic_slice_in_dim(jnp.asarray(stream_TD), place, 1)
        logits_V = engine.architecture.readout(params, engine.config, row_1D, recorder)[0]  # type: ignore[arg-type]
        if len(answers) == 1:
            return log_softmax(logits_V)[answers[0]]
        return logits_V[answers[0]] - logits_V[answers[1]]

    answers = tuple(np.int32(number) for number in (target, versus) if number is not None)
    program, ((value, slopes), arrays) = engine.call(
        ("gradients",), score, plan, ids_T, np.int32(position), answers, derive=True
    )
    engine.show(plan, program, arrays, None)
    by_name = dict(zip(nothing, slopes[-len(added) :], strict=True))
    return float(value), kept.arrays, {name: np.asarray(slope[0]) for name, slope in by_name.items()}


def _sum(array: Array, added: Array) -> Array:
    return array + added


def _shapes(engine: Programs, ids_T: Array, names: Sequence[str], tap: Tap) -> dict[str, tuple[int, ...]]:
    """The shapes of the named intermediates, found without computing anything."""
    plan = planned(Chain([tap, Capture(*names)]))
    found: dict[str, tuple[int, ...]] = {}

    def whole(arrays: Any, operands: Any, ids_T: Array) -> Array:
        recorder = Recorder(plan.parts, operands)
        params = Scanned(Widened(arrays, engine.places))
        stream_TD = engine.architecture.forward(params, engine.config, ids_T, recorder).stream_TD
        for name, part, slot, row in recorder.shown:
            if part == len(plan.parts) - 1:
                shape = recorder.kept[slot].shape
                found[name] = shape if row is None else shape[1:]
        return stream_TD

    operands = [tuple(map(np.asarray, values)) for values in plan.operands]
    jax.eval_shape(whole, engine.arrays, operands, ids_T)
    return {name: found[name] for name in names}
