"""The other side of `bounded_process`: answers one line of JSON after another, within bounds that the system keeps."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PER_BYTE = 32
"""Bytes of memory for each byte of what it is asked, beside what is given to all."""
LONGEST_ERROR = 300


def serve_with(work: Callable[[dict[str, Any]], dict[str, Any]], memory: int) -> None:
    """Answer each line of standard input, {"seconds", …}, by what `work` makes of it, or by {"error"} in one line.

    `memory` is how many bytes of address space the process may have.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked.
    answers = sys.stdout.buffer
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _bound(memory + PER_BYTE * len(line), request["seconds"])
        answer = bounded(work, request, memory)
        data = json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")
        _bound(memory + PER_BYTE * len(line), 0)
        answers.write(data + b"\n")
        answers.flush()


def bounded(work: Callable[[dict[str, Any]], dict[str, Any]], request: dict[str, Any], memory: int) -> dict[str, Any]:
    """What the work makes of the request, or {"error"} in one line."""
    try:
        return work(request)
    except MemoryError:
        return {"error": f"it takes more than {memory >> 20} MB of memory"}
    except BaseException as error:  # A stranger's program can fail in any way; a library's panic is no Exception.
        what = " ".join(str(error)[: 2 * LONGEST_ERROR].split()) or type(error).__name__
        return {"error": what[:LONGEST_ERROR]}


def _bound(memory: int, seconds: float) -> None:
    """Limit memory, and end this process should it be at work for longer and nobody be left to end it."""
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        with suppress(ValueError, OSError):  # macOS knows the limit and does not take it.
            soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, seconds and seconds + 1)
