"""What one process of the fuzzer does: input after input, each with a bound on time and memory."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import signal
import tempfile
import traceback
import tracemalloc
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

SECONDS = 30
ADDRESSES = 3 << 30
"""Bytes of address space."""
MEASURE_EVERY = 50
"""One input in so many has its memory measured (which makes it slow)."""
AT_MOST, PER_BYTE = 8 << 20, 64
"""Bytes that may be allocated at the same time for an input of any size, and in addition for each of its bytes."""


@dataclass
class Counts:
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    findings: int = 0
    peak: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.refused += other.refused
        self.findings += other.findings
        self.peak = max(self.peak, other.peak)
        return self

    def __str__(self) -> str:
        return (
            f"{self.inputs:,} inputs: {self.accepted:,} accepted, {self.refused:,} refused in one line, "
            f"{self.findings:,} findings; at most {self.peak / 1e6:.1f} MB allocated"
        )


class TooLongError(BaseException):
    pass


def _too_long(*_: Any) -> NoReturn:
    raise TooLongError


def input_for(target: Target, name: str, seed: int, number: int) -> bytes:
    return target.make(Random(f"{name} {seed} {number}"))


def tried(target: Target, folder: Path, content: bytes, measure: bool = False) -> tuple[bool, int]:
    """Whether the input is accepted, and the most memory it took if that is measured."""
    if not measure:
        return target.check(folder, content), 0
    tracemalloc.start()
    try:
        accepted = target.check(folder, content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= AT_MOST + PER_BYTE * len(content), f"{peak:,} bytes allocated for an input of {len(content):,}"
    return accepted, peak


def work(name: str, seed: int, start: int, count: int, keep: Path) -> None:
    """Runs the inputs; `report.json` in the temporary folder says how far it came."""
    from llminspect.text import chat_template, guarded_library
    from tests.fuzz.targets import TARGETS

    warnings.simplefilter("error")  # Of an open file that is forgotten as well: Python writes that to standard error.
    chat_template.SECONDS = guarded_library.SECONDS = 0.2
    folder, target, counts, seen = Path(tempfile.gettempdir()), TARGETS[name], Counts(), set()
    kept = os.dup(2)
    errors = os.open(folder / "stderr", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    faulthandler.enable(kept)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    signal.signal(signal.SIGALRM, _too_long)
    report = os.open(folder / "report.json", os.O_RDWR | os.O_CREAT)
    for number in range(start, start + count):
        _write(report, number, counts)
        content = input_for(target, name, seed, number)
        signal.alarm(SECONDS)
        faulthandler.dump_traceback_later(3 * SECONDS, exit=True, file=kept)
        try:
            accepted, peak = tried(target, folder, content, number % MEASURE_EVERY == 0)
            if written := os.pread(errors, 400, 0):
                os.ftruncate(errors, 0)
                raise AssertionError(f"on standard error: {written!r}")
            counts += Counts(1, int(accepted), int(not accepted), 0, peak)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            counts += Counts(1, 0, 0, 1)
            place = _place(error)
            if place not in seen:
                seen.add(place)
                _keep(keep, f"{name}-{seed}-{number}", content, place)
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
    _write(report, start + count, counts)


def _write(report: int, at: int, counts: Counts) -> None:
    os.pwrite(report, json.dumps({"at": at, "counts": asdict(counts)}).encode().ljust(400), 0)


def _place(error: BaseException) -> str:
    """The kind of a finding: where in the package it was raised, and what."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "llminspect" in frame.filename.rpartition("site-packages")[2]] or frames
    last = ours[-1]
    return f"{Path(last.filename).name} {last.name}: {type(error).__name__}: {re.sub(r'[0-9]+', '0', str(error)):.160}"


def _keep(keep: Path, stem: str, content: bytes, place: str) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    (keep / stem).write_bytes(content)
    print_to_log = f"{stem}: {place}\n"
    with (keep / "findings.txt").open("a") as log:
        log.write(print_to_log)
