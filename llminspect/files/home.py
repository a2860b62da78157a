"""The folder where llminspect keeps what it fetched and prepared, and how files get there whole or not at all.

A file is written beside its place under another name, brought to the disk, and renamed: whoever reads it, and
whenever the machine stops, sees the old file, the new one or none. Work that two processes would do at once is done
by one while the other waits (`only_one`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from llminspect.errors import UserError

Progress = Callable[[str, int, int | None], None]
"""Called with what goes on ("fetch", "prepare"), how much is done, and how much there is, if that is known."""
PARTIAL = ".partial"
"""Ends the name of what is not yet whole."""


def home() -> Path:
    """The cache folder: `LLMINSPECT_HOME`, or the user's cache folder by the custom of the system. It may not exist."""
    named = os.environ.get("LLMINSPECT_HOME")
    if named:
        return expanded(named).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("llminspect", appauthor=False)


def hub_folder() -> Path:
    """Where the hub's library keeps models, by its own environment variables."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return expanded(os.environ[variable])
    if os.environ.get("HF_HOME"):
        return expanded(os.environ["HF_HOME"]) / "hub"
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hub"


def expanded(name: str) -> Path:
    """The path, its `~` replaced by the user's folder; as it is where no such user is known."""
    return Path(os.path.expanduser(name))


def existing(name: str) -> Path:
    """A folder of the cache (`models`, `prepared`, …), which may not exist. UserError: it, or the cache, belongs to
    another user, who could put anything there; the administrator may own it."""
    whole = home()
    for folder in (whole, whole / name) if hasattr(os, "geteuid") else ():  # On Windows they are closed to others.
        try:
            owner = folder.stat().st_uid
        except OSError:  # It is not there, or cannot be looked at, which whoever uses it will say.
            continue
        if owner not in (os.geteuid(), 0):
            raise UserError(
                f"the cache folder {str(folder)!r:.300} belongs to another user (number {owner}), who could change "
                "what is in it",
                "set LLMINSPECT_HOME to a folder of your own",
            )
    return whole / name


def subfolder(name: str) -> Path:
    """A folder of the cache, made if need be, and where the user owns it closed to others; one in which everybody may
    only change what is theirs (the sticky bit, as /tmp has it) stays as it is. UserError: it cannot be made, or is
    somebody else's."""
    folder = existing(name)
    try:
        make_private(folder)
        for place, rights in ((folder.parent, WRITING_BY_OTHERS), (folder, ANYTHING_BY_OTHERS)):
            status = place.stat()
            owned = hasattr(os, "geteuid") and status.st_uid == os.geteuid()
            if owned and status.st_mode & rights and not status.st_mode & stat.S_ISVTX:
                place.chmod(stat.S_IMODE(status.st_mode) & ~rights)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return folder


# -- Nobody else's -----------------------------------------------------------------------------------------------------

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
WRITING_BY_OTHERS, ANYTHING_BY_OTHERS = 0o022, 0o077


def make_private(folder: Path) -> None:
    """Make a folder, and those on the way to it, that only the user can open. OSError as the system raises it."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_private(folder.parent)
    folder.mkdir(PRIVATE_FOLDER, exist_ok=True)


def open_private(path: Path) -> IO[bytes]:
    """A new file that only the user can open, for writing. OSError as the system raises it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, PRIVATE_FILE), "wb")


def cannot_write(path: Path, error: OSError) -> UserError:
    """What to say when something could not be written to the cache."""
    import errno

    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):  # Windows knows no quota.
        return UserError(
            f"no space left on the disk for {path}",
            f"free some space (everything in {home()} can be deleted), or set LLMINSPECT_HOME to a folder elsewhere",
        )
    return UserError(
        f"cannot write {path}: {error.strerror or error}", "set LLMINSPECT_HOME to a folder that can be written"
    )


def beside(path: Path) -> Path:
    """A new name in the same folder for what is not yet whole; `clear_leftovers` knows it by its form."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{PARTIAL}")


def leftovers(path: Path) -> Iterator[Path]:
    """What killed processes left of `path`, or one makes that is at work on it."""
    import glob

    yield from path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}")


def clear_leftovers(path: Path, older: float = 0) -> None:
    """Remove what killed processes left of `path`. Only for the one who holds its lock; where there is none, what is
    `older` than so many seconds, which nobody can be at work on any more."""
    for leftover in leftovers(path):
        try:
            if older and time.time() - leftover.lstat().st_mtime < older:
                continue
        except OSError:  # Somebody else was quicker.
            continue
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file of the cache so that it is there whole or not at all, whatever happens. OSError as the system
    raises it."""
    with replacing(path, private=True) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, times: tuple[int, int] | None = None, private: bool = False) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` when the block ends well; else nothing is left of it.

    It keeps the mode of the file that it replaces, or is one that only the user can open (`private`). `times` are set
    as those of its last use and change.
    """
    partial = beside(path)
    try:
        with open_private(partial) if private else partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and not private:
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
        if times is not None:
            os.utime(partial, times)
        put_in_place(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def put_in_place(partial: Path, path: Path) -> None:
    """Rename, and bring the folder's new entry to the disk."""
    os.replace(partial, path)
    with suppress(OSError):  # Not every system lets a folder be opened.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def only_one(name: str, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold the lock called `name`, waiting for whoever holds it; the system frees it when a process dies.

    `waiting` is called once if somebody else has it. Where the file system knows no locks the work may be done twice,
    which renaming makes harmless. UserError: the folder of locks cannot be written.
    """
    from filelock import FileLock, Timeout

    path = subfolder("locks") / f"{name}.lock"
    lock = FileLock(path, mode=PRIVATE_FILE)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
    except NotImplementedError:
        pass
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        yield
    finally:
        lock.release()
