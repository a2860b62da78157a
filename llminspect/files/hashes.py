"""The SHA-256 of a file, computed once and remembered for as long as the file stays what it was."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from llminspect.errors import UserError
from llminspect.files.home import home, subfolder, write_whole

if TYPE_CHECKING:
    from pathlib import Path


def state(path: Path) -> str:
    """What changes when the file is another: its place, size, time of change and number in the file system."""
    resolved = path.resolve()
    status = resolved.stat()
    return f"{resolved}\n{status.st_size}\n{status.st_mtime_ns}\n{status.st_ino}"


def state_key(*paths: Path) -> str:
    """The `state` of one or several files as a short string that can be a file's name."""
    states = "\n".join(state(path) for path in paths)
    return hashlib.sha256(states.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex, remembered in the cache. OSError: it cannot be read."""
    key = state_key(path)
    known = _known(key)
    if known is None:
        with path.open("rb") as file:
            known = hashlib.file_digest(file, "sha256").hexdigest()
        _remember(key, known)
    return known


def remember(path: Path, sha256: str) -> None:
    """Note a hash that is already known."""
    _remember(state_key(path), sha256)


def _known(key: str) -> str | None:
    try:
        record = json.loads((home() / "hashes" / f"{key}.json").read_bytes())
    except (OSError, ValueError):
        return None
    sha256 = record.get("sha256") if isinstance(record, dict) else None
    return sha256 if isinstance(sha256, str) and len(sha256) == 64 else None


def _remember(key: str, sha256: str) -> None:
    content = json.dumps({"sha256": sha256}).encode()
    try:
        write_whole(subfolder("hashes") / f"{key}.json", lambda file: file.write(content))
    except (OSError, UserError):
        return  # A cache that cannot be written costs time, nothing else.
