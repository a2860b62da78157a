"""`python -m llminspect` and the command `llminspect`."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MANY = 100_000
"""Objects made before Python looks for circles among them: a short run makes none worth looking for."""
MONITORS = 6
"""Tools that Python lets watch a run (PEP 669)."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    # Not above: a process that is started to count runs this file and needs no commands.
    import llminspect.commands
    from llminspect.cli import app

    return app.run(arguments, llminspect.commands)


def main() -> None:
    stand_in_for_closed_streams()
    gc.set_threshold(MANY)
    if not sys.warnoptions:  # A number that is none is reported by its name; numpy's own words name a line of ours.
        warnings.simplefilter("ignore", RuntimeWarning)
    end(run(sys.argv[1:]))


def end(code: int) -> None:
    """End the process without taking it apart: to free each object of a model first takes long (docs/decisions.md).

    Whoever still has something to do is waited for: what is registered with `atexit`, other threads, a profiler.
    """
    monitoring = getattr(sys, "monitoring", None)  # From Python 3.12 on; how cProfile watches, of late.
    tools = monitoring is not None and any(monitoring.get_tool(number) for number in range(MONITORS))
    watched = tools or sys.gettrace() or sys.getprofile() or sys.flags.inspect
    if watched or any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)  # Python's own way to say it.
    os._exit(code)


def stand_in_for_closed_streams() -> None:
    """Give a standard stream that whoever started the program has closed a descriptor again.

    Else the next file that is opened would take its number. Reading and writing fail there as they do where a stream is
    closed, so that input is not taken for empty nor output for written; only what standard error says may be lost.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_WRONLY)
        sys.stdin = os.fdopen(0, encoding="utf-8")
    if sys.stdout is None:
        os.open(os.devnull, os.O_RDONLY)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        os.open(os.devnull, os.O_WRONLY)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


if __name__ == "__main__":
    main()
