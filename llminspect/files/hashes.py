"""The SHA-256 of files: of the bytes that are there, and remembered for as long as the files stay what they were.

A hash is bound to the place, size, times of change and number of its file (`state`). The time of the last change of the
file's entry counts with that of its content, for a program may set the latter back. Nothing is remembered of a file
that changed a moment ago: another change in the same tick of the file system's clock would not show.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from llminspect.errors import ModelError, UserError, reader
from llminspect.files.home import existing, subfolder, write_whole
from llminspect.files.weights import shown

TICK, COARSE_TICK = 0.1, 2.0
"""Seconds after which a file's times tell changes apart: those of a file system that notes nanoseconds, and of one that
notes whole seconds (FAT every second one)."""

SMALL = 1 << 16
"""Bytes up to which a file is hashed each time: that is quicker than to look up what was remembered."""
GIT_DIGITS = 40

_SHA256, _GIT, _ANY = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{40}"), re.compile(".*", re.DOTALL)


def state(path: Path) -> str:
    """What changes when the file is another: its place, size, times of change and number in the file system."""
    resolved = path.resolve()
    status = resolved.stat()
    numbers = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return "\n".join([str(resolved), *map(str, numbers)])


def state_key(*paths: Path) -> str:
    """The `state` of files as a short string that can be a file's name. OSError: one is not there."""
    states = "\n".join(state(path) for path in paths)
    return hashlib.sha256(states.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def settled(path: Path) -> bool:
    """Whether the file changed so long ago that its times would tell of another change."""
    status = path.stat()
    changed = max(status.st_ctime_ns, status.st_mtime_ns) if os.name == "nt" else status.st_ctime_ns
    # A clock that was set back makes the past the future; that tells changes apart as well.
    return abs(time.time() - changed / 1e9) > (COARSE_TICK if changed % 1_000_000 == 0 else TICK)


def sha256_of(path: Path, published: str | None = None) -> str:
    """The file's SHA-256 in hex, remembered in the cache.

    With what was `published` of it (its SHA-256, or the number that git gives it) NotPublished where the file is
    another. OSError: it cannot be read. ModelError: it is being changed.
    """
    key, by_git = state_key(path), published is not None and len(published) == GIT_DIGITS
    small = path.stat().st_size <= SMALL
    record = {} if small else _record(existing("hashes") / f"{key}.json") or {}
    if "sha256" not in record or (by_git and "git" not in record):
        record = {"sha256": taken(path), "of": str(path.resolve()), **({"git": git_number(path)} if by_git else {})}
        if state_key(path) != key:
            raise changed(path)
        if not small and settled(path):
            _remember(key, record)
    if published is not None and record["git" if by_git else "sha256"] != published:
        raise NotPublished(path)
    return record["sha256"]


class NotPublished(ModelError):
    """A file that is not what it was published as."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{str(path)!r:.300} is not what was published: its hash differs", "delete it and fetch the model again"
        )
        self.path = path


def changed(path: Path) -> ModelError:
    """What to say of a file that became another while it was read."""
    return ModelError(f"{str(path)!r:.300} was changed while it was read", "try again when it is written")


def taken(path: Path) -> str:
    """The file's SHA-256 in hex, from its bytes. OSError: it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_number(path: Path) -> str:
    """The number that git gives a file with this content: the SHA-1 of its length and its bytes, in hex."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def remember(path: Path, sha256: str) -> None:
    """Note a hash that was taken while the file was written, of the file as it is now."""
    _remember(state_key(path), {"sha256": sha256, "of": str(path.resolve())})


def _remember(key: str, record: Mapping[str, str]) -> None:
    with suppress(OSError, UserError):  # A cache that cannot be written costs time, nothing else.
        write_whole(subfolder("hashes") / f"{key}.json", json.dumps(record).encode())


@reader("the remembered hash")
def _record(place: Path) -> dict[str, str] | None:
    """What is remembered: `sha256`, the file that it is `of`, `git`'s number if that was wanted; None where it is none
    of our records, or one of an older version."""
    try:
        record = json.loads(place.read_bytes())
        forms = {"sha256": _SHA256, "git": _GIT, "of": _ANY}
        known = {"sha256", "of"} <= record.keys() <= forms.keys()
        return record if known and all(forms[name].fullmatch(value) for name, value in record.items()) else None
    except (OSError, ValueError, RecursionError, TypeError, AttributeError, KeyError):
        return None


def record_faults(place: Path) -> list[str]:
    """What is wrong with a remembered hash: the file that it is of is read anew. Nothing where that is another now, for
    then nobody reads the record."""
    record = _record(place)
    if record is None:
        return []
    path = Path(record["of"])
    try:
        if place.stem != state_key(path):
            return []
        right = taken(path) == record["sha256"] and record.get("git") in (None, git_number(path))
    except (OSError, ValueError):
        return []
    return [] if right else [f"says of {shown(path)} what is not so"]
