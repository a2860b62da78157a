"""What the machine has, and what the C library keeps of it."""

from __future__ import annotations

import platform
import subprocess
import sys

from llminspect.files.machine import memory_bytes
from tests.conftest import ROOT

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


def test_freed_memory_is_used_again_without_touching_new_pages() -> None:
    """Fifty times four arrays of 3.2 MB are 156,000 pages of 4 kB, if each is asked for anew."""
    if platform.libc_ver()[0] == "glibc":
        environment = {"PYTHONPATH": str(ROOT)}
        ran = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, check=True)
        assert int(ran.stdout) < 10_000
