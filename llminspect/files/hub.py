"""Models of the Hugging Face hub: found in its local cache, fetched into it with the hub's own library if need be.

Finding takes no import of that library (0.2 s); the layout of the cache is documented and stable:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache. Fetching takes only the files that are needed.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

from llminspect.errors import ModelError, UserError
from llminspect.files.folder import (
    CONFIG,
    GENERATION,
    TOKENIZER_FILES,
    VOCABULARIES,
    inside,
    refuse_pickles,
    weight_paths,
)
from llminspect.files.home import cannot_write, hub_folder, write_whole
from llminspect.files.safetensors import INDEX, WHOLE, shard_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llminspect.files.home import Progress

LOOK_EVERY = 0.1
"""Seconds between looks at how much has arrived."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
_REVISION = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)


class Snapshot(NamedTuple):
    """A model's folder in the hub's cache, and the commit that it is of."""

    folder: Path
    commit: str


class Hub(Protocol):
    """What is asked of the hub; `hub_library.LibraryHub` asks it really."""

    def listing(self, repo: str, revision: str) -> tuple[str, Mapping[str, int]]:
        """The commit that a revision stands for, and its files with their sizes."""

    def fetch(self, repo: str, commit: str, name: str) -> None:
        """Bring one file into the cache."""


def is_hub_name(name: str) -> bool:
    """Whether a name has the form `org/name`."""
    return bool(_NAME.fullmatch(name)) and ".." not in name and "--" not in name


def find(
    repo: str,
    revision: str | None,
    *,
    offline: bool,
    weights: bool,
    progress: Progress | None = None,
    hub: Hub | None = None,
) -> Snapshot:
    """The model's folder, from the cache if it is there whole, else fetched.

    ModelError: no such model or revision, private, without weights that can be opened, or not to be had (offline,
    no network). UserError: the disk is full.
    """
    wanted = revision or "main"
    if not _REVISION.fullmatch(wanted) or ".." in wanted:
        raise ModelError(f"{wanted!r:.100} is no revision", "a revision is a branch, a tag or a commit")
    found = _cached(repo, wanted, weights)
    if found is not None:
        return found
    if offline:
        raise ModelError(
            f"{repo} at {wanted} is not in the local hub cache, and working offline was asked for",
            f"run once with a network, or point HF_HOME at the cache (looked in {hub_folder()})",
        )
    if hub is None:
        from llminspect.files.hub_library import LibraryHub

        hub = LibraryHub()
    return _fetched(repo, wanted, weights, progress or _silent, hub)


def _silent(stage: str, done: int, total: int | None) -> None:
    pass


def _repo_folder(repo: str) -> Path:
    return hub_folder() / ("models--" + repo.replace("/", "--"))


def _cached(repo: str, revision: str, weights: bool) -> Snapshot | None:
    folder = _repo_folder(repo)
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except (OSError, UnicodeDecodeError):
        commit = revision  # It may be a commit itself.
    if not re.fullmatch("[0-9a-f]{40}", commit):
        return None
    snapshot = folder / "snapshots" / commit
    return Snapshot(snapshot, commit) if _whole(snapshot, weights) else None


def _whole(snapshot: Path, weights: bool) -> bool:
    if not (snapshot / CONFIG).exists():
        return False
    if not weights:
        return any((snapshot / name).exists() for name in VOCABULARIES)
    try:
        paths = weight_paths(snapshot)
    except ModelError:
        return False
    return bool(paths) and all(path.exists() for path in paths)


def _fetched(repo: str, revision: str, weights: bool, report: Progress, hub: Hub) -> Snapshot:
    commit, sizes = hub.listing(repo, revision)
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ModelError(f"the hub gives no commit for {repo} at {revision}")
    snapshot = Snapshot(_repo_folder(repo) / "snapshots" / commit, commit)
    if CONFIG not in sizes:
        _refuse_without_config(repo, sizes)
    names = [name for name in (CONFIG, GENERATION, *TOKENIZER_FILES) if name in sizes]
    if weights:
        if WHOLE not in sizes and INDEX not in sizes:
            refuse_pickles(sizes, f"{repo} on the hub")
            raise ModelError(f"{repo} on the hub holds no weights that can be opened", "safetensors can")
        if WHOLE in sizes:
            names.append(WHOLE)
        else:
            _watched(hub, snapshot, repo, {INDEX: sizes[INDEX]}, report)
            names += sorted(set(shard_names(inside(snapshot.folder, INDEX)).values()))
    missing = [name for name in names if name not in sizes]
    if missing:
        raise ModelError(f"{repo} on the hub lacks {missing[0]!r:.200}, which its index names")
    _watched(hub, snapshot, repo, {name: sizes[name] for name in names}, report)
    if revision != commit:
        # Only now, so that whoever finds the name in the cache finds everything.
        reference = _repo_folder(repo) / "refs" / revision
        try:
            reference.parent.mkdir(parents=True, exist_ok=True)
            write_whole(reference, lambda file: file.write(commit.encode()))
        except OSError as error:
            raise cannot_write(reference, error) from None
    return snapshot


def _refuse_without_config(repo: str, names: Mapping[str, int]) -> None:
    quantized = sorted(name for name in names if name.endswith(".gguf"))
    if quantized:
        raise ModelError(
            f"{repo} on the hub holds GGUF files and no config.json",
            f"fetch one, such as {quantized[0]!r:.200}, and give its path",
        )
    raise ModelError(f"{repo} on the hub is no language model in the form of transformers: it has no config.json")


def _watched(hub: Hub, snapshot: Snapshot, repo: str, sizes: Mapping[str, int], report: Progress) -> None:
    """Fetch files one after another while looking at how the cache grows.

    In a thread that ends with the program, so that Ctrl-C is answered at once whatever the library is doing.
    """
    missing = {name: size for name, size in sizes.items() if not (snapshot.folder / name).exists()}
    total, blobs = sum(missing.values()), _repo_folder(repo) / "blobs"
    before, failures = _size(blobs), list[BaseException]()

    def work() -> None:
        try:
            for name in missing:
                hub.fetch(repo, snapshot.commit, name)
        except BaseException as error:  # Carried to the thread that waits.
            failures.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    while worker.is_alive():
        worker.join(LOOK_EVERY)
        report("download", min(max(_size(blobs) - before, 0), total), total)
    if failures:
        error = failures[0]
        raise cannot_write(hub_folder(), error) if isinstance(error, OSError) and error.errno else error
    absent = [name for name in missing if not (snapshot.folder / name).exists()]
    if absent:
        raise UserError(f"{absent[0]} of {repo} was fetched and is not in {snapshot.folder}")
    report("download", total, total)


def _size(folder: Path) -> int:
    """Bytes in the files of a folder."""
    size = 0
    try:
        for entry in os.scandir(folder):
            size += entry.stat().st_size
    except OSError:
        pass  # Not there yet, or a file was just renamed.
    return size
