"""`llminspect pull`: fetch a model, once; `cache`: what was fetched and prepared, whether it is whole; rid of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from llminspect.analysis.result import Result
from llminspect.arguments.small import Action
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, UserError
from llminspect.files import cache_folder
from llminspect.files.cache_folder import total_size
from llminspect.files.home import Progress, home
from llminspect.files.locate import locate
from llminspect.files.prepared_file import differing_arrays, source_of
from llminspect.model import preparing
from llminspect.model.toy import TOYS
from llminspect.opening import describe_model


@dataclass(frozen=True)
class CacheEntry:
    """One thing in the cache that this program made."""

    kind: Literal["model", "prepared", "header", "hash", "unfinished", "lock", "leftover"]
    name: str
    path: str
    bytes: int
    used: float
    """When it was last read or written, in seconds since 1970."""
    of: str | None = None
    """The model that it was made from, where that has a short name."""
    faults: list[str] | None = None
    """With `verify`: what is wrong with it."""


@dataclass(frozen=True)
class CacheResult(Result):
    """What is in the cache; after `clear`, what is left, and what was removed."""

    folder: str
    action: Action
    entries: list[CacheEntry]
    bytes: int
    foreign: list[str]
    """What lies there and is none of ours; it is never touched."""
    removed: list[CacheEntry] | None = None
    freed: int | None = None
    """Bytes."""
    limit: int | None = None
    """Bytes that the cache was brought below."""


def cache(
    action: Action,
    names: Sequence[str] = (),
    limit: int | None = None,
    *,
    everything: bool = False,
    agrees: Callable[[int, int], bool] = lambda entries, size: True,
) -> CacheResult:
    """Show, verify or clear the entries that `names` picks (names, kinds, or what they were made from; all if none).

    Without names and `everything`, fetched models are not cleared. `agrees` may keep all: it is given the number of
    entries to be removed and their bytes. Raises UsageError for a name that picks nothing.
    """
    picked = _picked(cache_folder.entries(), names)
    removed: list[cache_folder.CachedFile] = []
    freed = 0
    if action == "clear":
        removed = picked if limit is None else cache_folder.too_much(picked, limit)
        removed = [entry for entry in removed if names or everything or entry.kind != "model"]
        if removed and not agrees(len(removed), sum(entry.bytes for entry in removed)):
            removed = []
        freed = sum(cache_folder.remove(entry) for entry in removed)
        picked = _picked(cache_folder.entries(), ())
    return CacheResult(
        folder=str(home()),
        action=action,
        entries=[_entry(entry, _faults(entry) if action == "verify" else None) for entry in picked],
        bytes=sum(entry.bytes for entry in picked),
        foreign=[str(path) for path in cache_folder.foreign()],
        removed=[_entry(entry, None) for entry in removed] if action == "clear" else None,
        freed=freed if action == "clear" else None,
        limit=limit,
    )


def _picked(found: Sequence[cache_folder.CachedFile], names: Sequence[str]) -> list[cache_folder.CachedFile]:
    if not names:
        return list(found)
    for name in names:
        if not any(name in (entry.name, entry.kind, entry.of) for entry in found):
            known = {entry.kind for entry in found} | {entry.of for entry in found if entry.of}
            raise UsageError(
                f"the cache holds nothing called {name!r}", f"it holds {', '.join(sorted(known)) or 'nothing'}"
            )
    return [entry for entry in found if {entry.name, entry.kind, entry.of} & set(names)]


def _faults(entry: cache_folder.CachedFile) -> list[str]:
    """What is wrong with an entry. Prepared weights are read anew from the files that they were made from, where those
    are still there as they were."""
    found = cache_folder.faults(entry)
    source = None if found or entry.kind != "prepared" else source_of(entry.path)
    if source is None:
        return found
    try:
        description = describe_model(**source, offline=True)
        if not entry.name.startswith(preparing.key_of(description)):
            return []  # Made from other bytes: nobody reads it any more.
    except (UserError, TypeError):
        return []  # It is not there any more.
    plan = [planned for _, planned in preparing.planned(description)]
    try:
        different = differing_arrays(entry.path, plan)
    except UserError as error:
        return [f"would not be made now: {error.message}"]
    return [f"{name} is not what the model's file gives" for name in different]


def _entry(entry: cache_folder.CachedFile, faults: list[str] | None) -> CacheEntry:
    return CacheEntry(entry.kind, entry.name, str(entry.path), entry.bytes, entry.used, entry.of, faults)


@dataclass(frozen=True)
class PullResult(Result):
    """Where the model is now."""

    name: str
    path: str
    fetched: bool
    """Whether it was fetched now; false where it was there already."""
    bytes: int


def pull(
    name: str, *, revision: str | None = None, offline: bool = False, progress: Progress | None = None
) -> PullResult:
    """Fetch a model of the catalogue or of the hub unless it is there. Raises ModelError, UserError."""
    if name in TOYS:
        raise UsageError(f"{name} is built in, there is nothing to fetch")
    stages: set[str] = set()

    def watched(stage: str, done: int, total: int | None) -> None:
        stages.add(stage)
        if progress is not None:
            progress(f"{stage} {name}", done, total)

    located = locate(name, revision=revision, offline=offline, progress=watched)
    paths = [*located.weight_paths, *located.tokenizer_files.values()]
    return PullResult(name, str(located.path), bool(stages - {"wait"}), total_size(paths))
