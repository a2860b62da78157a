"""Work in processes: in order, a bounded number under way, and what becomes of it where something ends early."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from functools import partial
from multiprocessing import active_children
from typing import TYPE_CHECKING

import pytest

from llminspect.errors import UsageError, UserError
from llminspect.processes import AHEAD, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from llminspect.processes import Tasks

Task = tuple[str, float]
PATIENCE = 60
"""Seconds after which a test that waits for what does not come fails; one that passes never waits for them."""


class Listed:
    """Tasks that are all at hand."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks, self.ended, self.taken = iter(tasks), False, 0

    def at_hand(self) -> bool:
        return True

    def source(self) -> None:
        return None

    def take(self) -> Task | None:
        task = next(self._tasks, None)
        self.ended = task is None
        self.taken += task is not None
        return task


class FromPipe:
    """Tasks that come through a pipe, a byte each."""

    def __init__(self, read: int) -> None:
        self._read, self.ended = read, False

    def at_hand(self) -> bool:
        import select

        return bool(select.select([self._read], [], [], 0)[0])

    def source(self) -> int:
        return self._read

    def take(self) -> Task | None:
        byte = os.read(self._read, 1)
        self.ended = not byte
        return ("say", byte[0]) if byte else None


def do(task: Task) -> tuple[str, float, int]:
    what, number = task
    if what == "sleep":
        time.sleep(number)
    elif what == "fail":
        raise UsageError(f"number {number}", "a hint")
    elif what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return what, number, os.getpid()


def make() -> Callable[[Task], tuple[str, float, int]]:
    return do


def make_where_there_is(file: Path) -> Callable[[Task], tuple[str, float, int]]:
    """A worker that has started when there is that file."""
    until = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() > until:
            raise UserError("it waited for this worker")
        time.sleep(0.01)
    return do


def make_none() -> Callable[[Task], tuple[str, float, int]]:
    raise UserError("no tokenizer here")


def never(task: Task) -> tuple[str, float, int]:
    """What this process does where the others have started first."""
    raise AssertionError("not here")


@pytest.mark.usefixtures("workers_first")
def test_results_are_in_order_and_bounded() -> None:
    numbers = [(0.2 if number % 17 == 0 else 0.001) + number * 1e-9 for number in range(200)]
    tasks = Listed([("sleep", number) for number in numbers])
    got, processes = [], set()
    with closing(in_order(tasks, never, make, 2)) as results:
        for _, number, process in results:
            got.append(number)
            processes.add(process)
            assert tasks.taken <= len(got) + AHEAD * 2
    assert got == numbers
    assert len(processes) == 2
    assert active_children() == []


def test_this_process_works_until_the_first_has_started(tmp_path: Path) -> None:
    tasks = Listed([("say", number) for number in range(20)])
    never = partial(make_where_there_is, tmp_path / "never")
    assert {process for _, _, process in in_order(tasks, do, never, 2)} == {os.getpid()}
    assert active_children() == []


def test_no_result_waits_for_a_task_that_is_not_there_yet(tmp_path: Path) -> None:
    """Whether this process works or others do: each task is written when the result before it is there."""
    read, write = os.pipe()
    start = partial(make_where_there_is, tmp_path / "start")
    with closing(in_order(FromPipe(read), do, start, 2)) as results:

        def worker_of(number: int) -> int:
            os.write(write, bytes([number % 256]))
            _, found, process = next(results)
            assert found == number % 256
            return process

        assert {worker_of(number) for number in range(20)} == {os.getpid()}
        (tmp_path / "start").touch()
        number, until = 20, time.monotonic() + PATIENCE
        while worker_of(number) == os.getpid():
            assert time.monotonic() < until, "no other process ever works"
            number += 1
        assert os.getpid() not in {worker_of(number) for number in range(number + 1, number + 21)}
        os.close(write)
        assert list(results) == []
    os.close(read)


@pytest.mark.usefixtures("workers_first")
@pytest.mark.parametrize("at", [0, 3, 40])
def test_an_error_comes_after_the_results_before_it(at: int) -> None:
    tasks = Listed([*[("sleep", 0.03)] * at, ("fail", at), *[("sleep", 0.03)] * 5])
    got: list[float] = []
    with pytest.raises(UsageError, match=f"number {at}") as failed:
        got.extend(result[1] for result in in_order(tasks, never, make, 2))
    assert failed.value.hint == "a hint"
    assert len(got) == at
    assert active_children() == []


def test_what_the_tasks_raise_comes_after_the_results_before_it() -> None:
    class Broken(Listed):
        def take(self) -> Task | None:
            if self.taken == 40:
                raise OSError("the disk is gone")
            return super().take()

    broken: Tasks[Task] = Broken([("sleep", 0.05)] * 100)
    got: list[tuple[str, float, int]] = []
    with pytest.raises(OSError, match="the disk is gone"):
        got.extend(in_order(broken, do, make, 2))
    assert len(got) == 40


@pytest.mark.usefixtures("workers_first")
def test_a_worker_that_is_killed_is_one_clear_error() -> None:
    tasks: list[Task] = [("sleep", 0.02)] * 100 + [("die", 0)] + [("sleep", 0.02)] * 1000
    got: list[tuple[str, float, int]] = []
    with pytest.raises(UserError, match="was killed"):
        got.extend(in_order(Listed(tasks), never, make, 2))
    assert len(got) <= 100
    assert active_children() == []


def test_a_worker_that_cannot_start_says_why() -> None:
    with pytest.raises(UserError, match="no tokenizer here"):
        list(in_order(Listed([("sleep", 0.01)] * 1000), do, make_none, 2))
    assert active_children() == []


@pytest.mark.usefixtures("workers_first")
def test_whoever_closes_it_waits_for_nobody() -> None:
    tasks = Listed([("sleep", 0.001)] * 200 + [("sleep", 10 * PATIENCE)] * 10)
    with closing(in_order(tasks, never, make, 2)) as results:
        for _ in range(200):
            next(results)
        closed = time.monotonic()
    assert time.monotonic() - closed < PATIENCE
    assert active_children() == []
