"""What is in the cache folder: told apart, compared with what it should be, and removed; nothing else is touched.

Only what this program makes is an entry: the catalogue's models, prepared weights (by their first bytes), remembered
headers and hashes, what stopped runs had found, locks, and what killed runs left. Everything else in the folder is
somebody else's and stays, whatever is cleared; symbolic links are never followed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.files.catalogue import CATALOGUE
from llminspect.files.hashes import record_faults, taken
from llminspect.files.home import existing, home, only_one
from llminspect.files.kept_header import whole_content
from llminspect.files.prepared_file import MAGIC, damaged_arrays

CachedKind = Literal["model", "prepared", "header", "hash", "unfinished", "lock", "leftover"]

LIMIT_VARIABLE = "LLMINSPECT_CACHE_LIMIT"
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{12}\.partial")
_HASH = re.compile(r"[0-9a-f]{32}\.json")
_HEADER = re.compile(r"[0-9a-f]{32}\.header")
_SIZE = re.compile(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class CachedFile:
    """One thing that this program made."""

    kind: CachedKind
    name: str
    path: Path
    bytes: int
    used: float
    """When it was last read or written, in seconds since 1970, as far as the file system notes it."""
    of: str | None = None
    """The catalogue's model that it was made from."""


def entries() -> list[CachedFile]:
    """Everything in the cache that this program made, the models first."""
    return [
        *_found("models", _model),
        *_found("prepared", _prepared),
        *_found("headers", lambda path: _simple("header", path) if _HEADER.fullmatch(path.name) else None),
        *_found("hashes", lambda path: _simple("hash", path) if _HASH.fullmatch(path.name) else None),
        *_found("unfinished", lambda path: _simple("unfinished", path) if _HASH.fullmatch(path.name) else None),
        *_found("locks", lambda path: _simple("lock", path) if path.name.endswith(".lock") else None),
    ]


def foreign() -> list[Path]:
    """What lies in the cache folder and is none of ours."""
    known = {entry.path for entry in entries()}
    strange = []
    for path in _listing(home()):
        if path.name not in ("models", "prepared", "headers", "hashes", "unfinished", "locks") or path.is_symlink():
            strange.append(path)
        else:
            strange += [inner for inner in _listing(path) if inner not in known]
    for entry in entries():
        if entry.kind == "model":
            ours = {entry.path / member.place for member in CATALOGUE[entry.name].members}
            strange += [inner for inner in sorted(entry.path.rglob("*")) if not inner.is_dir() and inner not in ours]
    return strange


def faults(entry: CachedFile) -> list[str]:
    """What is wrong with an entry, in words; nothing for one that is whole."""
    if entry.kind == "leftover":
        return ["left by a run that was stopped"]
    if entry.kind == "model":
        return [
            f"{member.place} is {'missing' if found is None else 'not what was published'}"
            for member in CATALOGUE[entry.name].members
            if (found := _sha256(entry.path / member.place)) != member.sha256
        ]
    if entry.kind == "prepared":
        damaged = damaged_arrays(entry.path)
        return ["not whole"] if damaged is None else [f"{name} is damaged" for name in damaged]
    if entry.kind == "header":
        return [] if whole_content(entry.path) is not None else ["not whole"]
    if entry.kind == "hash":
        return record_faults(entry.path)
    return []


def remove(entry: CachedFile) -> int:
    """Remove an entry, waiting for whoever is making it; the bytes that it freed. OSError: it cannot be removed."""
    if entry.kind == "model":
        with only_one(f"pull-{entry.name}"):
            for member in CATALOGUE[entry.name].members:
                (entry.path / member.place).unlink(missing_ok=True)
            _remove_empty(entry.path)
    elif entry.kind == "leftover":
        owner = entry.name[1:].rsplit(".", 2)[0]
        with only_one(f"pull-{owner}" if entry.path.parent.name == "models" else owner):
            if entry.path.is_dir():
                shutil.rmtree(entry.path)
            else:
                entry.path.unlink(missing_ok=True)
    elif entry.kind == "prepared":
        with only_one(entry.path.name):
            entry.path.unlink(missing_ok=True)
    else:
        entry.path.unlink(missing_ok=True)
    return entry.bytes


