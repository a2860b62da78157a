"""Work that falls into independent pieces, done by all cores.

numpy's matrix products use all cores by themselves; its other functions use one, and in a pass over some hundred tokens
those are a third of the work. Within `sharing` each thread does whole pieces, and every product stays in its thread:
the library's own threads keep a core busy for a while after each product, waiting for the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any, TypeVar

import numpy as np

from llminspect.core.array import Array
from llminspect.errors import UsageError, UserError

Item = TypeVar("Item")

SHARED_FROM = 448
"""Tokens of a pass from which on sharing saves more than it costs (docs/decisions.md)."""

NUMBERS_AT_ONCE = 524_288
"""Of the rows that a thread takes, at most: what a hidden layer makes of them is most of the memory of a pass."""

_team: ContextVar[tuple[int, Any]] = ContextVar("team", default=(0, None))
"""How many threads share the work, this one among them, and what runs the others: none share any but in `sharing`."""


@cache
def products() -> Any:
    """What says, and sets, how many threads numpy's matrix products use."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def number() -> int:
    """How many threads work: as many as numpy's products use, or where that cannot be told as there are cores."""
    from llminspect.processes import cores

    return max(1, min((library.num_threads for library in products().lib_controllers), default=cores()))


def use(threads: int) -> None:
    """Let so many threads work in this process from now on: numpy's products, and all that goes by them.

    Raises UsageError for more than there can be, UserError where numpy's products cannot be told.
    """
    from llminspect.processes import cores

    if threads > (there := cores()):
        raise UsageError(f"--threads {threads}: this process has {there} processors", f"from 1 to {there}")
    if not products().lib_controllers:
        raise UserError("numpy's matrix library cannot be told here how many threads to use", "leave out --threads")
    products().limit(limits=threads)


@contextmanager
def sharing(wanted: bool) -> Iterator[None]:
    """Within it `in_threads` and `by_rows` use as many threads as matrix products would, if that is `wanted`.

    One thread where it cannot be told how many products use.
    """
    if not wanted:
        yield
        return
    number = min((library.num_threads for library in products().lib_controllers), default=1)
    with ExitStack() as stack:
        others = None
        if number > 1:
            from concurrent.futures import ThreadPoolExecutor

            stack.enter_context(products().limit(limits=1))
            others = stack.enter_context(ThreadPoolExecutor(number - 1))
        token = _team.set((number, others))
        try:
            yield
        finally:
            _team.reset(token)


def in_threads(work: Callable[[Item], None], items: Iterable[Item]) -> None:
    """`work` on every item, in no particular order. An exception ends the work and is raised here."""
    number, others = _team.get()
    if number <= 1:
        for item in items:
            work(item)
        return
    left, taking, failed = iter(items), threading.Lock(), threading.Event()

    def take() -> None:
        nothing = object()
        _team.set((1, None))
        try:
            while not failed.is_set():
                with taking:
                    item: Any = next(left, nothing)
                if item is nothing:
                    return
                work(item)
        except BaseException:
            failed.set()
            raise

    # In copies of the context, to which numpy's error state belongs.
    taken = [others.submit(copy_context().run, take) for _ in range(number - 1)]
    try:
        copy_context().run(take)
    finally:
        for other in taken:
            other.result()


def by_rows(function: Callable[..., tuple[Array, ...]], *arrays_TD: Array, rows: int) -> tuple[Array, ...]:
    """`function(*arrays)`, for one that treats each of the `rows` rows by itself: within `sharing` some at a time to
    each thread, elsewhere all at once, as whoever looks at its steps has to see them.

    All arrays, those that come out as well, are [..., T, any width].
    """
    return some_at_once(function, *arrays_TD, rows=rows) if _team.get()[0] else function(*arrays_TD)


def parts_of(rows: int, width: int) -> int:
    """Into how many parts so many rows go: one or more for each thread, none too large."""
    return max(1, min(rows, max(_team.get()[0], -(-rows * width // NUMBERS_AT_ONCE))))


def some_at_once(function: Callable[..., tuple[Array, ...]], *arrays_TD: Array, rows: int) -> tuple[Array, ...]:
    """The same in parts wherever the rows are too many for one, for a function at whose steps nobody looks."""
    parts = parts_of(rows, max(x_TD.shape[-1] for x_TD in arrays_TD))
    if parts == 1:
        return function(*arrays_TD)
    wholes_TO: list[Array] = []
    making = threading.Lock()

    def some(part: int) -> None:
        those = slice(rows * part // parts, rows * (part + 1) // parts)
        parts_tO = function(*(x_TD[..., those, :] for x_TD in arrays_TD))
        with making:  # How wide they are is known from here on.
            if not wholes_TO:
                wholes_TO.extend(np.empty((*y_tO.shape[:-2], rows, y_tO.shape[-1]), y_tO.dtype) for y_tO in parts_tO)
        for whole_TO, y_tO in zip(wholes_TO, parts_tO, strict=True):
            whole_TO[..., those, :] = y_tO

    in_threads(some, range(parts))
    return tuple(wholes_TO)
