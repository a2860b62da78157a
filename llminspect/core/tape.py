"""Gradients by going back over what numpy computed: reverse-mode differentiation of the core's own code.

A `Tape` writes down each step that an array of it goes through; going back over it gives how much a number changes with
each of those arrays, exactly (Griewank and Walther 2008, "Evaluating Derivatives", section 3.2). The model is not
described a second time: numpy hands the functions of the core's arrays to them (NEP 13 and NEP 18), so that what runs
forward is what is differentiated, in float32 or float64.

Where two are equal, a maximum counts for the second, so that relu has no slope at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from llminspect.core.array import Array, RowsOnDemand
from llminspect.core.derivatives import FLAT, FUNCTIONS, REDUCTIONS, RULES, Back, matmul_rule, summed_to
from llminspect.errors import UserError

MOST = 8_000_000_000
"""Bytes of intermediates that one tape keeps at most."""


class Tape:
    """What was computed, in order: of each step the arrays it was made of, and how a gradient goes back to each.

    >>> import numpy as np
    >>> tape = Tape()
    >>> x = tape.watch(np.array([1.0, 2.0, 3.0]))
    >>> y = (x * x).sum() + np.exp(x[0])
    >>> tape.gradients(y, [x])[0].round(3)
    array([4.718, 4.   , 6.   ])
    """

    def __init__(self, most: int = MOST) -> None:
        self.steps: list[tuple[tuple[int, Back], ...]] = []
        self.bytes, self.most = 0, most

    def watch(self, value: Array) -> Traced:
        """The array as one whose use is written down."""
        return self.record(value)

    def record(self, value: Array, *made_of: tuple[Traced, Back]) -> Traced:
        """A new array: each that it was made of, and how the gradient goes back to that one."""
        self.bytes += value.nbytes if value.base is None else 0
        if self.bytes > self.most:
            raise UserError(
                f"the gradient needs to keep more than {self.most / 1e9:.3g} GB of what the pass computes",
                "give a shorter text, or a later layer",
            )
        self.steps.append(tuple((traced.step, back) for traced, back in made_of))
        return Traced(self, value, len(self.steps) - 1)

    def gradients(self, of: Traced, at: Sequence[Traced]) -> list[Array]:
        """How much `of`, a single number, changes with each number of each array in `at`: arrays of their shapes."""
        wanted = {traced.step for traced in at}
        found: dict[int, Array] = {of.step: np.ones_like(of.value)}
        for step in range(of.step, min(wanted, default=of.step) - 1, -1):
            slope = found.get(step)
            if slope is None:
                continue
            for before, back in self.steps[step]:
                with np.errstate(all="ignore"):
                    part = back(slope)
                found[before] = found[before] + part if before in found else part
            if step not in wanted:
                del found[step]
        return [found.get(traced.step, np.zeros_like(traced.value)) for traced in at]


class Traced(NDArrayOperatorsMixin):
    """An array of a tape: numpy's functions take it and give another. One that they would need as numbers alone, and
    whose gradient would so be lost, is refused."""

    def __init__(self, tape: Tape, value: Array, step: int) -> None:
        self.tape, self.value, self.step = tape, value, step

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    dtype = property(lambda self: self.value.dtype)
    size = property(lambda self: self.value.size)

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"Traced({self.value!r})"

    def __array_namespace__(self) -> Any:
        return np

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise UserError("no gradient goes through what takes an array's numbers", "work with numpy's functions on it")

    # -- Steps that numpy hands over ---------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", (None,))  # `a += b` of plain numbers a: the sum is a new array.
        if not (out[0] is None or isinstance(out[0], Traced) or out[0] is inputs[0]):
            raise no_gradient(f"{ufunc.__name__} into an array")
        values = [plain(value) for value in inputs]
        if method != "__call__" or options:
            raise no_gradient(f"{ufunc.__name__}.{method}")
        with np.errstate(all="ignore"):
            value = ufunc(*values)
        if ufunc.__name__ in FLAT:
            return value
        rule = matmul_rule if ufunc is np.matmul else RULES.get(ufunc.__name__)
        if rule is None:
            raise no_gradient(ufunc.__name__)
        backs = rule(value, *values)
        return self.tape.record(
            np.asarray(value),
            *(
                (traced, _fitting(back, traced.value, ufunc is np.matmul))
                for traced, back in zip(inputs, backs, strict=True)
                if isinstance(traced, Traced)
            ),
        )

    def __array_function__(self, function: Any, types: Any, given: Any, options: Any) -> Any:
        name = function.__name__
        if name in FLAT:
            return function(*map(plain, given), **options)
        if name in ("zeros_like", "ones_like", "full_like", "empty_like"):
            return self.tape.record(function(*map(plain, given), **options))
        if name in REDUCTIONS:
            value, back = REDUCTIONS[name](given[0].value, *given[1:], **options)
            return self.tape.record(value, (given[0], back))
        if name in FUNCTIONS:
            return FUNCTIONS[name](self, *given, **options)
        raise no_gradient(name)

    # -- Methods that the core's arrays have -------------------------------------------------------------------------

    def moved(self, value: Array, back: Back) -> Traced:
        """The same numbers elsewhere."""
        return self.tape.record(value, (self, back))

    def constant(self, value: Any) -> Traced:
        """An array of the tape that hangs on nothing."""
        return value if isinstance(value, Traced) else self.tape.record(np.asarray(value))

    def reshape(self, *shape: Any) -> Traced:
        return self.moved(self.value.reshape(*shape), lambda slope: slope.reshape(self.value.shape))

    def swapaxes(self, first: int, second: int) -> Traced:
        return self.moved(self.value.swapaxes(first, second), lambda slope: slope.swapaxes(first, second))

    @property
    def T(self) -> Traced:
        return self.moved(self.value.T, lambda slope: slope.T)

    def astype(self, dtype: Any) -> Traced:
        before = self.value.dtype
        return self.moved(self.value.astype(dtype), lambda slope: slope.astype(before))

    def copy(self) -> Traced:
        """The same numbers as an array of its own. (None is ever written into: `__setitem__` makes another.)"""
        return self.moved(self.value, lambda slope: slope)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Traced:
        return np.sum(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def mean(self, axis: Any = None, keepdims: bool = False) -> Traced:
        return np.mean(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def max(self, axis: Any = None, keepdims: bool = False) -> Traced:
        return np.max(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Traced:
        shape, dtype = self.value.shape, self.value.dtype

        def back(slope: Array) -> Array:
            whole = np.zeros(shape, dtype)
            if _once(index):
                whole[index] += slope
            else:
                np.add.at(whole, index, slope)
            return whole

        return self.moved(self.value[index], back)

    def __setitem__(self, index: Any, value: Any) -> None:
        """This array becomes another, with `value` at `index`."""

        def rest(slope: Array) -> Array:
            kept = slope.copy()
            kept[index] = 0
            return kept

        array, put = self.value.copy(), plain(value)
        array[index] = put
        made_of = [(Traced(self.tape, self.value, self.step), rest)]
        if isinstance(value, Traced):
            made_of.append((value, lambda slope: summed_to(slope[index], put.shape)))
        after = self.tape.record(array, *made_of)
        self.value, self.step = after.value, after.step

    def through(self, matrix_OI: RowsOnDemand) -> Traced:
        """x Wᵀ [..., T, O] by a matrix whose rows are made when they are used."""
        rows_NI = self.value.reshape(-1, self.shape[-1])
        y_TO = matrix_OI.products(rows_NI).reshape(*self.shape[:-1], len(matrix_OI))
        return self.moved(y_TO, lambda slope: (slope @ np.asarray(matrix_OI)).astype(self.dtype))


def plain(value: Any) -> Any:
    """The numbers of an array of a tape; anything else as it is."""
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value.value if isinstance(value, Traced) else value


def no_gradient(name: str) -> UserError:
    return UserError(f"the derivative of numpy.{name} is not known", "write it with numpy's functions of numbers")


def _fitting(back: Back, value: Array, matrix: bool) -> Back:
    """The gradient summed over what the array was repeated along, in its own number type."""
    if matrix:
        return lambda slope: back(slope).astype(value.dtype, copy=False)
    return lambda slope: summed_to(back(slope), value.shape).astype(value.dtype, copy=False)


def _once(index: Any) -> bool:
    """Whether an index takes no number twice, for being made of slices and whole numbers."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice | np.integer) for part in parts)