def too_much(found: Iterable[CachedFile], limit: int, spare: Path | None = None) -> list[CachedFile]:
    """What to remove so that the rest takes at most `limit` bytes: leftovers, then what was not used for longest.

    Headers and prepared weights go before models, for they are made again without a network. `spare` stays.
    """
    order = {"leftover": 0, "unfinished": 1, "header": 1, "prepared": 1, "model": 2}
    candidates = [entry for entry in found if entry.kind in order]
    left = sum(entry.bytes for entry in candidates)
    chosen = []
    for entry in sorted(candidates, key=lambda entry: (order[entry.kind], entry.used)):
        if left > limit and entry.path != spare:
            chosen.append(entry)
            left -= entry.bytes
    return chosen


def keep_below_limit(spare: Path) -> None:
    """Hold the cache below `LLMINSPECT_CACHE_LIMIT`, if that is set; `spare` was just made and stays. UsageError."""
    stated = os.environ.get(LIMIT_VARIABLE)
    if stated:
        try:
            limit = parse_size(stated)
        except UsageError as error:
            raise UsageError(f"{LIMIT_VARIABLE}: {error.message}", error.hint) from None
        for entry in too_much(entries(), limit, spare):
            with suppress(OSError):
                remove(entry)


def parse_size(text: str) -> int:
    """Bytes from `2GB`, `500 MB`, `1.5g` or `1000`; 2GiB counts by 1024. UsageError: it is none of these."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text[:60]!r} is not a size", "write a size such as 500MB, 2GB or 1.5GB")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2].lower() or " "))


def total_size(paths: Iterable[Path]) -> int:
    """The bytes of the files that exist."""
    return sum(path.stat().st_size for path in paths if path.is_file())


def _found(folder: str, recognise: Callable[[Path], CachedFile | None]) -> Iterator[CachedFile]:
    for path in _listing(existing(folder)):
        if path.is_symlink():
            continue
        entry = None
        with suppress(FileNotFoundError):  # Another process finishes or removes its files at any moment.
            entry = _simple("leftover", path) if _LEFTOVER.fullmatch(path.name) else recognise(path)
        if entry is not None:
            yield entry


def _listing(folder: Path) -> list[Path]:
    if folder.is_symlink():
        return []
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _model(path: Path) -> CachedFile | None:
    if path.name not in CATALOGUE or not path.is_dir():
        return None
    members = [path / member.place for member in CATALOGUE[path.name].members]
    there = [member for member in members if member.is_file()]
    used = max((_used(member) for member in there), default=0.0)
    return CachedFile("model", path.name, path, total_size(there), used, of=path.name)


def _prepared(path: Path) -> CachedFile | None:
    try:
        status = path.stat()
        with path.open("rb") as file:
            ours = file.read(len(MAGIC)) == MAGIC
        if ours:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # A look is not a use.
    except OSError:
        return None
    return _simple("prepared", path) if ours else None


def _simple(kind: CachedKind, path: Path) -> CachedFile:
    files = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    of = next((name for name, entry in CATALOGUE.items() if path.name.startswith(entry.weights_sha256[:32])), None)
    return CachedFile(kind, path.name, path, total_size(files), _used(path), of)


def _used(path: Path) -> float:
    status = path.stat()
    return max(status.st_atime, status.st_mtime)


def _remove_empty(folder: Path) -> None:
    """Remove the folder and those in it, as far as nothing of somebody else's lies there."""
    for inner in sorted((path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True):
        with suppress(OSError):
            inner.rmdir()
    with suppress(OSError):
        folder.rmdir()


def _sha256(path: Path) -> str | None:
    try:
        return taken(path)
    except OSError:
        return None
