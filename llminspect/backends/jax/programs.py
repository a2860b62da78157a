"""Programs that JAX compiles: made when first called for, kept, and run again where only numbers differ.

A program is made once for each shape of its arguments and for each thing that the taps ask for; arrays that are looked
at are results of the program, interventions and the cache are arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from llminspect.backends.jax.hosts import lost
from llminspect.backends.jax.mesh import Layout, MemoryBudget
from llminspect.backends.jax.plan import Plan, Recorder, Shown, hand_on
from llminspect.backends.jax.scanned import Scanned
from llminspect.backends.jax.values import Places, Widened
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Enough
from llminspect.errors import UsageError
from llminspect.model.opened import Model

OVER_KEYS = ("relative", "scores", "scaled", "capped", "masked", "weights")
"""Steps of an attention whose last axis are the keys."""


@dataclass(frozen=True)
class Program:
    """Compiled code, and what it shows to whom."""

    call: Callable[..., Any]
    shown: list[Shown]
    acted: set[int]
    """The parts of the plan that changed something."""
    stopped: bool
    failed: list[Exception]
    """What functions outside the code raised when it ran."""


class Programs:
    """A model's arrays on JAX, and what was compiled to compute with them."""

    def __init__(
        self, model: Model, arrays: Mapping[str, Array], places: Places, layout: Layout, budget: MemoryBudget
    ) -> None:
        self.architecture, self.config = model.architecture, model.config
        self.arrays, self.places, self.layout, self.budget = dict(arrays), places, layout, budget
        self.programs: dict[Any, Program] = {}
        self.exact = False
        """Whether the code must know how long the text is (a rotation that hangs on it): compiled for each length."""

    def call(
        self, static: tuple[Any, ...], function: Callable[..., Any], plan: Plan, *arguments: Any, derive: bool = False
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
            done = jax.block_until_ready(program.call(*given))
            if program.failed:
                first = program.failed[0]
                program.failed.clear()
                raise first
            return program, done
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
        return Program(compiled, traced[0].shown, traced[0].acted, traced[0].stopped, traced[0].failed)

    def show(self, plan: Plan, program: Program, kept: Sequence[Array], seen: int | None) -> None:
        """Hand on what was kept; of a cache that has more places than tokens only the `seen` tokens."""
        for part in program.acted:
            plan.leaves[part].acted = True  # type: ignore[attr-defined]
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


def _bytes(tree: Any) -> int:
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree_util.tree_leaves(tree))


def _floats(operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """The gradients by those that have one: by a choice (of positions, say) there is none."""
    return tuple(slope for slope in operands if jnp.issubdtype(slope.dtype, jnp.floating))


def _operand(value: Any) -> Any:
    """Numbers as arrays in float32: a plain float would be a part of the code."""
    return np.asarray(value, np.float32) if isinstance(value, int | float) else np.asarray(value)


# -- What several processes must have in common, found by comparing all of them ----------------------------------------


def of_first(number: int) -> int:
    """The number of process 0, on all of them."""
    return int(_of_all(np.array([number], np.uint32))[0, 0])


def check_agreement(data: bytes) -> None:
    """Raise UsageError, on all of them, where the processes were given different things:
    they would compute a mixture."""
    digests = _of_all(np.frombuffer(hashlib.blake2b(data, digest_size=16).digest(), np.uint32))
    if (digests != digests[0]).any():
        raise UsageError(
            "the processes of this run were started with different arguments or texts",
            "start all of them with the same arguments, and with the same text where it comes from standard input",
        )


def _of_all(numbers: Array) -> Array:
    """A row of numbers from each process."""
    rows, gathered = _gather()
    count = jax.process_count()
    found: Array = np.asarray(
        gathered(jax.make_array_from_callback((count, len(numbers)), rows, lambda index: numbers[None]))
    )
    return found


@cache
def _gather() -> tuple[NamedSharding, Any]:
    """How rows lie on one device of each process, which may have different numbers of them; and a program that gives
    all rows to all."""
    firsts: dict[int, Any] = {}
    for device in jax.devices():
        firsts.setdefault(device.process_index, device)
    mesh = Mesh(np.array([firsts[number] for number in sorted(firsts)]), ("process",))
    whole = NamedSharding(mesh, PartitionSpec())
    return NamedSharding(mesh, PartitionSpec("process")), jax.jit(lambda rows: rows, out_shardings=whole)
