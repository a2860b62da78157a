"""How `--lines` on many cores waits and ends: at once, in whole lines, with nothing left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson
import pytest

from tests.conftest import ROOT
from tests.started import started

if TYPE_CHECKING:
    from collections.abc import Iterator


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


class Slow:
    """A program behind a pipe that is written to and read from bit by bit."""

    def __init__(self, *arguments: str, long: int = 1 << 20, **more: Any) -> None:
        script = (
            "import sys\nfrom llminspect.__main__ import run\nfrom llminspect.cli import stream as _lines\n"
            f"if __name__ == '__main__':\n    _lines.LONG = {long}\n    sys.exit(run(sys.argv[1:]))\n"
        )
        self.process = started(
            [sys.executable, "-c", script, *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0, **more},
        )
        self.held = b""

    def lines(self, count: int, seconds: float = 60) -> list[bytes]:
        """That many lines of what it wrote."""
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        while self.held.count(b"\n") < count:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.process.stdout], [], [], left)[0], "it waits"
            self.held += os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self.held = self.held.split(b"\n", count)
        return lines

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)


@linux
def test_a_slow_pipe_is_answered_at_once() -> None:
    """Before there are processes, and when there are."""
    slow = Slow("tokenize", "--lines", "--count", "-m", "bytes", "--workers", "2", long=2000)
    slow.write(b"one\ntw")
    assert orjson.loads(slow.lines(1)[0])["bytes"] == 3
    slow.write(b"o two\n")
    assert orjson.loads(slow.lines(1)[0])["bytes"] == 7
    assert children(slow.process.pid) == []
    number = 2
    while not workers(slow.process.pid):
        assert number < 100_000
        slow.write(b"many\n" * 1000)
        assert orjson.loads(slow.lines(1000)[-1])["line"] == number + 999
        number += 1000
    for text in (b"one", b"two two", b"three") * 20:
        slow.write(text + b"\n")
        document = orjson.loads(slow.lines(1)[0])
        assert (document["line"], document["bytes"]) == (number, len(text))
        number += 1
        time.sleep(0.02)
    with slow.process as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def children(process: int) -> list[int]:
    """The processes that it has started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def workers(process: int) -> list[int]:
    """Those of them that work on lines."""
    return [child for child in children(process) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def endless(
    line: str = "Alice gave Bob her book", stdout: int | IO[bytes] = subprocess.DEVNULL, group: bool = False
) -> Iterator[tuple[Slow, list[int]]]:
    """The program at work on lines without end, and all that it has started."""
    with subprocess.Popen(["yes", line], stdout=subprocess.PIPE) as source:
        slow = Slow(
            *["tokenize", "--lines", "-m", "o200k_base", "--workers", "2"],
            long=1 << 16,
            stdin=source.stdout,
            stdout=stdout,
            start_new_session=group,
        )
        try:
            end = time.monotonic() + 60
            while len(workers(slow.process.pid)) < 2:
                assert slow.process.poll() is None
                assert time.monotonic() < end
                if stdout == subprocess.PIPE:
                    slow.lines(1)
            yield slow, children(slow.process.pid)
        finally:
            with slow.process:
                slow.process.kill()
            source.kill()


def gone(processes: list[int], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while any(map(alive, processes)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, processes))


@linux
@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("wait", [0, 2])
def test_an_interrupt_ends_all_processes_at_once(group: bool, wait: float) -> None:
    """Also while they still start, and where they hear it themselves, as from a terminal."""
    with endless(group=group) as (slow, others):
        time.sleep(wait)
        os.killpg(slow.process.pid, signal.SIGINT) if group else slow.process.send_signal(signal.SIGINT)
        _, error = slow.process.communicate(timeout=60)  # The lines have no end.
        assert slow.process.returncode == 130
        assert error.decode().splitlines() == ["llminspect: interrupted"]
        assert gone(others)


def stalled(slow: Slow) -> None:
    """Wait until the program waits for its reader."""
    assert slow.process.stdout is not None
    assert select.select([slow.process.stdout], [], [], 60)[0], "it writes nothing"
    before, end = -1, time.monotonic() + 60
    while (now := processor_ticks(slow.process.pid)) != before:
        assert time.monotonic() < end, "it does not wait"
        before = now
        time.sleep(0.5)


def processor_ticks(process: int) -> int:
    """Those that it spent in its own code; asking again and again whether a pipe is ready takes next to none."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11])


@linux
def test_empty_lines_take_little_memory_where_nobody_reads() -> None:
    with endless(line="", stdout=subprocess.PIPE) as (slow, others):
        stalled(slow)
        peaks = [most_memory(process) for process in (slow.process.pid, *others)]
    assert max(peaks) < 100e6


def most_memory(process: int) -> int:
    """The most bytes that were ever resident."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@linux
def test_an_interrupt_cuts_no_line_that_its_reader_takes() -> None:
    with endless(stdout=subprocess.PIPE) as (slow, others):
        stalled(slow)
        slow.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        output, error = slow.process.communicate(timeout=60)
        assert slow.process.returncode == 130
        assert error == b"llminspect: interrupted\n"
        *documents, last = [orjson.loads(line) for line in (slow.held + output).split(b"\n")[:-1]]
        assert output.endswith(b"\n")
        assert last["error"]["code"] == "interrupted"
        first = documents[0]["line"]
        assert [document["line"] for document in documents] == list(range(first, first + len(documents)))
        assert gone(others)


@linux
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_waits_for_no_reader_that_reads_no_more(times: int) -> None:
    """Whoever presses Ctrl-C again waits not even for the rest of a line; nothing is written after a part of one."""
    with endless(stdout=subprocess.PIPE) as (slow, others):
        stalled(slow)
        for _ in range(times):
            slow.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert slow.process.wait(60) == 130
        output, error = slow.process.communicate()
        assert error == b"llminspect: interrupted\n"
        assert b"interrupted" not in output
        assert all(orjson.loads(line)["line"] for line in (slow.held + output).split(b"\n")[:-1])
        assert gone(others)


@linux
def test_a_reader_that_has_enough_ends_all_processes() -> None:
    with endless(stdout=subprocess.PIPE) as (slow, others):
        slow.lines(3)
        assert slow.process.stdout is not None
        slow.process.stdout.close()
        assert slow.process.wait(60) == 0
        assert slow.process.stderr is not None
        assert slow.process.stderr.read() == b""
        assert gone(others)


@linux
@pytest.mark.parametrize("wait", [0, 2])
def test_a_killed_worker_is_one_clear_line(wait: float) -> None:
    with endless() as (slow, others):
        time.sleep(wait)
        os.kill(workers(slow.process.pid)[0], signal.SIGKILL)
        _, error = slow.process.communicate(timeout=60)
        assert slow.process.returncode == 1
        assert len(error.decode().splitlines()) == 1
        assert "was killed" in error.decode()
        assert "--workers" in error.decode()
        assert gone(others)


@linux
def test_workers_end_with_whoever_started_them() -> None:
    with endless() as (slow, others):
        slow.process.kill()
        slow.process.wait()
        assert gone(others)
