"""The files under folders, in order, less what `.gitignore` leaves out, as git reads it.

A pattern counts from the folder of its `.gitignore` downwards, the last that matches decides, one deeper down goes
before one above, and what lies in a folder that is left out cannot be taken in again. `.git` is passed over; a link
inside a folder is named and not followed, so that nothing is counted twice and no circle of links is walked in.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from llminspect.core.dataclass import dataclass
from llminspect.errors import UserError
from llminspect.files.gitignore import IgnorePattern, ignore_patterns, leaves_out
from llminspect.files.source import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class FoundFile:
    """A file under the path that it is named by."""

    path: str
    size: int
    skipped: str = ""
    """Why it is passed over."""


@dataclass(frozen=True)
class _Ignored:
    """What the `.gitignore` of a folder says."""

    folder: str
    patterns: list[IgnorePattern]

    def leaves_out(self, place: str, is_folder: bool) -> bool | None:
        """None where no pattern says anything about a path."""
        relative = place[len(self.folder) :].lstrip(os.sep).replace(os.sep, "/")
        return leaves_out(self.patterns, relative, is_folder)


def found_files(paths: Iterable[str | Path]) -> Iterator[FoundFile]:
    """Each file that is named, and all files under each folder, no file twice; by name within a folder.

    A file that is named itself is there whatever a `.gitignore` says. Raises UserError for a path that is not there
    and a folder that cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    for path in paths:
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
        if stat.S_ISDIR(status.st_mode):
            found = _under(os.fspath(path), _above(Path(path)))
        else:
            found = iter([_file(os.fspath(path), status)])
        for file in found:
            key = _identity(file.path)
            if key not in seen:
                seen.add(key)
                yield file


def _above(folder: Path) -> list[_Ignored]:
    """The patterns that hold in a folder by the folders above it, up to the one that has `.git`; deepest last."""
    absolute = folder.resolve()
    root = next((above for above in (absolute, *absolute.parents) if (above / ".git").exists()), None)
    if root is None:
        return []
    excluded = root / ".git" / "info" / "exclude"
    between = [above for above in (*reversed(absolute.parents), absolute) if above.is_relative_to(root)]
    files = [(root, excluded), *((above, above / ".gitignore") for above in between if above != absolute)]
    return [_ignored(os.fspath(above), file) for above, file in files if file.is_file()]


def _ignored(folder: str, rules: Path) -> _Ignored:
    return _Ignored(folder, ignore_patterns(read_lines(rules, end=b"\n")))  # Git puts one after the last line too.


def _under(folder: str, ignored: list[_Ignored]) -> Iterator[FoundFile]:
    rules = Path(folder, ".gitignore")
    if rules.is_file():
        ignored = [*ignored, _ignored(os.path.realpath(folder), rules)]
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise _unreadable(folder, error) from None
    real = os.path.realpath(folder) if ignored else ""
    for entry in entries:
        if entry.name == ".git":
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        if ignored and _left_out(os.path.join(real, entry.name), is_folder, ignored):
            continue
        if is_folder:
            yield from _under(entry.path, ignored)
        elif entry.is_symlink():
            yield FoundFile(entry.path, 0, "a link")
        else:
            yield _file(entry.path, entry.stat(follow_symlinks=False))


def _left_out(place: str, is_folder: bool, ignored: list[_Ignored]) -> bool:
    found = (entry.leaves_out(place, is_folder) for entry in reversed(ignored))
    return next((out for out in found if out is not None), False)


def _file(path: str, status: os.stat_result) -> FoundFile:
    return FoundFile(path, status.st_size, "" if stat.S_ISREG(status.st_mode) else "no plain file")


def _identity(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _unreadable(path: str | Path, error: Exception) -> UserError:
    return UserError(f"cannot read {str(path)!r:.300}: {getattr(error, 'strerror', None) or error}")
