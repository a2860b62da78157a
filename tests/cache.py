"""A cache folder for one run of the tests: what a broken run prepares goes with it, and the user's own does not change.

Models that were fetched are copied into it (a link more would change the times of the file, which another run may be
reading); prepared weights and hashes are made anew, once for all workers of the run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from llminspect.files.home import home

VARIABLE, PREFIX = "LLMINSPECT_HOME", "llminspect-tests-"
FETCHED = ("models", "conformance")
DAY = 24 * 60 * 60


def begin() -> Path:
    """Make the folder and name it to this process, and so to all that it starts; what a killed run left goes."""
    fetched = home()
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - DAY:
                end(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    for name in FETCHED:
        if (fetched / name).is_dir():
            shutil.copytree(fetched / name, folder / name, ignore=shutil.ignore_patterns("*.partial"))
    os.environ[VARIABLE] = str(folder)
    return folder


def end(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
