"""Models of the Hugging Face hub: found in its local cache, fetched into it if need be, compared with their hashes.

Finding takes no import of that library (0.2 s); the layout of the cache is documented and stable:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache. Fetching takes only the files that are needed
(`hub_library.py`, `hub_arrival.py`). What is fetched, and what is found, is compared with the hash that the hub gives.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from llminspect.errors import ModelError
from llminspect.files import folder as folders
from llminspect.files.hashes import sha256_of
from llminspect.files.home import Progress, cannot_write, clear_leftovers, hub_folder, replacing
from llminspect.files.hub_arrival import PATIENCE, arrive, in_time, patience
from llminspect.files.hub_library import HASH, Hub, Listed, no_answer
from llminspect.files.weights import shown

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
_REVISION = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)


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
    files: tuple[str, ...] = (),
) -> Path:
    """The model's folder, whose name is the commit, from the cache if it is there whole, else fetched.

    With `files` these and no others, in place of a model's.
    ModelError: no such model or revision, private, without weights that can be opened, or not to be had (offline,
    no network). UserError: the disk is full.
    """
    wanted = revision or "main"
    if not _REVISION.fullmatch(wanted) or ".." in wanted:
        raise ModelError(f"{wanted!r:.100} is no revision", "a revision is a branch, a tag or a commit")
    found = _cached(repo, wanted, weights, files)
    if found is not None:
        return found
    if offline:
        held = _held(repo, wanted) if weights else ""
        raise ModelError(
            f"{repo} at {wanted} is not in the local hub cache{held}, and working offline is switched on",
            f"run once with a network, or point HF_HOME at the cache (looked in {hub_folder()})",
        )
    return _fetched(repo, wanted, weights, progress or (lambda *_: None), hub or Hub(), files)


def _repo_folder(repo: str) -> Path:
    return hub_folder() / ("models--" + repo.replace("/", "--"))


def _snapshot(repo: str, revision: str) -> Path | None:
    """Where the cache has, or would have, that revision; None where it knows none of that name."""
    folder = _repo_folder(repo)
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except (OSError, UnicodeDecodeError):
        commit = revision  # It may be a commit itself.
    return folder / "snapshots" / commit if re.fullmatch("[0-9a-f]{40}", commit) else None


def _held(repo: str, revision: str) -> str:
    """What the cache has of a model that it has not with its weights, as a part of a sentence."""
    snapshot = _snapshot(repo, revision)
    names = sorted(path.name for path in snapshot.iterdir()) if snapshot is not None and snapshot.is_dir() else []
    some = ", ".join(map(shown, names[:3])) + (" and others" if len(names) > 3 else "")
    return f" with its weights: only {some}" if names else ""


def _cached(repo: str, revision: str, weights: bool, files: tuple[str, ...]) -> Path | None:
    snapshot = _snapshot(repo, revision)
    if snapshot is None:
        return None
    whole = all((snapshot / name).exists() for name in files) if files else _whole(snapshot, weights)
    if not whole:
        return None
    for path in [snapshot / name for name in files] if files else _read_of(snapshot, weights):
        _check_blob(path)
    return snapshot


def _read_of(snapshot: Path, weights: bool) -> list[Path]:
    """The files of a snapshot that a model is read from."""
    small = [
        path for name in (folders.CONFIG, folders.INDEX, *folders.TOKENIZER_FILES) if (path := snapshot / name).exists()
    ]
    return [*small, *(folders.weight_paths(snapshot) if weights else ())]


def _check_blob(path: Path) -> None:
    """Raise ModelError where the content of a cached file is not what its blob is named by: the hash that the hub gave.

    Where the library makes no links the name says nothing.
    """
    blob = path.resolve()
    if blob.parent.name == "blobs" and HASH.fullmatch(blob.name):
        try:
            sha256_of(blob, blob.name)
        except OSError as error:
            raise ModelError(f"cannot read {str(path)!r:.300}: {error.strerror or error}") from None


def _whole(snapshot: Path, weights: bool) -> bool:
    if not weights:  # A tokenizer may stand alone.
        return snapshot.is_dir() and bool(folders.vocabularies(path.name for path in snapshot.iterdir()))
    if not (snapshot / folders.CONFIG).exists():
        return False
    try:
        paths = folders.weight_paths(snapshot)
    except ModelError:
        return False
    return bool(paths) and all(path.exists() for path in paths)


def _fetched(repo: str, revision: str, weights: bool, report: Progress, hub: Hub, files: tuple[str, ...] = ()) -> Path:
    commit, listed = in_time(repo, PATIENCE, lambda: hub.listing(repo, revision))
    sizes = {name: file.size for name, file in listed.items()}
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ModelError(f"the hub gives no commit for {repo} at {revision}")
    snapshot = _repo_folder(repo) / "snapshots" / commit
    if files:
        names = _adapters_files(repo, sizes, files)
    else:
        if folders.CONFIG not in sizes and (weights or not folders.vocabularies(sizes)):
            _refuse_without_config(repo, sizes)
        names = [name for name in (folders.CONFIG, *folders.TOKENIZER_FILES) if name in sizes]
        names += [name for name in folders.vocabularies(sizes) if name not in names]
        if weights and folders.WHOLE not in sizes and folders.INDEX in sizes:
            _watched(hub, snapshot, repo, {folders.INDEX: listed[folders.INDEX]}, report)
        if weights:
            names += [name for name in sizes if folders.MODULE_FILES.fullmatch(name) and name not in names]
            names += _weights_files(repo, snapshot, sizes)
    missing = [name for name in names if name not in sizes]
    if missing:
        raise ModelError(f"{repo} on the hub lacks {missing[0]!r:.200}, which its index names")
    _watched(hub, snapshot, repo, {name: listed[name] for name in names}, report)
    if revision != commit:
        # Only now, so that whoever finds the name in the cache finds everything.
        reference = _repo_folder(repo) / "refs" / revision
        try:
            reference.parent.mkdir(parents=True, exist_ok=True)
            with replacing(reference) as file:  # It is the library's cache, and the user's umask counts there.
                file.write(commit.encode())
        except OSError as error:
            raise cannot_write(reference, error) from None
    return snapshot


def _weights_files(repo: str, snapshot: Path, sizes: Mapping[str, int]) -> list[str]:
    """The names of the files with the weights; the index was fetched."""
    if folders.WHOLE in sizes:
        return [folders.WHOLE]
    if folders.INDEX in sizes:
        return sorted(set(folders.shard_names(folders.inside(snapshot, folders.INDEX)).values()))
    shards = folders.bare_shards(sizes)
    if not shards:
        folders.refuse_pickles(sizes, f"{repo} on the hub")
        raise ModelError(f"{repo} on the hub holds no weights that can be opened", "safetensors can")
    return shards


def _adapters_files(repo: str, sizes: Mapping[str, int], files: tuple[str, ...]) -> list[str]:
    for name in files:
        if name not in sizes:
            folders.refuse_pickles(sizes, f"{repo} on the hub")
            raise ModelError(f"{repo} on the hub is no adapter in the form of PEFT: it has no {name}")
    return list(files)


def _refuse_without_config(repo: str, names: Mapping[str, int]) -> None:
    if folders.ADAPTER_CONFIG in names:
        raise ModelError(
            f"{repo} on the hub is an adapter and no model", f"give it to its model: --model BASE --adapter {repo}"
        )
    quantized = sorted(name for name in names if name.endswith(".gguf"))
    if quantized:
        raise ModelError(
            f"{repo} on the hub holds GGUF files and no config.json",
            f"fetch one, such as {quantized[0]!r:.200}, and give its path",
        )
    raise ModelError(f"{repo} on the hub is no language model in the form of transformers: it has no config.json")


def _watched(hub: Hub, snapshot: Path, repo: str, listed: Mapping[str, Listed], report: Progress) -> None:
    """Fetch files one after another while looking at how the cache grows; each is compared with its hash as it comes.
    ModelError where the hub says none."""
    missing = {name: file for name, file in listed.items() if not (snapshot / name).exists()}
    for name, file in missing.items():
        if not _stays_inside(name):
            raise no_answer(repo)
        if not HASH.fullmatch(file.hash):
            raise ModelError(f"the hub gives no hash for {name!r:.200} of {repo}, so it cannot be compared")
    total, blobs = sum(file.size for file in missing.values()), _repo_folder(repo) / "blobs"
    before = _size(blobs)

    def work() -> None:
        for name, file in missing.items():
            arrive(hub, repo, snapshot, name, file)

    def look() -> None:
        report("download", min(max(_size(blobs) - before, 0), total), total)

    # What arrives looks at its time itself; this is for an answer that does not even begin.
    seconds = sum(2 * patience(file.size) for file in missing.values())
    try:
        in_time(repo, seconds, work, look)
    except ModelError:
        for file in missing.values():  # Of an answer that stopped in the middle nobody else removes what came.
            clear_leftovers(blobs / file.hash, PATIENCE / 2)
        raise
    except OSError as error:
        raise cannot_write(hub_folder(), error) if error.errno else error from None
    report("download", total, total)


def _stays_inside(name: str) -> bool:
    """Whether a file of this name lies in the folder that it is put into, on every system."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and not set(name) & set("\\:\0")


def _size(folder: Path) -> int:
    """Bytes in the files of a folder."""
    size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                size += entry.stat().st_size
    except OSError:
        pass  # Not there yet, or a file was just renamed.
    return size
