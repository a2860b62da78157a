"""Models of the Hugging Face hub: found in its local cache, fetched into it with the hub's own library if need be.

Finding takes no import of that library (0.2 s); the layout of the cache is documented and stable:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache. Fetching takes only the files that are needed; the
library is kept quiet, and its errors come in our words.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, TypeVar

from llminspect.errors import ModelError, UserError
from llminspect.files.folder import (
    ADAPTER,
    ADAPTER_CONFIG,
    CONFIG,
    INDEX,
    MODULE_FILES,
    TOKENIZER_FILES,
    WHOLE,
    bare_shards,
    inside,
    refuse_pickles,
    shard_names,
    vocabularies,
    weight_paths,
)
from llminspect.files.home import cannot_write, hub_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from llminspect.files.home import Progress

LOOK_EVERY = 0.1
"""Seconds between looks at how much has arrived."""

TOKEN_HINT = "if it is private or gated, set HF_TOKEN to a token that may read it"
HTTP_CLIENTS = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
"""Packages whose exceptions mean that the network failed: the library has changed clients before."""

Result = TypeVar("Result")

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
        raise ModelError(
            f"{repo} at {wanted} is not in the local hub cache, and working offline was asked for",
            f"run once with a network, or point HF_HOME at the cache (looked in {hub_folder()})",
        )
    return _fetched(repo, wanted, weights, progress or (lambda *_: None), hub or Hub(), files)


def find_adapter(repo: str, revision: str | None, *, offline: bool, hub: Hub | None = None) -> Path:
    """The folder with an adapter's two files, as `find` the model's."""
    return find(repo, revision, offline=offline, weights=False, hub=hub, files=(ADAPTER_CONFIG, ADAPTER))


def _repo_folder(repo: str) -> Path:
    return hub_folder() / ("models--" + repo.replace("/", "--"))


def _cached(repo: str, revision: str, weights: bool, files: tuple[str, ...]) -> Path | None:
    folder = _repo_folder(repo)
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except (OSError, UnicodeDecodeError):
        commit = revision  # It may be a commit itself.
    if not re.fullmatch("[0-9a-f]{40}", commit):
        return None
    snapshot = folder / "snapshots" / commit
    whole = all((snapshot / name).exists() for name in files) if files else _whole(snapshot, weights)
    return snapshot if whole else None


def _whole(snapshot: Path, weights: bool) -> bool:
    if not weights:  # A tokenizer may stand alone.
        return snapshot.is_dir() and bool(vocabularies(path.name for path in snapshot.iterdir()))
    if not (snapshot / CONFIG).exists():
        return False
    try:
        paths = weight_paths(snapshot)
    except ModelError:
        return False
    return bool(paths) and all(path.exists() for path in paths)


def _fetched(repo: str, revision: str, weights: bool, report: Progress, hub: Hub, files: tuple[str, ...] = ()) -> Path:
    commit, sizes = hub.listing(repo, revision)
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ModelError(f"the hub gives no commit for {repo} at {revision}")
    snapshot = _repo_folder(repo) / "snapshots" / commit
    if files:
        names = _adapters_files(repo, sizes, files)
    else:
        if CONFIG not in sizes and (weights or not vocabularies(sizes)):
            _refuse_without_config(repo, sizes)
        names = [name for name in (CONFIG, *TOKENIZER_FILES) if name in sizes]
        names += [name for name in vocabularies(sizes) if name not in names]
        if weights and WHOLE not in sizes and INDEX in sizes:
            _watched(hub, snapshot, repo, {INDEX: sizes[INDEX]}, report)
        if weights:
            names += [name for name in sizes if MODULE_FILES.fullmatch(name) and name not in names]
            names += _weights_files(repo, snapshot, sizes)
    missing = [name for name in names if name not in sizes]
    if missing:
        raise ModelError(f"{repo} on the hub lacks {missing[0]!r:.200}, which its index names")
    _watched(hub, snapshot, repo, {name: sizes[name] for name in names}, report)
    if revision != commit:
        # Only now, so that whoever finds the name in the cache finds everything.
        reference = _repo_folder(repo) / "refs" / revision
        try:
            reference.parent.mkdir(parents=True, exist_ok=True)
            write_whole(reference, commit.encode())
        except OSError as error:
            raise cannot_write(reference, error) from None
    return snapshot


def _weights_files(repo: str, snapshot: Path, sizes: Mapping[str, int]) -> list[str]:
    """The names of the files with the weights; the index was fetched."""
    if WHOLE in sizes:
        return [WHOLE]
    if INDEX in sizes:
        return sorted(set(shard_names(inside(snapshot, INDEX)).values()))
    shards = bare_shards(sizes)
    if not shards:
        refuse_pickles(sizes, f"{repo} on the hub")
        raise ModelError(f"{repo} on the hub holds no weights that can be opened", "safetensors can")
    return shards


def _adapters_files(repo: str, sizes: Mapping[str, int], files: tuple[str, ...]) -> list[str]:
    for name in files:
        if name not in sizes:
            refuse_pickles(sizes, f"{repo} on the hub")
            raise ModelError(f"{repo} on the hub is no adapter in the form of PEFT: it has no {name}")
    return list(files)


def _refuse_without_config(repo: str, names: Mapping[str, int]) -> None:
    if ADAPTER_CONFIG in names:
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


def _watched(hub: Hub, snapshot: Path, repo: str, sizes: Mapping[str, int], report: Progress) -> None:
    """Fetch files one after another while looking at how the cache grows.

    In a thread that ends with the program, so that Ctrl-C is answered at once whatever the library is doing.
    """
    missing = {name: size for name, size in sizes.items() if not (snapshot / name).exists()}
    total, blobs = sum(missing.values()), _repo_folder(repo) / "blobs"
    before, failures = _size(blobs), list[BaseException]()

    def work() -> None:
        try:
            for name in missing:
                hub.fetch(repo, snapshot.name, name)
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
    absent = [name for name in missing if not (snapshot / name).exists()]
    if absent:
        raise UserError(f"{absent[0]} of {repo} was fetched and is not in {snapshot}")
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


# -- The hub's own library --------------------------------------------------------------------------------------------


class Hub:
    """The hub as `huggingface_hub` reaches it: tokens, mirrors, proxies and the cache by its own environment."""

    def __init__(self) -> None:
        import logging
        from importlib import import_module

        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        import_module("huggingface_hub.utils").disable_progress_bars()

    def listing(self, repo: str, revision: str) -> tuple[str, Mapping[str, int]]:
        """The commit that a revision stands for, and its files with their sizes. ModelError: it cannot be had."""
        from huggingface_hub import HfApi

        info = explained(lambda: HfApi().model_info(repo, revision=revision, files_metadata=True), repo, revision)
        return info.sha or "", {file.rfilename: file.size or 0 for file in info.siblings or []}

    def fetch(self, repo: str, commit: str, name: str) -> None:
        """Bring one file into the library's cache. ModelError: it cannot be had. OSError: no room for it."""
        from huggingface_hub import hf_hub_download

        explained(lambda: hf_hub_download(repo, name, revision=commit, cache_dir=hub_folder()), repo, commit)


