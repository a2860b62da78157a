"""Times of processes and functions: contenders take turns, and the median counts."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
THREADS = min(2, os.cpu_count() or 1)
"""Of arithmetic, for everybody."""
CATCH_YOUR_BREATH = 0.05
"""Seconds between two measurements."""


def environment(**more: str) -> dict[str, str]:
    """That of every timed process: modules may keep their byte code, and all have the same number of threads.

    No library of matrix products is held to an older processor's instructions: OPENBLAS_CORETYPE=Haswell halves numpy's
    speed where there is AVX-512.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if key != "PYTHONDONTWRITEBYTECODE" and not key.startswith(("OPENBLAS_", "MKL_", "DNNL_", "ONEDNN_"))
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS))
    return {
        **kept,
        **threads,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **more,
    }


@dataclass(frozen=True)
class Ran:
    """One run of a process."""

    seconds: float
    megabytes: float
    """The most memory that was resident in one process, mapped files included."""
    processor: float = 0.0
    """Seconds that processors worked for it and for the processes that it started: others' work does not count."""


def run_process(command: Sequence[str], **more: str) -> Ran:
    """Run to the end, output thrown away. RuntimeError: it failed, with the end of what it said."""
    with tempfile.TemporaryFile() as captured:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=captured,
            env=environment(**more),
            cwd=ROOT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            captured.seek(0)
            raise RuntimeError(f"{' '.join(command)[:200]}: {captured.read().decode(errors='replace')[-400:]}")
    megabytes = usage.ru_maxrss / (1 << 10) / (1 << 10 if sys.platform == "darwin" else 1) * 1.048576
    return Ran(seconds, megabytes, usage.ru_utime + usage.ru_stime)


def interleaved(contenders: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 1) -> dict[str, list[Any]]:
    """Each contender in turn, `rounds` times, after `warm_up` rounds that do not count."""
    results: dict[str, list[Any]] = {name: [] for name in contenders}
    for index in range(warm_up + rounds):
        for name, run in contenders.items():
            time.sleep(CATCH_YOUR_BREATH)
            result = run()
            if index >= warm_up:
                results[name].append(result)
    return results


def medians(results: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in results.items()}


class Worker:
    """A script of `peers/` that stays alive and answers requests with how long each took."""

    def __init__(self, interpreter: str, script: str, *arguments: str, **more: str) -> None:
        self.process = subprocess.Popen(
            [interpreter, str(PEERS / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(**more),
            cwd=ROOT,
            text=True,
        )
        self._answer()

    def ask(self, do: str, **what: Any) -> Any:
        """The answer to one request: a number of seconds, mostly."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise RuntimeError(f"{self.process.args!r:.300} ended with {self.process.wait()}")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
