"""The files under folders, in order, less what `.gitignore` leaves out, as git reads it.

A pattern counts from the folder of its `.gitignore` downwards, the last that matches decides, one deeper down goes
before one above, and what lies in a folder that is left out cannot be taken in again. `.git` is passed over; a link
inside a folder is named and not followed, so that nothing is counted twice and no circle of links is walked in.

The patterns match byte by byte, one path at a time: gitignore(5), and git's `wildmatch.c` for `*`, `**`, `?`, `[a-z]`,
`[!a]`, `[[:alpha:]]` and `\\`. The library for it (pathspec) lets `!keep` take in all that lies under a folder `keep`,
which git does not.
"""

from __future__ import annotations

import os
import re
import stat
import string
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from llminspect.core.dataclass import dataclass
from llminspect.errors import UserError
from llminspect.files.source import read_lines


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
            status = os.lstat(file.path)
            key = status.st_dev, status.st_ino
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


def _unreadable(path: str | Path, error: Exception) -> UserError:
    return UserError(f"cannot read {str(path)!r:.300}: {getattr(error, 'strerror', None) or error}")


_CLASSES = {
    "alpha": string.ascii_letters,
    "digit": string.digits,
    "alnum": string.ascii_letters + string.digits,
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "space": string.whitespace,
    "xdigit": string.hexdigits,
    "punct": string.punctuation,
    "blank": " \t",
    "cntrl": "".join(map(chr, (*range(32), 127))),
    "graph": string.ascii_letters + string.digits + string.punctuation,
    "print": string.ascii_letters + string.digits + string.punctuation + " ",
}
_PART = re.compile(r"\[|\\.|(?<![^/])\*\*/|(?<![^/])\*\*$|.", re.DOTALL)
_KEPT = re.compile(r"(?:[^ \\]|\\.| +(?! |$))*\\?", re.DOTALL)
"""Of a line all but the spaces at its end; one with a backslash in front is part of the pattern."""


@dataclass(frozen=True)
class IgnorePattern:
    """One line of a `.gitignore`."""

    regex: re.Pattern[str]
    takes_in: bool
    """Whether it begins with `!`."""
    folders_only: bool


def ignore_patterns(lines: Iterable[str]) -> list[IgnorePattern]:
    """The patterns of the lines of a `.gitignore`; one that is broken matches nothing."""
    patterns = []
    for line in lines:
        text = _KEPT.match(bytewise(line))[0]  # type: ignore[index]
        if not text or text.startswith("#"):
            continue
        takes_in, text = text.startswith("!"), text.removeprefix("!")
        folders_only, text = text.endswith("/"), text.removesuffix("/")
        anchored, text = "/" in text, text.removeprefix("/")
        try:
            regex = re.compile(_expression(["" if anchored else ANYWHERE, *_translated(text)]), re.DOTALL)
        except LookupError:  # It ends inside of brackets, or with a backslash, or names no class.
            continue
        if text:
            patterns.append(IgnorePattern(regex, takes_in, folders_only))
    return patterns


def leaves_out(patterns: Iterable[IgnorePattern], path: str, is_folder: bool) -> bool | None:
    """Whether the last pattern that matches leaves a path (from the folder of the file on) out; None if none does."""
    path, found = bytewise(path), None
    for pattern in patterns:
        if (is_folder or not pattern.folders_only) and pattern.regex.fullmatch(path):
            found = not pattern.takes_in
    return found


def bytewise(text: str) -> str:
    """A character a byte: git matches bytes, so that ? is half of an ü."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _expression(parts: list[str]) -> str:
    """The regular expression of the parts, which takes no more time than the square of a path's length.

    What stands between two * is taken where it first occurs, and so is what stands between two **/: where the rest fits
    after a later place, it fits after the first as well. So no other way to cut a path is ever tried.
    """
    first, *middle, last = split_at(parts, ANYWHERE) if ANYWHERE in parts else (parts, [])
    written = _of_names(first)
    for group in middle:
        written += f"(?>(?:.*?/)??{_of_names(group)})"
    return written + (ANYWHERE if ANYWHERE in parts else "") + _of_names(last)


def _of_names(parts: list[str]) -> str:
    return "/".join(map(_of_name, split_at(parts, "/")))


def _of_name(parts: list[str]) -> str:
    first, *after = map("".join, split_at(parts, STAR))
    return first + "".join(f"(?>{STAR}?{part})" for part in after[:-1]) + "".join(STAR + part for part in after[-1:])


def split_at(parts: Sequence[str], cut: str) -> list[list[str]]:
    """The parts between those that are `cut`.

    >>> split_at(["a", "/", "b", "c"], "/")
    [['a'], ['b', 'c']]
    """
    found: list[list[str]] = [[]]
    for part in parts:
        if part == cut:
            found.append([])
        else:
            found[-1].append(part)
    return found


def _translated(text: str) -> Iterator[str]:
    """The parts of a pattern as those of a regular expression. Raises IndexError for one that is broken."""
    at = 0
    while found := _PART.match(text, at):
        part, at = found[0], found.end()
        if part == "[":
            members, at = _members(text, at)
            yield f"[{''.join(map(re.escape, sorted(members)))}]" if members else "(?!)"
        elif part == "\\":
            raise IndexError
        else:
            yield _WILD.get(part) or re.escape(part[-1])


STAR, ANYWHERE = "[^/]*", "(?:.*/)?"
_WILD = {"**/": ANYWHERE, "**": ".+", "*": STAR, "?": "[^/]"}


def _members(text: str, at: int) -> tuple[set[str], int]:
    """The characters that brackets stand for, which begin before `at`, and where they end. As in `wildmatch.c` a range
    that runs backwards holds only what it begins with. Raises IndexError where they do not end."""
    negated = text[at] in "!^"
    at += negated
    members: set[str] = set()
    before = ""
    while True:
        character, escaped = text[at], text[at] == "\\"
        end = text.find("]", at + 2)
        if escaped:
            at += 1
            character = text[at]
        if not escaped and character == "-" and before and text[at + 1] != "]":
            at += 1 + (text[at + 1] == "\\")
            members |= {chr(code) for code in range(ord(before), ord(text[at]) + 1)}
            before = ""
        elif not escaped and text[at : at + 2] == "[:" and end > at + 2 and text[end - 1] == ":":
            members |= {*_CLASSES[text[at + 2 : end - 1]]}
            at, before = end, ""
        else:
            members.add(character)
            before = character
        at += 1
        if text[at] == "]":
            return ({chr(code) for code in range(256)} - members if negated else members) - {"/"}, at + 1
