"""Two real processes over loopback, started as a person starts two hosts, and ended whatever comes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Running = list[subprocess.Popen[str]]


@contextmanager
def two(
    *command: str,
    apart: tuple[Sequence[str], Sequence[str]] = ((), ()),
    devices: tuple[int, int] = (1, 1),
    **environment: str,
) -> Iterator[Running]:
    """`python *command` twice, with `own` arguments each: told where process 0 is, which it is itself, and how many
    devices it has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    running: Running = []
    try:
        for number, count in enumerate(devices):
            flags = f"--xla_backend_optimization_level=0 --xla_force_host_platform_device_count={count}"
            started = subprocess.Popen(
                [sys.executable, *command, *apart[number], "--coordinator", address, "--process", f"{number}/2"],
                env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT), **environment},
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            running.append(started)
        yield running
    finally:
        for process in running:
            _kill(process)
            process.communicate()


def ended(running: Sequence[subprocess.Popen[str]], seconds: float) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each, once all have ended; those that have not after so long are killed."""
    until, found = time.monotonic() + seconds, []
    for process in running:
        try:
            out, err = process.communicate(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill(process)
            out, err = process.communicate()
            err += f"(killed after {seconds:g} seconds)"
        found.append((process.returncode, out, err))
    return found


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # What it watches as well.
