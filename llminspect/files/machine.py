"""What the machine has."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from llminspect.errors import UserError

_MEMORY = "/proc/meminfo"
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> int | None:
    """How much memory this process may use: the machine's, or its container's if that is less; None: not known."""
    found = []
    if hasattr(os, "sysconf"):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for place in _CONTAINER_LIMITS:
        try:
            found.append(int(Path(place).read_text()))
        except (OSError, ValueError):  # No such file, or the word "max".
            continue
    return min(found, default=None)


def free_bytes() -> int | None:
    """How much memory could be taken now without ending another process (Linux), or all; None: not known."""
    found = [] if (whole := memory_bytes()) is None else [whole]
    with suppress(OSError, ValueError, KeyError):
        lines = dict(line.split(":", 1) for line in Path(_MEMORY).read_text().splitlines())
        if "MemAvailable" in lines:
            found.append(sum(int(lines[name].split()[0]) << 10 for name in ("MemAvailable", "SwapFree")))
    return min(found, default=None)


MANY = 1 << 12
"""Tokens from which on the room that they take is counted."""


def check_room(tokens: int, numbers_each: int) -> None:
    """Raise UserError for so many tokens, each with so many float32 at the least, that no memory here holds them: the
    system would end the process without a word."""
    memory = free_bytes() if tokens > MANY else None
    needed = 4 * tokens * numbers_each
    if memory is not None and needed > memory:
        raise UserError(
            f"{tokens:,} tokens take at least {needed / 1e9:,.0f} GB of memory, and {memory / 1e9:,.0f} are free",
            "take a shorter text",
        )


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # Of glibc's <malloc.h>.
_KEPT, _FROM_THE_HEAP = 256 << 20, 32 << 20


@cache
def keep_freed_memory() -> None:
    """Let the C library keep up to 256 MB that were freed for what is allocated next, where it can be told to.

    A pass makes and drops some arrays of megabytes in each layer. By itself glibc gives each back to the system and
    asks for it again, and the pages that it then has to touch anew are a seventh of the work of a pass. What the user's
    environment says of it (`MALLOC_TRIM_THRESHOLD_`, …) stays.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    import ctypes

    with suppress(OSError, AttributeError, TypeError):  # Another C library.
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _FROM_THE_HEAP)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
