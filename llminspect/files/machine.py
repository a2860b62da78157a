"""What the machine has."""

from __future__ import annotations

import os
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
