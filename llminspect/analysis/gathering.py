"""Several texts asked the same question side by side, so that their passes become one.

A question is written for one text: it runs the model, looks, perhaps changes something, and runs it once more. Here
each text has a thread of its own, of which only one goes on at a time, until it wants a pass or logits. When all wait,
what they want is done together, a batch for texts of one length, and each tap sees the arrays of its text alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import replace
from itertools import groupby
from typing import Any, Generic, TypeVar

import numpy as np

from llminspect.core.array import Array
from llminspect.core.cache import Pass
from llminspect.core.tap import Enough, Tap, matches
from llminspect.errors import UserError
from llminspect.model.opened import Model

R = TypeVar("R")
OF_ALL = ("embedding.positions", "embedding.task", "*relative")
"""Steps that are the same for every text of a length: they have no axis for the texts."""
MOMENT = 1.0
"""Seconds after which a text that waits looks whether the run has ended."""
LOGITS_AT_ONCE = 1 << 25
"""Numbers of logits that are made together."""


def side_by_side(model: Model, works: Sequence[Callable[[Model], R]], together: bool = True) -> list[R | UserError]:
    """What each of the works gives of the model, or the UserError that it raised; in their order.

    They go together where the model's arrays can be told apart by text; else, and where a work goes back over its own
    pass (gradients), one after another.
    """
    if len(works) > 1 and together and goes_together(model):
        return Gathering(model, works).results()
    found: list[R | UserError] = []
    for work in works:
        try:
            found.append(work(model))
        except UserError as error:
            found.append(error)
    return found


def goes_together(model: Model) -> bool:
    """Whether texts of one length may be one batch: not with an engine that compiles, a source, a head for labels, or
    experts, whose rows are of all tokens together."""
    plain = model.engine is None and model.source is None and model.architecture.head is None
    return plain and not model.can("source") and model.config.experts is None and model.segments is None


class _Call:
    """A pass, or logits, that one text waits for."""

    def __init__(self, key: tuple[Any, ...], array: Array, tap: Tap, work: Callable[..., Any]) -> None:
        self.key, self.array, self.tap, self.work = key, array, tap, work
        self.rows: int | slice = 0
        """Which of a batch are its own: one, without an axis for it, or several."""
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class Gathering(Generic[R]):
    """Works on one model that wait for each other's passes."""

    def __init__(self, model: Model, works: Sequence[Callable[[Model], R]]) -> None:
        plain = model.architecture
        self._forward, self._readout = plain.forward, plain.readout
        self._model = replace(model, architecture=replace(plain, forward=self._run, readout=self._logits))
        self._works, self._turn = works, threading.Condition()
        self._found: list[Any] = [None] * len(works)
        self._active, self._waiting = len(works), list[_Call]()
        self._failed: BaseException | None = None

    def results(self) -> list[R | UserError]:
        """What the works gave. Raises what one raised that is no UserError."""
        threads = [
            threading.Thread(target=copy_context().run, args=(self._follow, at), daemon=True)
            for at in range(len(self._works))
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as error:
            self._failed = error
            raise
        if self._failed is not None:
            raise self._failed
        return self._found

    def _follow(self, at: int) -> None:
        """One work, in its thread."""
        with self._turn:
            try:
                self._found[at] = self._works[at](self._model)
            except UserError as error:
                self._found[at] = error
            except BaseException as error:
                self._failed = self._failed or error
            finally:
                self._active -= 1
                self._together_if_all_wait()

    def _run(
        self, params: Any, config: Any, ids_T: Array, tap: Tap, cache: Any = None, hidden_S: Array | None = None
    ) -> Pass:
        """In place of the architecture's `forward`."""
        if cache is not None or hidden_S is not None:
            return self._forward(params, config, ids_T, tap, cache, hidden_S)
        key = ("run", id(params), id(config), ids_T.shape[-1])
        found: Pass = self._done(
            _Call(key, np.asarray(ids_T), tap, lambda ids, tap: self._forward(params, config, ids, tap, None, None))
        )
        return found

    def _logits(self, params: Any, config: Any, stream_TD: Array, tap: Tap) -> Array:
        """In place of the architecture's `readout`."""
        key = ("logits", id(params), id(config), stream_TD.shape[-1], config.sizes.V)
        found: Array = self._done(
            _Call(key, stream_TD, tap, lambda rows_ND, tap: self._readout(params, config, rows_ND, tap))
        )
        return found

    def _done(self, call: _Call) -> Any:
        self._waiting.append(call)
        self._together_if_all_wait()
        while not call.done:
            if self._failed is not None:
                raise UserError("another text failed")
            self._turn.wait(MOMENT)  # Ctrl-C, in the thread that waits for all of these, wakes none.
        if call.error is not None:
            raise call.error
        return call.result

    def _together_if_all_wait(self) -> None:
        if self._failed is not None:
            self._turn.notify_all()
        elif self._waiting and len(self._waiting) == self._active:
            waiting, self._waiting = self._waiting, []
            for _, group in groupby(sorted(waiting, key=lambda call: call.key), lambda call: call.key):
                with np.errstate(all="ignore"):
                    _work(list(group))
            for call in waiting:
                call.done = True
            self._turn.notify_all()


def _work(calls: Sequence[_Call]) -> None:
    """Calls of one kind, done as one."""
    try:
        if calls[0].key[0] == "run":
            _pass(calls)
        else:
            most = max(1, LOGITS_AT_ONCE // calls[0].key[-1])
            some: list[_Call] = []
            for call in calls:
                if some and sum(_count(other) for other in some) + _count(call) > most:
                    _rows_of_logits(some)
                    some = []
                some.append(call)
            _rows_of_logits(some)
    except Exception as error:
        for call in calls:
            call.error = call.error or error


def _count(call: _Call) -> int:
    """How many streams, or texts, a call has."""
    return int(np.prod(call.array.shape[:-1], dtype=int))


def _alone(call: _Call) -> None:
    try:
        call.result = call.work(call.array, call.tap)
    except Exception as error:
        call.error = error


def _pass(calls: Sequence[_Call]) -> None:
    if len(calls) == 1:
        _alone(calls[0])
        return
    start = 0
    for call in calls:
        rows = _count(call)
        call.rows = start if call.array.ndim == 1 else slice(start, start + rows)
        start += rows
    length = calls[0].array.shape[-1]
    ids_BT = np.concatenate([call.array.reshape(-1, length) for call in calls])
    try:
        stream_BTD = calls[0].work(ids_BT, _Together(calls)).stream_TD
    except Enough:
        return
    for call in calls:
        call.result = Pass(stream_BTD[call.rows], None)  # No question goes on from here.


def _rows_of_logits(calls: Sequence[_Call]) -> None:
    if len(calls) == 1:
        _alone(calls[0])
        return
    start = 0
    for call in calls:
        call.rows = slice(start, start + _count(call))
        start += _count(call)
    rows_ND = np.concatenate([call.array.reshape(-1, call.array.shape[-1]) for call in calls])
    logits_NV = calls[0].work(rows_ND, _Together(calls))
    for call in calls:
        call.result = logits_NV[call.rows].reshape(*call.array.shape[:-1], -1)


class _Together:
    """The taps of several texts as one: each sees, and changes, what is of its text."""

    def __init__(self, calls: Sequence[_Call]) -> None:
        self._calls = calls

    def wants(self, name: str) -> bool:
        return any(call.error is None and call.tap.wants(name) for call in self._calls)

    def __call__(self, name: str, array: Array) -> Array:
        of_all, changed, parts = any(matches(name, pattern) for pattern in OF_ALL), False, []
        for call in self._calls:
            part = array if of_all else array[call.rows]
            logits = name.startswith("final.")
            seen = part.reshape(*call.array.shape[:-1], -1) if logits else part
            found = seen
            if call.error is None:
                try:
                    found = call.tap(name, seen)
                except (Enough, UserError) as error:
                    call.error = error
            changed = changed or found is not seen
            parts.append(found.reshape(part.shape) if logits else found)
        if all(call.error is not None for call in self._calls):
            raise Enough
        if not changed:
            return array
        if of_all:
            raise UserError(f"{name} cannot be changed for one text of several", "give one text")
        whole: Array = np.concatenate([part if part.ndim == array.ndim else part[None] for part in parts])
        return whole