def explained(ask: Callable[[], Result], repo: str, revision: str) -> Result:
    """What `ask` gives, its failures as a ModelError of one line."""
    from huggingface_hub import errors

    try:
        return ask()
    except errors.GatedRepoError:
        raise ModelError(f"{repo} asks you to accept its terms first", f"do so on its page; {TOKEN_HINT}") from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"{repo} has no revision {revision!r:.100}", "give a branch, a tag or a commit") from None
    except errors.RepositoryNotFoundError:
        raise ModelError(f"there is no model {repo} on the hub", f"check the name; {TOKEN_HINT}") from None
    except errors.OfflineModeIsEnabled:
        raise ModelError(f"{repo} is not in the local hub cache, and HF_HUB_OFFLINE is set", "unset it once") from None
    except errors.LocalEntryNotFoundError:
        raise unreachable(repo) from None
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise ModelError(f"the hub does not let you read {repo}", TOKEN_HINT) from None
        raise ModelError(f"the hub answers {status or 'with an error'} for {repo}", "try again later") from None
    except OSError as error:
        if error.errno and not isinstance(error, ConnectionError | TimeoutError):
            raise
        raise unreachable(repo) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in HTTP_CLIENTS:
            raise unreachable(repo) from None
        raise


def unreachable(repo: str) -> ModelError:
    return ModelError(
        f"{repo} is not in the local hub cache, and the hub cannot be reached",
        "check the network (HF_ENDPOINT and the proxy variables are honoured) and try again",
    )
