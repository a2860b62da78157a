"""`--lines` on many cores writes what one core writes, at once and in order, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.commands import _lines, _output
from llminspect.commands._lines import Batch, Lines
from llminspect.commands._output import json_bytes
from tests.conftest import ROOT
from tests.hostile.terminal import PROGRESS, Session, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Program

HOSTILE = [
    *[b"", b"Alice gave Bob her book", b"crlf\r", b"\r", b"two\r\r", b"nul \x00 in it", b"no utf8 \xff\xfe"],
    *[b"\xed\xa0\x80", b"<|im_end|> special <|im_start|>user", b"<|endoftext|>", b"[CLS] hi [SEP]"],
    *["a\u2028b\x0b\x0c\x1c\x85 c".encode(), "🙂 e\u0301 ዪ".encode(), b"x" * 3000, b"long " * 5000, b"\x1b[31mred"],
    *[b"1,2,3", b"none", b"-1", b"99999999", b'[{"role":"user","content":"hi"}]'],
    *[b'[{"role":"user","content":"\\ud800"}]', b'{"ids":[1,2]}', b"the end"],
]
PARTS = [b"a", b"\n", b"\r", b"\r\n", b"\xff", b"bc", b"\x0b"]

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is much: processes from the first byte on, and a few lines for each."""
    monkeypatch.setattr(_lines, "LONG", 1)
    monkeypatch.setattr(_lines, "BATCH", 64)


@given(data=st.lists(st.sampled_from(PARTS)).map(b"".join), size=st.integers(1, 9))
def test_batches_hold_the_lines_that_a_file_has(data: bytes, size: int) -> None:
    lines = Lines(io.BytesIO(data))
    lines.size = size
    batches: list[Batch] = []
    while not lines.ended:
        batch = lines.take()
        batches += [] if batch is None else [batch]
    assert b"".join(batch.data for batch in batches) == data
    assert all(batch.data.endswith(b"\n") for batch in batches[:-1])
    expected = [
        line.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r" if line.endswith(b"\n") else "")
        for line in io.BytesIO(data)
    ]
    assert [line for batch in batches for line in batch.lines()] == list(enumerate(expected))


@pytest.mark.usefixtures("tiny", "workers_first")
@pytest.mark.parametrize(
    "arguments",
    [
        ["tokenize"],
        ["tokenize", "--count", "--cost", "$2.5", "--digits", "3"],
        ["tokenize", "--max-tokens-allowed", "5", "-m", "minilm"],
        ["tokenize", "--count", "--parse", "error"],
        ["tokenize", "--parse", "special", "--truncate", "3", "--side", "start"],
        ["tokenize", "--chat", "--system", "be brief"],
        ["tokenize", "-c", "o200k_base", "-c", "letters", "-c", "minilm", "--max-tokens-allowed", "9"],
        ["tokenize", "-m", "letters", "-c", "letters"],
        ["tokenize", "--ids", "-"],
        ["tokenize", "-m", "words"],
        ["encode", "--no-special", "-m", "minilm"],
        ["encode", "--decode"],
        ["encode", "--ids", "-", "--decode"],
        ["encode", "-m", "words"],
    ],
    ids=" ".join,
)
def test_processes_write_what_one_writes(arguments: list[str], called: Program, pools: list[int]) -> None:
    data = b"\n".join(HOSTILE)
    alone = called(*arguments, "--lines", "--workers", "1", stdin=data)
    assert pools == []
    assert alone.raw.count(b"\n") == len(HOSTILE)
    shared = called(*arguments, "--lines", "--workers", "2", stdin=data)
    assert pools == ([] if "words" in arguments else [2])  # It learns as it goes, so it stays in one process.
    assert (shared.code, shared.raw, shared.err) == (alone.code, alone.raw, alone.err)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many workers were started each time."""
    from llminspect import processes

    started: list[int] = []

    def in_order(tasks: Any, here: Any, make: Any, workers: int, before: Any = processes.in_order) -> Any:
        started.append(workers)
        return before(tasks, here, make, workers)

    monkeypatch.setattr(processes, "in_order", in_order)
    return started


@pytest.mark.usefixtures("workers_first")
def test_only_long_input_is_shared(
    called: Program, pools: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lines, "LONG", 10_000)
    path = tmp_path / "lines.txt"
    for count, expected in ((1000, []), (5000, [3, 3])):
        path.write_bytes(b"Alice\r\n" * count)
        for place in (["--file", str(path)], []):
            ran = called("encode", "--lines", "-m", "bytes", "--workers", "3", *place, stdin=path.read_bytes())
            documents = [orjson.loads(line) for line in ran.raw.splitlines()]
            assert [document["line"] for document in documents] == list(range(count))
            assert {document["text"] for document in documents} == {"Alice"}
        assert pools == expected


class Slow:
    """A program behind a pipe that is written to and read from bit by bit."""

    def __init__(self, *arguments: str, long: int = 1 << 20, **more: Any) -> None:
        script = (
            "import sys\nfrom llminspect.cli import run\nfrom llminspect.commands import _lines\n"
            f"if __name__ == '__main__':\n    _lines.LONG = {long}\n    sys.exit(run(sys.argv[1:]))\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0, **more},
        )
        self.held = b""

    def lines(self, count: int, seconds: float = 30) -> list[bytes]:
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
    assert slow.process.stdin is not None
    slow.process.stdin.close()
    assert slow.process.wait(10) == 0


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
            slow.process.kill()
            slow.process.wait()
            source.kill()


def gone(processes: list[int], seconds: float = 5) -> bool:
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
        asked = time.monotonic()
        os.killpg(slow.process.pid, signal.SIGINT) if group else slow.process.send_signal(signal.SIGINT)
        _, error = slow.process.communicate(timeout=10)
        assert time.monotonic() - asked < 1.5
        assert slow.process.returncode == 130
        assert error.decode().splitlines() == ["llminspect: interrupted"]
        assert gone(others)


def stalled(slow: Slow) -> None:
    """Wait until the program waits for its reader."""
    assert slow.process.stdout is not None
    assert select.select([slow.process.stdout], [], [], 30)[0], "it writes nothing"
    before, end = -1, time.monotonic() + 30
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
        output, error = slow.process.communicate(timeout=10)
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
    """Whoever presses Ctrl-C again waits not even for the rest of a line; nothing is written behind a part of one."""
    with endless(stdout=subprocess.PIPE) as (slow, others):
        stalled(slow)
        for _ in range(times):
            slow.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert slow.process.wait(10) == 130
        output, error = slow.process.communicate()
        assert error == b"llminspect: interrupted\n"
        assert b"interrupted" not in output
        assert all(orjson.loads(line)["line"] for line in (slow.held + output).split(b"\n")[:-1])
        assert gone(others)


def test_an_interrupt_while_json_is_made_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library that makes it would say that something cannot be written."""

    def interrupted(value: object) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(_output, "given_fields", interrupted)
    with pytest.raises(KeyboardInterrupt):
        json_bytes({"inner": Inner(1.0)})


