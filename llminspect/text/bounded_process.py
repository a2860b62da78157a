"""A process of its own for what a stranger's file can make run for ever, or fill the memory with.

One line of JSON to it, one line back. It is started for the first question and kept for the next; what takes too long
is ended with it. It has none of the environment's secrets. The other side is `bounded_server`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from typing import Any

from llminspect.errors import UserError

_KEPT = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "LANG", "LC_ALL", "LC_TIME")
"""Of the environment: what Python needs to start, and what a date is written by."""
_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import serve; serve()"


class BoundedProcess:
    """The process that the function `serve` of a module makes; `what` it does, for people."""

    def __init__(self, module: str, what: str) -> None:
        self._module, self._what = module, what
        self._lock = threading.Lock()
        self.idle: subprocess.Popen[bytes] | None = None
        self._ending: weakref.finalize[..., BoundedProcess] | None = None

    def answer(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What it makes of the request; {"error": …}, in one line, where it fails or takes longer."""
        # Lone surrogates stay what they are, also two that escapes would make one character of.
        text = json.dumps({**request, "seconds": seconds}, ensure_ascii=False)
        with self._lock:
            return self._answer(text.encode("utf-8", "surrogatepass") + b"\n", seconds)

    def _answer(self, request: bytes, seconds: float) -> dict[str, Any]:
        process = self.idle if self.idle is not None and self.idle.poll() is None else self.started()
        self.idle = None  # Until it has answered.
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        except BaseException:
            end(process)
            raise
        finally:
            timer.cancel()
        if line.endswith(b"\n"):
            if late.is_set():  # It answered just before it was stopped.
                end(process)
            else:
                self.idle = process
            answer: dict[str, Any] = json.loads(line)
            return answer
        end(process)
        if late.is_set():
            return {"error": f"it runs for more than {seconds:.2g} seconds"}
        return {"error": "it brings down the process that it runs in"}

    def started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM.format(self._module), json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
        )
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            end(process)
            raise UserError(f"the process that {self._what} does not start")
        if self._ending is not None:
            self._ending.detach()
        self._ending = weakref.finalize(self, end, process)  # At the end of the program at the latest.
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    if process.stdout is not None and not process.stdout.closed:  # It was ended before.
        process.communicate()
