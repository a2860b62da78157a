"""Changes to a running model, as taps: silence a part, make it louder, add a direction, put in what another text gave.

A part is a head, a whole attention or feed-forward step, the residual stream as a layer leaves it, or what attention
works with: queries, keys, values, patterns. Each function gives a tap; several are chained with `tap.Chain`. Positions
count in the text; None means all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np

from llminspect.core.array import Array, concrete, put
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Edit
from llminspect.errors import UsageError, UserError

Inner = Literal["query", "key", "value", "pattern", "query.projected", "key.projected", "value.projected"]
"""What attention works with. A query or key is what a score is the product of; `projected` as the map of the layer
gives it, before its norm and before it is turned by its position. A pattern is a row of weights for each query."""
Crossing = Literal["cross", "cross.head", "cross.query", "cross.pattern"]
"""Of the attention to a source: the whole step, what a head mixed, its query, its row of weights for each query."""
Part = Literal["head", "attention", "feedforward", "stream", "state", "neuron"] | Inner | Crossing

INNER: tuple[Inner, ...] = get_args(Inner)
_TAPS: dict[str, str] = {
    **{str(part): "layers.{}.attention." + ("weights" if part == "pattern" else part) for part in INNER},
    "cross": "layers.{}.cross_attention.output",
    "cross.head": "layers.{}.cross_attention.mixed",
    "cross.query": "layers.{}.cross_attention.query",
    "cross.pattern": "layers.{}.cross_attention.weights",
    "head": "layers.{}.attention.mixed",
    "attention": "layers.{}.attention.output",
    "feedforward": "layers.{}.feedforward.output",
    "stream": "layers.{}.output",
    "state": "layers.{}.state.output",
    "neuron": "layers.{}.feedforward.activation",
}


@dataclass(frozen=True)
class Place:
    """Where something is changed.

    A head, a layer's attention or feed-forward step, a neuron of that, the stream as it leaves a layer, or the queries,
    keys, values or pattern of a head or of all heads. Raises UsageError for a part that layers do not have.

    >>> from llminspect import Place
    >>> str(Place(3, "head", 2)), Place(3, "head", 2).tap, Place(3, "stream").tap
    ('3.2', 'layers.3.attention.mixed', 'layers.3.output')
    >>> str(Place(3, "neuron", neuron=1066)), Place(3, "neuron", neuron=1066).tap
    ('3.feedforward.1066', 'layers.3.feedforward.activation')
    >>> str(Place(3, "query", 2)), Place(3, "query", 2).tap, Place(3, "pattern").tap
    ('3.2.query', 'layers.3.attention.query', 'layers.3.attention.weights')
    >>> Place(3, "key", 4, sharing=3).shared
    [3, 4, 5]
    """

    layer: int
    part: Part
    head: int | None = None
    neuron: int | None = None
    sharing: int = 1
    """Of keys and values: so many heads work with the same ones, and `head` is any of them."""

    def __post_init__(self) -> None:
        if self.part not in _TAPS:
            raise UsageError(f"there is no part {self.part!r} of a layer", f"the parts are {', '.join(_TAPS)}")

    @property
    def tap(self) -> str:
        """The intermediate that is changed: [..., H, T, E] for a head (what it read, before it is added to the
        stream) and for queries, [..., K, T, E] for keys and values, [..., H, T, S] for patterns, [..., T, F] for a
        neuron (its activation is one number of F), [..., T, D] for the others."""
        return _TAPS[self.part].format(self.layer)

    def __str__(self) -> str:
        if self.neuron is not None:
            return f"{self.layer}.feedforward.{self.neuron}"
        if self.head is None:
            return f"{self.layer}.{self.part}"
        part = {"head": "", "cross.head": ".cross"}.get(self.part, f".{self.part}")
        return f"{self.layer}.{self.head}{part}"

    @property
    def shared(self) -> list[int] | None:
        """The heads that a change of one head's keys or values changes, where they are several."""
        if self.head is None or self.sharing == 1:
            return None
        first = self.head // self.sharing * self.sharing
        return list(range(first, first + self.sharing))

    def index(self, positions: Sequence[int] | slice) -> Any:
        """Where `positions` lie in the intermediate."""
        front: tuple[Any, ...] = (...,) if self.head is None else (..., self.head // self.sharing)
        width = slice(None) if self.neuron is None else slice(self.neuron, self.neuron + 1)
        return (*front, positions if isinstance(positions, slice) else np.asarray(positions), width)


_ALL = slice(None)


def _checked(place: Place) -> Place:
    if not isinstance(place, Place):
        raise UsageError(f"not a place: {place!r:.60}", 'as in Place(3, "head", 2)')
    return place


def replaced(place: Place, value: Array | float, positions: Sequence[int] | None = None) -> Edit:
    """Put `value` there: a number, a vector for every position, or [..., positions, width]. A tap for `Model.run`.

    Raises UsageError for what is no place; `Model.run` UserError for a place that the model does not have.

    >>> import llminspect
    >>> model = llminspect.open_model("toy")
    >>> model.run([1, 2], llminspect.replaced(llminspect.Place(0, "stream"), 0.0, [1])).stream_TD
    array([[2. , 2.7],
           [0. , 0. ]], dtype=float32)
    """
    return Edit(_checked(place).tap, _Put(place, None if positions is None else tuple(positions)), value)


def scaled(place: Place, factor: float) -> Edit:
    """Multiply the part by `factor`: 0 silences it, 2 makes it twice as loud, −1 turns it round. A tap.

    Raises UsageError for what is no place, and for a factor that is no finite number; `Model.run` UserError for a place
    that the model does not have.

    >>> import llminspect
    >>> model = llminspect.open_model("toy")
    >>> model.run([1], llminspect.scaled(llminspect.Place(0, "stream"), 2)).stream_TD
    array([[4. , 5.4]], dtype=float32)
    """
    if isinstance(factor, bool) or not isinstance(factor, int | float | np.number) or not np.isfinite(factor):
        raise UsageError(f"the factor {factor!r:.60} is not a finite number")
    return Edit(_checked(place).tap, _Multiply(place), factor)


def added(place: Place, vector: Array | Sequence[float] | float) -> Edit:
    """Add a direction at every position, or a number to a neuron's activation. A tap.

    It is [D], of one head or its query, key or value [E].

    Turner et al. 2023, "Activation Addition". Raises UsageError for what is no place, for the heads of a layer all at
    once and for a pattern (these are changed by `replaced`) and for what is no direction of finite numbers; `Model.run`
    UserError for a place that the model does not have.

    >>> import llminspect, numpy as np
    >>> model = llminspect.open_model("toy")
    >>> model.run([1], llminspect.added(llminspect.Place(0, "stream"), np.array([1, 0]))).stream_TD
    array([[3. , 2.7]], dtype=float32)
    """
    of_neuron = _checked(place).neuron is not None
    of_heads = place.part == "head" or place.part in INNER or place.part.startswith("cross.")
    if place.part.endswith("pattern") or (of_heads and place.head is None):
        raise UsageError(
            "a direction is added to the stream, to what an attention or feed forward adds to it, to one head or to "
            "its query, key or value"
        )
    numbers: Any = vector if hasattr(vector, "astype") else np.asarray(vector)
    if numbers.dtype.kind not in "fiu" or numbers.ndim != (0 if of_neuron else 1) or not np.isfinite(numbers).all():
        what = "a finite number" if of_neuron else "a direction [D] of finite numbers"
        raise UsageError(f"what is added at {place} is not {what}: {vector!r:.60}")
    return Edit(place.tap, _Add(place) if of_neuron or of_heads else _add, numbers)


@dataclass(frozen=True)
class Outside:
    """A change that is no function of the core: it is given a copy, in numpy, and gives back an array of that shape.

    Raises UserError where it gives back something else.
    """

    function: Callable[[Array], Any]
    name: str

    def __call__(self, array: Array) -> Array:
        found = self.function(array.copy())
        if found is None:
            raise UserError(f"the tap of {self.name!r} gave back None", "return the array to go on with")
        if not concrete(found):
            found = np.asarray(found)
        if found.shape != array.shape:
            shapes = f"{list(found.shape)} for {list(array.shape)}"
            raise UserError(f"the tap of {self.name!r} gave back an array of another shape: {shapes}")
        changed: Array = found.astype(array.dtype)
        return changed


@dataclass(frozen=True)
class _Put:
    place: Place
    positions: tuple[int, ...] | None

    def __call__(self, array: Array, value: Array | float) -> Array:
        return put(array, self.place.index(_ALL if self.positions is None else list(self.positions)), value)


@dataclass(frozen=True)
class _Multiply:
    place: Place

    def __call__(self, array: Array, factor: float) -> Array:
        index = self.place.index(_ALL)
        return put(array, index, array[index] * factor)


@dataclass(frozen=True)
class _Add:
    place: Place

    def __call__(self, array: Array, value: Any) -> Array:
        index = self.place.index(_ALL)
        return put(array, index, array[index] + (value.astype(array.dtype) if hasattr(value, "astype") else value))


def _add(array: Array, vector: Array) -> Array:
    moved: Array = array + vector.astype(array.dtype)
    return moved
