"""Chat templates: programs in Jinja that come with a model from a stranger.

They run in jinja2's sandbox, which keeps them from Python's insides, and in a process of their own, because the
sandbox bounds neither time nor memory and one operation can take all of both: `[x, x]` forty times, then its text.
The process is started for the first template and kept for the next; it has none of the environment's secrets.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from llminspect.errors import UserError

LARGEST = 1 << 22
"""Characters that a template may write beyond what the messages hold."""
SECONDS = 5.0

_KEPT = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "LANG", "LC_ALL", "LC_TIME")
"""Of the environment: what Python needs to start, and what a date is written by."""
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from llminspect.text.template_sandbox import serve; serve()"
)
_LOCK = threading.Lock()
_idle: subprocess.Popen[bytes] | None = None


def render_template(template: str, variables: Mapping[str, Any]) -> str:
    """What the template makes of the variables. Raises UserError, in one line, where it fails."""
    largest = LARGEST + _characters([variables.get("messages"), variables.get("tools")])
    request = {"template": template, "variables": dict(variables), "seconds": SECONDS, "largest": largest}
    # Lone surrogates stay what they are, also two that escapes would make one character of.
    line = json.dumps(request, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
    with _LOCK:
        answer = _answer(line)
    if "error" in answer:
        raise UserError(f"the model's chat template fails: {answer['error']}")
    return answer["text"]


def _characters(value: Any) -> int:
    """How many there are in all the texts of a JSON value."""
    if isinstance(value, str):
        return len(value)
    entries = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return sum(map(_characters, entries))


def _answer(request: bytes) -> dict[str, str]:
    global _idle
    process = _idle if _idle is not None and _idle.poll() is None else _started()
    _idle = None  # Until it has answered.
    assert process.stdin is not None
    assert process.stdout is not None
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(SECONDS, stop)
    timer.daemon = True
    timer.start()
    try:
        process.stdin.write(request)
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = b""
    except BaseException:
        _end(process)
        raise
    finally:
        timer.cancel()
    if line.endswith(b"\n"):
        if late.is_set():  # It answered just before it was stopped.
            _end(process)
        else:
            _idle = process
        answer: dict[str, str] = json.loads(line)
        return answer
    _end(process)
    if late.is_set():
        return {"error": f"it runs for more than {SECONDS:g} seconds"}
    return {"error": "it brings down the process that it runs in"}


def _started() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _PROGRAM, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _KEPT if name in os.environ},
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        _end(process)
        raise UserError("the process that renders chat templates does not start", "leave out --chat")
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
