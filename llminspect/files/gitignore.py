r"""The patterns of a `.gitignore`, as git matches them: byte by byte, one path at a time.

Source: gitignore(5), and git's `wildmatch.c` for `*`, `**`, `?`, `[a-z]`, `[!a]`, `[[:alpha:]]` and `\`.

The library for it (pathspec) lets `!keep` take in all that lies under a folder `keep`, which git does not.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from llminspect.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

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
}
_PART = re.compile(r"\[[!^]?\]?(?:\[:[a-z]+:\]|\\.|[^\]\\])*\]|\\.|(?<![^/])\*\*/|(?<![^/])\*\*$|.", re.DOTALL)


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
        text = re.sub(r"(?<!\\)(?:[ \t\r]+)$", "", bytewise(line))
        if not text or text.startswith("#"):
            continue
        takes_in, text = text.startswith("!"), text.removeprefix("!")
        folders_only, text = text.endswith("/"), text.removesuffix("/")
        anchored, text = "/" in text, text.removeprefix("/")
        try:
            regex = re.compile(("" if anchored else "(?:.*/)?") + "".join(map(_translated, _PART.findall(text))), re.S)
        except re.error:
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


def _translated(part: str) -> str:
    if part == "**/":
        return "(?:.*/)?"
    if part == "**":
        return ".+"
    if part == "*":
        return "[^/]*"
    if part == "?":
        return "[^/]"
    if part[0] == "[" and len(part) > 2:
        inner = part[1:-1]
        negated, inner = ("^/", inner[1:]) if inner[0] in "!^" else ("", inner)
        known = re.sub(r"\[:([a-z]+):\]", lambda name: re.escape(_CLASSES.get(name[1], "")), inner)
        return f"(?!/)[{negated}{known.replace('[', chr(92) + '[')}]"
    if part[0] == "\\" and len(part) == 2:
        return re.escape(part[1])
    return re.escape(part)
