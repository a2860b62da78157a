"""What the machine has, and what the C library keeps of it."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from llminspect.errors import UserError
from llminspect.files import machine
from llminspect.files.machine import check_room, free_bytes, memory_bytes
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FAULTS = """
import resource
import numpy as np
from llminspect.files.machine import keep_freed_memory
keep_freed_memory()
def use():
    arrays = [np.ones(800_000, np.float32) for _ in range(4)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_machine_has_some_memory() -> None:
    there = memory_bytes()
    assert there is not None and there > 1 << 28


def test_what_others_use_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text(
        "MemTotal: 9 kB\nMemAvailable:     200 kB\nSwapFree:  100 kB\nHugePages_Total: 0\n"
    )
    monkeypatch.setattr(machine, "_MEMORY", str(tmp_path / "meminfo"))
    monkeypatch.setattr(machine, "MANY", 0)
    assert free_bytes() == 300 << 10
    check_room(1000, 76)
    with pytest.raises(UserError, match="1,000 tokens take at least"):
        check_room(1000, 77)
    for text in ("", "MemFree: 5 kB\n", "no such file", "MemAvailable: 7 kB\n", "MemAvailable: x\nSwapFree: 0 kB\n"):
        (tmp_path / "meminfo").write_text(text)
        assert free_bytes() == memory_bytes()
    (tmp_path / "meminfo").unlink()
    assert free_bytes() == memory_bytes()


def test_freed_memory_is_used_again_without_touching_new_pages() -> None:
    """Fifty times four arrays of 3.2 MB are 156,000 pages of 4 kB, if each is asked for anew."""
    if platform.libc_ver()[0] == "glibc":
        environment = {"PYTHONPATH": str(ROOT)}
        ran = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, check=True)
        assert int(ran.stdout) < 10_000
