"""What the machine has."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

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
