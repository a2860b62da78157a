"""Killed at any moment, or several at once on an empty cache: what is read afterwards is whole, and nothing is left."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.files.prepared import prepared
from llminspect.files.prepared_file import Planned, damaged_arrays

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from numpy.typing import NDArray

CONTEXT = multiprocessing.get_context("spawn")
COUNT, SIZE = 24, 50_000


def plan(pause: float = 0, made: Path | None = None) -> list[Planned]:
    def read(index: int) -> NDArray[np.float32]:
        if made is not None:
            (made / f"{index}-{time.monotonic_ns()}").touch()
        time.sleep(pause)
        return np.full(SIZE, index + 1, np.float32)

    return [Planned(f"w{index}", (SIZE,), lambda index=index: read(index)) for index in range(COUNT)]  # type: ignore[misc]


def prepare(pause: float, started: Any, made: Path | None = None) -> None:
    started.wait()
    arrays = prepared("key", plan(pause, made), notice=lambda line: pytest.fail(line))
    assert all(np.all(array == index + 1) for index, array in enumerate(arrays.values()))


def start(count: int, pause: float, made: Path | None = None) -> list[BaseProcess]:
    """Processes that begin together, when all of them have started."""
    barrier = CONTEXT.Barrier(count + 1)
    processes = [CONTEXT.Process(target=prepare, args=(pause, barrier, made)) for _ in range(count)]
    for process in processes:
        process.start()
    barrier.wait()
    return list(processes)


@pytest.mark.parametrize("moment", [0.0, 0.03, 0.06, 0.09])
def test_killed_while_preparing(cache: Path, moment: float) -> None:
    (process,) = start(1, pause=0.01)
    time.sleep(moment)
    process.kill()
    process.join()
    assert damaged_arrays(cache / "prepared" / "key") in (None, [])
    arrays = prepared("key", plan(), notice=pytest.fail)
    assert all(np.all(array == index + 1) for index, array in enumerate(arrays.values()))
    assert [path.name for path in (cache / "prepared").iterdir()] == ["key"]


def test_three_at_once_prepare_it_once(cache: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    processes = start(3, pause=0.01, made=made)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list(made.iterdir())) == COUNT
    assert damaged_arrays(cache / "prepared" / "key") == []
