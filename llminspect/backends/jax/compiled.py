"""The passes of a model as programs that JAX compiles, from the family's own functions.

A program is made once for each shape of its arguments and for each thing that the taps ask for; arrays that are looked
at are results of the program, interventions and the cache are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from llminspect.backends.jax.agreement import check_agreement, of_first
from llminspect.backends.jax.hosts import lost
from llminspect.backends.jax.plan import Plan, Recorder, Shown, hand_on, planned
from llminspect.backends.jax.scanned import Scanned
from llminspect.backends.jax.values import as_tree, from_tree, roomy
from llminspect.backends.jax.widened import Widened
from llminspect.core.tap import Enough
from llminspect.errors import UserError
from llminspect.model.spec import Pass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llminspect.backends.jax.memory import MemoryBudget
    from llminspect.backends.jax.mesh import Layout
    from llminspect.backends.jax.widened import Places
    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model
    from llminspect.model.params import Params

OVER_KEYS = ("scores", "scaled", "capped", "masked", "weights")
"""Steps of an attention whose last axis are the keys."""


@dataclass(frozen=True)
class Program:
    """Compiled code, and what it shows to whom."""

    call: Callable[..., Any]
    shown: list[Shown]
    stopped: bool


class Compiled:
    """A model on JAX: an `Engine`."""

    def __init__(
        self, model: Model, arrays: Mapping[str, Array], places: Places, layout: Layout, budget: MemoryBudget
    ) -> None:
        self.architecture, self.config = model.architecture, model.config
        self.arrays, self.places, self.layout, self.budget = dict(arrays), places, layout, budget
        self.programs: dict[Any, Program] = {}
        self.exact = False
        """Whether the code must know how long the text is (a rotation that hangs on it): compiled for each length."""

    def run(self, ids: Array, tap: Tap, cache: Cache | None, hidden_S: Array | None) -> Pass:
        tokens, before = ids.shape[-1], cache.length if cache is not None else 0
        self._check_length(before + tokens)
        given = cache if cache is None or self.exact else roomy(cache, before + tokens)
        try:
            stream_TD, tree, plan, program, kept = self._forward(ids, tap, given, hidden_S)
        except jax.errors.ConcretizationTypeError:
            if self.exact or given is None or given.places is None or (cache and cache.places is not None):
                raise
            self.exact = True
            return self.run(ids, tap, cache, hidden_S)
        places = None if given is None else given.places
        self.show(plan, program, kept, None if places is None else before + tokens)
        extended = from_tree(tree, before + tokens, places)
        if extended is not None:
            extended = replace(extended, length=before + tokens)
        return Pass(stream_TD, extended)

    def _forward(
        self, ids: Array, tap: Tap, cache: Cache | None, hidden_S: Array | None
    ) -> tuple[Array, Any, Plan, Program, list[Array]]:
        length, places = (0, None) if cache is None else (cache.length, cache.places)

        def forward(params: Params, recorder: Recorder, ids_T: Array, tree: Any, hidden_S: Array | None) -> Any:
            result = self.architecture.forward(
                params, self.config, self.layout.batch(ids_T), recorder, from_tree(tree, length, places), hidden_S
            )
            extended = as_tree(result.cache)
            if extended is not None:
                extended = {**extended, "length": None, "layers": self.layout.cache(extended["layers"])}
            return self.layout.everywhere(result.stream_TD), extended

        if hidden_S is not None and places is not None:
            room = [(0, 0)] * (hidden_S.ndim - 1) + [(0, places - hidden_S.shape[-1])]
            hidden_S = np.pad(hidden_S, room, constant_values=True)
        plan = planned(tap)
        static = ("forward", None if places is not None else length, places)
        program, (result, kept) = self.call(static, forward, plan, ids.astype(np.int32), as_tree(cache), hidden_S)
        stream_TD, tree = (None, None) if result is None else result
        return self._host(stream_TD), tree, plan, program, kept

    def logits(self, stream_TD: Array, tap: Tap) -> Array:
        def readout(params: Params, recorder: Recorder, stream_TD: Array) -> Array:
            logits_TV: Array = self.layout.everywhere(
                self.architecture.readout(params, self.config, stream_TD, recorder)
            )
            return logits_TV

        plan = planned(tap)
        program, (logits_TV, kept) = self.call(("logits",), readout, plan, stream_TD)
        self.show(plan, program, kept, None)
        return self._host(logits_TV)

    def encode_source(self, ids: Array, tap: Tap, hidden_S: Array | None) -> Cache:
        encode = self.architecture.encode_source
        assert encode is not None, "only an encoder–decoder takes a source"

        def encoded(params: Params, recorder: Recorder, ids_S: Array, hidden_S: Array | None) -> Any:
            tree = as_tree(encode(params, self.config, self.layout.batch(ids_S), recorder, hidden_S))
            assert tree is not None
            stream_SD, layers, hidden_S = tree["source"]
            return {**tree, "source": (self.layout.everywhere(stream_SD), self.layout.cache(layers), hidden_S)}

        plan = planned(tap)
        program, (tree, kept) = self.call(("source",), encoded, plan, ids.astype(np.int32), hidden_S)
        self.show(plan, program, kept, None)
        cache = from_tree(tree, 0, None)
        assert cache is not None and cache.source is not None
        return replace(cache, source=replace(cache.source, stream_SD=self._host(cache.source.stream_SD)))

    def gradients(
        self, ids: Sequence[int], names: Sequence[str], position: int, target: int, versus: int | None, tap: Tap
    ) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """See `engine.gradients`."""
        from llminspect.backends.jax.gradients import gradients

        return gradients(self, ids, names, position, target, versus, tap)

    def agreed(self, number: int) -> int:
        """The same number on all processes, which each has drawn for itself: that of process 0."""
        return number if jax.process_count() == 1 else of_first(number)

    # -- Programs ------------------------------------------------------------------------------------------------------

    def call(
        self,
        static: tuple[Any, ...],
        function: Callable[..., Any],
        plan: Plan,
        *arguments: Any,
        derive: bool = False,
    ) -> tuple[Program, Any]:
        """What `function(params, tap, *arguments)` gives and what was kept; compiled if there is no such program yet.

        With `derive` the function gives a number, and the result is that and its gradient by the plan's operands.
        """
        given = (self.arrays, [tuple(map(_operand, operands)) for operands in plan.operands], *arguments)
        leaves, structure = jax.tree_util.tree_flatten(given[1:])
        shapes = tuple((np.shape(leaf), str(jnp.result_type(leaf))) for leaf in leaves)
        key = (static, plan.parts, shapes, structure)
        if key not in self.programs:
            self.programs[key] = self._compile(function, plan, given, derive)
        program = self.programs[key]
        try:
            if jax.process_count() > 1:
                check_agreement(self._given((static, shapes, plan.changes), program, leaves))
            return program, jax.block_until_ready(program.call(*given))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                raise self.budget.exhausted() from error
            if jax.process_count() == 1:
                raise
            lost()

    def _given(self, run: tuple[Any, ...], program: Program, leaves: Sequence[Any]) -> bytes:
        """What must be the same on all processes: the program, and the whole and the single numbers given to it.

        Other arrays are results of passes before; they may differ in their last bits on other machines.
        """
        weights = [(name, array.shape, str(array.dtype)) for name, array in self.arrays.items()]
        mesh = None if self.layout.mesh is None else dict(self.layout.mesh.shape)
        given = [np.asarray(leaf) for leaf in leaves if not isinstance(leaf, jax.Array)]
        numbers = [array.tolist() for array in given if array.ndim == 0 or array.dtype.kind in "biu"]
        return repr((run, [name for name, *_ in program.shown], weights, mesh, numbers)).encode()

    def _compile(self, function: Callable[..., Any], plan: Plan, given: tuple[Any, ...], derive: bool) -> Program:
        parts = plan.parts
        traced: list[Recorder] = []

        def whole(arrays: Mapping[str, Array], operands: Sequence[tuple[Any, ...]], *arguments: Any) -> Any:
            recorder = Recorder(parts, operands)
            traced[:] = [recorder]
            try:
                result = function(Scanned(Widened(arrays, self.places)), recorder, *arguments)
            except Enough:
                result = None
            kept, recorder.kept = self.layout.everywhere(recorder.kept), []
            return result, kept

        def derived(arrays: Mapping[str, Array], operands: Sequence[tuple[Any, ...]], *arguments: Any) -> Any:
            def score(operands: Sequence[tuple[Any, ...]]) -> Any:
                return whole(arrays, operands, *arguments)

            (value, kept), slopes = jax.value_and_grad(score, has_aux=True, allow_int=True)(operands)
            return self.layout.everywhere((value, [_floats(its) for its in slopes])), kept

        lowered = jax.jit(derived if derive else whole).lower(*given)
        compiled = lowered.compile()
        result, kept = lowered.out_info
        extended = result[1] if isinstance(result, tuple) and isinstance(result[1], dict) else {}
        kept_pair = extended.get("layers")
        cache = 0 if kept_pair is None else _bytes(kept_pair) // self.layout.cache_parts(kept_pair[0].shape)
        self.budget.check(compiled, cache, _bytes(kept))
        return Program(compiled, traced[0].shown, traced[0].stopped)

    def show(self, plan: Plan, program: Program, kept: Sequence[Array], seen: int | None) -> None:
        """Hand on what was kept; of a cache that has more places than tokens only the `seen` tokens."""
        if not program.shown:
            return hand_on(plan, (), (), program.stopped)
        arrays = [self._host(array) for array in kept]
        if seen is not None:
            for name, _, slot, _ in program.shown:
                last = name.rpartition(".")[2]
                if name == "relative" or (".attention." in name and last in OVER_KEYS):
                    arrays[slot] = arrays[slot][..., :seen]
        return hand_on(plan, program.shown, arrays, program.stopped)

    @staticmethod
    def _host(array: Any) -> Array:
        return None if array is None else np.asarray(array)  # type: ignore[return-value]

    def _check_length(self, tokens: int) -> None:
        """What the core checks itself where it runs on numpy."""
        table = self.arrays.get("position.weight")
        if table is not None and tokens > len(table):
            raise UserError(
                f"{tokens} tokens are more than this model has positions for ({len(table)})",
                "give it a shorter text",
            )


def _bytes(tree: Any) -> int:
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree_util.tree_leaves(tree))


def _floats(operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """The gradients by those that have one: by a choice (of positions, say) there is none."""
    return tuple(slope for slope in operands if jnp.issubdtype(slope.dtype, jnp.floating))


def _operand(value: Any) -> Any:
    """Numbers as arrays in float32: a plain float would be a part of the code."""
    return np.asarray(value, np.float32) if isinstance(value, int | float) else np.asarray(value)
