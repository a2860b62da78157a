"""A file of the hub arrives in the cache: hashed as it comes, named by its hash alone, whole or not at all.

The cache is that of the hub's library: https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from llminspect.errors import ModelError
from llminspect.files.hashes import GIT_DIGITS, NotPublished, remember, sha256_of
from llminspect.files.home import beside, clear_leftovers, put_in_place, replacing
from llminspect.files.hub_library import Hub, Listed, Unreachable

PATIENCE, SLOWEST = 60.0, 1_000
"""Seconds in which a file or a listing has to begin, and bytes that have to come in each further one."""
TRIES, PAUSE = 5, 1.0
"""How often a broken connection is made again before anything more comes, and seconds before each."""
ABANDONED = 3600.0
"""Seconds after which a part of a file is one that a killed run left."""
THREAD = "what the hub sends"
LOOK_EVERY = 0.1
"""Seconds between looks at how much has arrived."""

Result = TypeVar("Result")


def arrive(hub: Hub, repo: str, snapshot: Path, name: str, listed: Listed) -> None:
    """Bring one file of a snapshot into the cache. ModelError: it cannot be had, or is not what the hub lists; then
    nothing of it is kept. OSError: no room for it."""
    path = snapshot / name
    blob = snapshot.parent.parent / "blobs" / listed.hash
    blob.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(blob) as alone:
        if _is_there(path, listed):  # Another run was quicker.
            return
        if not _is_there(blob, listed):
            clear_leftovers(blob, 0 if alone else ABANDONED)
            _write(hub, repo, snapshot.name, name, listed, blob)
            if len(listed.hash) != GIT_DIGITS:
                with suppress(OSError):
                    remember(blob, listed.hash)
        clear_leftovers(path, 0 if alone else ABANDONED)
        link = beside(path)
        try:
            link.symlink_to(os.path.relpath(blob, path.parent))
        except OSError:  # Windows lets not everybody make links.
            link = blob
        put_in_place(link, path)


@contextmanager
def _only_one(blob: Path) -> Iterator[bool]:
    """Hold the lock of a blob, the one that the hub's library takes as well; False where none can be had."""
    from filelock import FileLock

    blobs = blob.parent
    lock = FileLock(blobs.parent.parent / ".locks" / blobs.parent.name / f"{blob.name}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _is_there(blob: Path, listed: Listed) -> bool:
    """Whether the file came before, whole."""
    try:
        return blob.is_file() and bool(sha256_of(blob, listed.hash))
    except NotPublished:
        return False


def _write(hub: Hub, repo: str, commit: str, name: str, listed: Listed, blob: Path) -> None:
    until, tries, done = time.monotonic() + patience(listed.size), TRIES, 0
    with replacing(blob) as file:  # It is the library's cache, and the user's umask counts there.
        digest = _digest(listed)
        while True:
            try:
                with hub.body(repo, commit, name, done) as (begins, parts):
                    if begins != done:  # All of it once more.
                        file.seek(0)
                        file.truncate()
                        digest, done = _digest(listed), 0
                    for part in parts:
                        done += len(part)
                        if done > listed.size:
                            raise not_listed(repo, name)
                        if time.monotonic() > until:
                            raise too_slow(repo)
                        file.write(part)
                        digest.update(part)
                        tries = TRIES if part else tries
                break
            except Unreachable:
                if done == listed.size:
                    break
                tries -= 1
                if not tries or time.monotonic() > until:
                    raise
                time.sleep(PAUSE)
        if (done, digest.hexdigest()) != listed:
            raise not_listed(repo, name)


def _digest(listed: Listed) -> Any:
    """What hashes a file as the hub does: a large one by its SHA-256, another as git does."""
    if len(listed.hash) != GIT_DIGITS:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % listed.size, usedforsecurity=False)


def not_listed(repo: str, name: str) -> ModelError:
    """What to say of a file that differs from the listing."""
    return ModelError(
        f"what the hub gave as {name!r:.200} of {repo} is not the file that it lists (its hash differs)",
        "try again; if it stays so, a mirror or a proxy changes files",
    )


def too_slow(repo: str) -> ModelError:
    """What to say where almost nothing comes."""
    return ModelError(f"the hub sends almost nothing of {repo}", "try again later, or through another network")


def patience(size: int) -> float:
    """Seconds in which so many bytes have to come."""
    return PATIENCE + size / SLOWEST


def in_time(repo: str, seconds: float, work: Callable[[], Result], look: Callable[[], object] = lambda: None) -> Result:
    """What `work` gives, with a `look` from time to time. ModelError: it takes longer than so many seconds.

    In a thread that ends with the program, so that Ctrl-C is answered at once whatever the network is doing.
    """
    results, failures = list[Result](), list[BaseException]()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # Carried to the thread that waits.
            failures.append(error)

    worker, until = threading.Thread(target=run, name=THREAD, daemon=True), time.monotonic() + seconds
    worker.start()
    while worker.is_alive():
        worker.join(LOOK_EVERY)
        look()
        if time.monotonic() > until and worker.is_alive():
            raise too_slow(repo)
    if failures:
        raise failures[0]
    return results[0]