@linux
def test_a_reader_that_has_enough_ends_all_processes() -> None:
    with endless(stdout=subprocess.PIPE) as (slow, others):
        slow.lines(3)
        assert slow.process.stdout is not None
        slow.process.stdout.close()
        assert slow.process.wait(10) == 0
        assert slow.process.stderr is not None
        assert slow.process.stderr.read() == b""
        assert gone(others)


@linux
@pytest.mark.parametrize("wait", [0, 2])
def test_a_killed_worker_is_one_clear_line(wait: float) -> None:
    with endless() as (slow, others):
        time.sleep(wait)
        os.kill(workers(slow.process.pid)[0], signal.SIGKILL)
        _, error = slow.process.communicate(timeout=10)
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
        assert gone(others, 10)


@linux
def test_a_bar_on_the_terminal_where_the_documents_go_elsewhere(tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_bytes(b"Alice gave Bob her book\n" * 20_000)
    program = tmp_path / "shown.py"
    program.write_text(
        "import os, sys\nfrom llminspect.cli import run\nfrom llminspect.commands import _lines\n"
        "if __name__ == '__main__':\n    _lines.MOMENT = 1000\n"
        "    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)\n    sys.exit(run(sys.argv[2:]))\n"
    )
    out = tmp_path / "out.json"
    arguments = ["tokenize", "--lines", "--count", "-m", "bytes", "--file", str(text), "--workers", "1"]
    session = Session([str(out), *arguments], {}, [str(program)])
    assert session.finish() == 0
    assert "tokenize" in shown(session.raw, PROGRESS)
    assert b"kB" in session.raw
    assert out.read_bytes().count(b"\n") == 20_000
    quiet = Session([str(out), *arguments, "--quiet"], {}, [str(program)])
    assert quiet.finish() == 0
    assert quiet.raw == b""


@dataclass(frozen=True)
class Inner:
    number: float
    text: str | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    parts: tuple[Inner, ...]
    by_name: dict[str, Inner | None]


class Pair(NamedTuple):
    left: int
    right: Inner


def test_dataclasses_become_json_without_what_is_none() -> None:
    value = Outer(Inner(0.123), (Inner(1.0, "x\ud800"), Inner(2.0)), {"a": Inner(0.126), "b": None})
    inner: list[Any] = [{"number": 1.0, "text": "x\ufffd"}, {"number": 2.0}]
    whole = {"inner": {"number": 0.123}, "parts": inner, "by_name": {"a": {"number": 0.126}, "b": None}}
    assert orjson.loads(json_bytes(value)) == whole
    rounded = {"inner": {"number": 0.1}, "parts": inner, "by_name": {"a": {"number": 0.1}, "b": None}}
    assert orjson.loads(json_bytes(value, 1)) == rounded
    assert orjson.loads(json_bytes([Pair(1, Inner(2.0)), np.ones(1, np.float32)])) == [[1, {"number": 2.0}], [1.0]]
