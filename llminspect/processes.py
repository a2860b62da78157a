"""Work shared out to processes: results in order, a bounded number under way, and gone with whoever started them.

A worker has one pipe of its own and at most one task, so that nobody can wait for another for ever: it is given the
next when its result was taken. Its end of the pipe is all that it waits on, so it ends when the process that started it
does, however that ends. Nothing is shared between workers, so one that is killed takes nothing with it.

This process reads, hands out and takes in; until the first worker has started it may do tasks itself as well. Started
afresh ("spawn"), because a process with threads (a progress bar's, a BLAS's) must not be forked.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from types import TracebackType

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")

AHEAD = 3
"""Tasks a worker that are handed out, or done and wait for one before them."""


class Tasks(Protocol[T_co]):
    """Where tasks come from, some of which may not be there yet."""

    ended: bool
    """Whether there will be none any more."""

    def at_hand(self) -> bool:
        """Whether `take` would not wait."""

    def take(self) -> T_co | None:
        """The next task; None where what was read does not make one yet, or at the end."""

    def source(self) -> int | None:
        """The descriptor to wait on for more; None where `at_hand` is always true."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    tasks: Tasks[T], here: Callable[[T], R] | None, make: Callable[[], Callable[[T], R]], workers: int
) -> Generator[R]:
    """The results of all tasks. No result waits for a task that is not there yet.

    `make` builds in each worker what `here` is in this process: it must pickle, as tasks and results must. None where
    what is needed for the work takes longer to build than a worker takes to start. Raises what
    the work or `tasks` raised, after the results of all that came before it; UserError where a worker was killed.
    Close it (`contextlib.closing`) where it is not used up.
    """
    done: dict[int, R | UserError | MemoryError] = {}
    given = taken = 0
    failed: UserError | OSError | None = None
    with Workers(make, workers) as pool:
        while True:
            done.update(pool.finished())
            reading = not tasks.ended and failed is None
            wanted = (
                reading
                and given < taken + AHEAD * workers
                and bool(pool.idle or (here is not None and not pool.started))
            )
            moved = taken in done
            if wanted and tasks.at_hand():
                moved = True
                try:
                    task = tasks.take()
                except (UserError, OSError) as error:
                    task, failed = None, error
                if task is not None and pool.idle:
                    pool.give(given, task)
                elif task is not None and here is not None:
                    done[given] = _attempt(here, task)
                given += task is not None
            while taken in done:
                result = done.pop(taken)
                taken += 1
                if isinstance(result, UserError | MemoryError):
                    raise result
                yield result
            if not moved and not reading and taken == given:
                break
            if not moved:
                pool.wait(tasks.source() if wanted else None)
    if failed is not None:
        raise failed


def _attempt(work: Callable[[T], R], task: T) -> R | UserError | MemoryError:
    try:
        return work(task)
    except (UserError, MemoryError) as error:
        return error


class Workers(Generic[T, R]):
    """Processes that wait for tasks, while the block lasts."""

    def __init__(self, make: Callable[[], Callable[[T], R]], count: int) -> None:
        self._make, self._count = make, count
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection] = []
        self._busy: dict[Connection, int] = {}
        self.idle: list[Connection] = []
        self.started = False
        """Whether any has ever been ready."""

    def __enter__(self) -> Workers[T, R]:
        from multiprocessing import get_context

        context = get_context("spawn")
        try:
            for _ in range(self._count):
                ours, theirs = context.Pipe()
                self._pipes.append(ours)
                process = context.Process(target=_serve, args=(theirs, self._make), daemon=True)
                with _deaf():
                    process.start()
                theirs.close()
                self._processes.append(process)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """At once: a worker has nothing to put away."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()

    def give(self, number: int, task: T) -> None:
        """Hand a task to an idle worker."""
        pipe = self.idle.pop()
        try:
            pipe.send(task)
        except OSError:
            raise killed() from None
        self._busy[pipe] = number

    def finished(self) -> Iterator[tuple[int, Any]]:
        """The results that are there, by the number of their task."""
        from multiprocessing.connection import wait

        for pipe in cast("list[Connection]", wait(self._working(), 0)):
            try:
                result = pipe.recv()
            except (EOFError, OSError):
                raise killed() from None
            number = self._busy.pop(pipe, None)
            self.idle.append(pipe)
            if number is not None:
                yield number, result
            elif isinstance(result, UserError | MemoryError):  # It could not start.
                raise result
            self.started = True

    def wait(self, source: int | None) -> None:
        """Until a worker has something to say, or `source` has something to read."""
        from multiprocessing.connection import wait

        wait([*self._working(), *([] if source is None else [source])])

    def _working(self) -> list[Connection]:
        """Those that are at a task or still starting."""
        return [pipe for pipe in self._pipes if pipe not in self.idle]


def killed() -> UserError:
    """What is said where a worker is gone."""
    return UserError(
        "a process that worked on a part of the text was killed, perhaps because memory ran out",
        "take --workers 1, or fewer workers",
    )


@contextmanager
def _deaf() -> Iterator[None]:
    """A process that is started meanwhile never hears Ctrl-C, not even while it still imports; this one hears it then.

    The parent hears it, and ends the processes.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows.
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # Else the first start does that, and lifts the block.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, make: Callable[[], Callable[[Any], Any]]) -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work = make()
    except (UserError, MemoryError) as error:
        pipe.send(error)
        return
    try:
        pipe.send(None)
        while True:
            pipe.send(_attempt(work, pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # Whoever waited for it is gone.
