"""How a gradient goes back through each of numpy's functions that the core uses (`core/tape.py` writes them down).

A rule is handed what came out and what went in, and gives for each of those the way back: from the gradient by what
came out to that by what went in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from llminspect.core.array import Array

Back = Callable[[Array], Array]
FLAT = frozenset(
    (
        "equal not_equal less less_equal greater greater_equal isfinite isnan isinf sign floor ceil rint logical_and "
        "logical_or logical_not argmax argmin argpartition argsort flatnonzero nonzero shape ndim size result_type any "
        "all array_equal allclose"
    ).split()
)
"""What is the same, or jumps, as its numbers change a little: it has no gradient, and gives plain arrays."""


def _as_is(slope: Array) -> Array:
    return slope


def _not_nought(slope: Array, factor: Array) -> Array:
    """Their product; nought where the gradient is, even where the factor grew beyond all numbers."""
    return np.where(slope == 0, 0, slope * factor)


RULES: dict[str, Callable[..., tuple[Back, ...]]] = {
    "add": lambda y, a, b: (_as_is, _as_is),
    "subtract": lambda y, a, b: (_as_is, np.negative),
    "multiply": lambda y, a, b: (lambda g: g * b, lambda g: g * a),
    "divide": lambda y, a, b: (lambda g: g / b, lambda g: -g * y / b),
    "negative": lambda y, a: (np.negative,),
    "positive": lambda y, a: (_as_is,),
    "absolute": lambda y, a: (lambda g: g * np.sign(a),),
    "exp": lambda y, a: (lambda g: _not_nought(g, y),),
    "expm1": lambda y, a: (lambda g: _not_nought(g, y + 1),),
    "log": lambda y, a: (lambda g: g / a,),
    "log1p": lambda y, a: (lambda g: g / (1 + a),),
    "logaddexp": lambda y, a, b: (lambda g: g * np.exp(a - y), lambda g: g * np.exp(b - y)),
    "sqrt": lambda y, a: (lambda g: g * 0.5 / y,),
    "square": lambda y, a: (lambda g: g * 2 * a,),
    "tanh": lambda y, a: (lambda g: g * (1 - y * y),),
    "sin": lambda y, a: (lambda g: g * np.cos(a),),
    "cos": lambda y, a: (lambda g: -g * np.sin(a),),
    "power": lambda y, a, b: (lambda g: g * b * a ** (b - 1), lambda g: g * y * np.log(a)),
    "maximum": lambda y, a, b: (lambda g: g * (a > b), lambda g: g * (a <= b)),
    "minimum": lambda y, a, b: (lambda g: g * (a < b), lambda g: g * (a >= b)),
}
"""Of functions of each number by itself, by their names in numpy."""


def matmul_rule(y: Array, a: Array, b: Array) -> tuple[Back, Back]:
    """The matrix product a b: g bᵀ and aᵀ g."""
    rows, columns = np.ndim(a) == 1, np.ndim(b) == 1
    a2, b2 = (a[None] if rows else a), (b[:, None] if columns else b)

    def whole(g: Array) -> Array:
        g = g[..., None] if columns else g
        return g[..., None, :] if rows else g

    return (
        lambda g: summed_to(whole(g) @ b2.swapaxes(-1, -2), a2.shape).reshape(a.shape),
        lambda g: summed_to(a2.swapaxes(-1, -2) @ whole(g), b2.shape).reshape(b.shape),
    )


def summed_to(slope: Array, shape: tuple[int, ...]) -> Array:
    """The sum over the axes along which an array of this shape was repeated."""
    front = slope.ndim - len(shape)
    repeated = [front + axis for axis, length in enumerate(shape) if length == 1 and slope.shape[front + axis] != 1]
    axes = (*range(front), *repeated)
    return slope.sum(axis=axes, keepdims=True).reshape(shape) if axes else slope


# -- Many numbers to one -----------------------------------------------------------------------------------------------


def _spread(slope: Array, axis: Any, keepdims: bool, ndim: int) -> Array:
    """A gradient with the axes that were summed over, of length 1."""
    if keepdims:
        return slope
    axes = range(ndim) if axis is None else ((axis,) if isinstance(axis, int) else axis)
    return np.expand_dims(slope, tuple(each % ndim for each in axes))


def _sum(a: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Back]:
    value = np.sum(a, axis=axis, keepdims=keepdims)
    return np.asarray(value), lambda g: np.broadcast_to(_spread(g, axis, keepdims, a.ndim), a.shape)


def _mean(a: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Back]:
    value = np.asarray(np.mean(a, axis=axis, keepdims=keepdims))
    share = value.size / a.size
    return value, lambda g: np.broadcast_to(_spread(g, axis, keepdims, a.ndim) * a.dtype.type(share), a.shape)


def _max(a: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Back]:
    """Those that are the highest share it."""
    value = np.asarray(np.max(a, axis=axis, keepdims=keepdims))

    def back(g: Array) -> Array:
        highest = a == _spread(value, axis, keepdims, a.ndim)
        share: Array = _spread(g, axis, keepdims, a.ndim) * highest / highest.sum(axis=axis, keepdims=True)
        return share.astype(a.dtype)

    return value, back


REDUCTIONS: dict[str, Callable[..., tuple[Array, Back]]] = {"sum": _sum, "mean": _mean, "max": _max, "amax": _max}


# -- Numbers put elsewhere: `like` is any array of the tape ------------------------------------------------------------


def _where(like: Any, condition: Any, first: Any, second: Any) -> Any:
    values = [getattr(array, "value", array) for array in (first, second)]
    made_of = []
    for array, share in ((first, np.asarray(condition)), (second, ~np.asarray(condition))):
        if hasattr(array, "tape"):
            made_of.append((array, _chosen(share, array.shape)))
    return like.tape.record(np.where(condition, *values), *made_of)


def _chosen(share: Array, shape: tuple[int, ...]) -> Back:
    return lambda g: summed_to(np.where(share, g, np.zeros((), g.dtype)), shape)


def _concatenate(like: Any, arrays: Sequence[Any], axis: int = 0) -> Any:
    parts = [like.constant(array) for array in arrays]
    ends = np.cumsum([0, *(part.shape[axis] for part in parts)]).tolist()

    def cut(start: int, stop: int) -> Back:
        return lambda g: np.moveaxis(np.moveaxis(g, axis, 0)[start:stop], 0, axis)

    backs = [cut(*pair) for pair in pairwise(ends)]
    value = np.concatenate([part.value for part in parts], axis=axis)
    return like.tape.record(value, *zip(parts, backs, strict=True))


def _stack(like: Any, arrays: Sequence[Any], axis: int = 0) -> Any:
    place = axis % (np.ndim(arrays[0]) + 1)
    return _concatenate(like, [np.expand_dims(like.constant(array), place) for array in arrays], place)


def _split(like: Any, a: Any, cuts: Any, axis: int = 0) -> list[Any]:
    length = a.shape[axis]
    ends = [length * part // cuts for part in range(1, cuts)] if isinstance(cuts, int) else list(cuts)
    front = (slice(None),) * (axis % a.ndim)
    return [a[(*front, slice(*pair))] for pair in zip([0, *ends], [*ends, length], strict=True)]


def _repeat(like: Any, a: Any, times: int, axis: int) -> Any:
    front = (slice(None),) * (axis % a.ndim)
    return a[(*front, np.repeat(np.arange(a.shape[axis]), times))]


def _take_along_axis(like: Any, a: Any, indices: Array, axis: int) -> Any:
    shape = np.broadcast_shapes(indices.shape[:axis], a.shape[:axis]) if axis >= 0 else None
    assert shape is None and axis == -1, "the core takes along the last axis"
    front = np.broadcast_shapes(indices.shape[:-1], a.shape[:-1])
    chosen = np.broadcast_to(indices, (*front, indices.shape[-1]))
    grid = np.meshgrid(*map(np.arange, front), indexing="ij", sparse=True)
    return np.broadcast_to(a, (*front, a.shape[-1]))[(*(each[..., None] for each in grid), chosen)]


def _moveaxis(like: Any, a: Any, source: int, destination: int) -> Any:
    return a.moved(np.moveaxis(a.value, source, destination), lambda g: np.moveaxis(g, destination, source))


def _transpose(like: Any, a: Any, axes: Any = None) -> Any:
    back = None if axes is None else np.argsort(axes)
    return a.moved(np.transpose(a.value, axes), lambda g: np.transpose(g, back))


def _einsum(like: Any, rule: str, first: Any, second: Any) -> Any:
    """Of two arrays, each of whose letters the other or the result has."""
    terms, result = rule.split("->")
    left, right = terms.split(",")
    first, second = like.constant(first), like.constant(second)
    return like.tape.record(
        np.einsum(rule, first.value, second.value),
        (first, lambda g: summed_to(np.einsum(f"{result},{right}->{left}", g, second.value), first.shape)),
        (second, lambda g: summed_to(np.einsum(f"{left},{result}->{right}", first.value, g), second.shape)),
    )


_NAMED = (_where, _concatenate, _stack, _split, _repeat, _take_along_axis, _moveaxis, _transpose, _einsum)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{function.__name__[1:]: function for function in _NAMED},
    "concat": _concatenate,
    "permute_dims": _transpose,
    "expand_dims": lambda like, a, axis: a.reshape(np.expand_dims(a.value, axis).shape),
    "broadcast_to": lambda like, a, shape: a.moved(np.broadcast_to(a.value, shape), lambda g: summed_to(g, a.shape)),
    "take": lambda like, a, indices, axis: a[(*(slice(None),) * (axis % a.ndim), indices)],
    "reshape": lambda like, a, shape: a.reshape(shape),
    "swapaxes": lambda like, a, first, second: a.swapaxes(first, second),
    "clip": lambda like, a, low, high: np.minimum(np.maximum(a, low), high),
    "copy": lambda like, a: a.copy(),
}
"""By their names in numpy."""
