"""Processes that a test talks to while they run: whatever becomes of the test, none outlives it. One that is left would
be found by the garbage collector, and its warning ends some later test that has nothing to do with it."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

RUNNING: list[subprocess.Popen[bytes]] = []


def started(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """As `subprocess.Popen`; after the test it is killed, with its session if it has one of its own, and waited for."""
    process: subprocess.Popen[bytes] = subprocess.Popen(command, **options)
    RUNNING.append(process)
    return process


def end_all() -> None:
    while RUNNING:
        process = RUNNING.pop()
        if process.poll() is None:
            with suppress(ProcessLookupError):
                alone = os.getpgid(process.pid) == process.pid
                os.killpg(process.pid, signal.SIGKILL) if alone else process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
