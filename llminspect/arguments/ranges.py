"""Numbers and ranges of layers, heads and positions: `0,3-5`; ids: `1,2,3`, or JSON of `encode` or `tokenize`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NoReturn, TypeAlias

from llminspect.arguments.option import LARGEST
from llminspect.errors import UsageError, reader

Choice: TypeAlias = str | int | Sequence[int]
"""`"0,3-5"`, `3`, `[0, 3]` or `range(4)`."""
LONGEST = 19
"""Digits of an index: more is no index of anything, and Python reads no integer of more than 4,300."""
RANGE = re.compile(rf"([0-9]{{1,{LONGEST}}})(?:-([0-9]{{1,{LONGEST}}}))?")


def parse_choice(choice: Choice | None, what: str, count: int, option: str | None = None) -> list[int] | None:
    """`0,3-5` as [0, 3, 4, 5], each once and in order; None for nothing.

    `what` is "layer", "head" or "position", of which there are `count`, and the name of the option unless that is
    another. Raises UsageError that says which there are.
    """
    if choice is None:
        return None
    option = option or what
    parts: Iterable[tuple[int, int]]
    if isinstance(choice, str):
        found = [RANGE.fullmatch(part.strip()) for part in choice.split(",")]
        if None in found:
            raise UsageError(
                f"--{option} cannot read {shortened(choice)!r}", f"numbers and ranges: 0,3-5; {_have(what, count)}"
            )
        parts = ((int(match[1]), int(match[2] or match[1])) for match in found if match)
    else:
        parts = ((index, index) for index in ([choice] if isinstance(choice, int) else choice))
    chosen: set[int] = set()
    for first, last in parts:
        if max(first, last) >= count or first < 0:
            raise UsageError(f"there is no {what} {max(first, last) if first >= 0 else first}", _have(what, count))
        if first > last:
            raise UsageError(f"--{option} {first}-{last} runs backwards", f"write {last}-{first}")
        chosen.update(range(first, last + 1))
    if not chosen:
        raise UsageError(f"--{option} is empty", f"numbers and ranges: 0,3-5; {_have(what, count)}")
    return sorted(chosen)


def check_exists(index: int, count: int, what: str) -> None:
    """Raise UsageError where there is no layer, head or position of that number; the line says which there are."""
    if not 0 <= index < count:
        raise UsageError(f"there is no {what} {index}", _have(what, count))


def _have(what: str, count: int) -> str:
    if not count:
        return f"this model has no {what}s"
    return f"{what}s run from 0 to {count - 1}" if count > 1 else f"the only {what} is 0"


def is_index(text: str) -> bool:
    """Whether a text is a whole number in the digits 0 to 9, and none that is too long to be read."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST


def shortened(text: str) -> str:
    """The beginning of a text, for a message."""
    return text if len(text) <= 60 else text[:60] + "…"


Ids: TypeAlias = str | Sequence[int]


@reader("the list of ids", UsageError)
def parse_ids(ids: Ids) -> list[int]:
    """Ids from `1,2,3`, from numbers with spaces between, or from a JSON list or document of `encode` or `tokenize`."""
    found = _listed(ids) if isinstance(ids, str) else list(ids)
    negative = [token_id for token_id in found if token_id < 0]
    if negative:
        raise UsageError(f"id {negative[0]} is negative", "ids count from 0")
    if any(token_id > LARGEST for token_id in found):
        raise UsageError("an id has more than 64 bits", "ids are smaller than the vocabulary")
    return found


def _listed(text: str) -> list[int]:
    import json

    from llminspect.files.source import unique_members

    def repeated() -> NoReturn:
        raise UsageError(f"a key stands twice in the JSON of ids: {shortened(text)!r}", "each key may stand once")

    text = text.strip()
    try:
        if text.startswith(("{", "[")):
            document = json.loads(text, object_pairs_hook=unique_members(repeated))
            if isinstance(document, dict):
                document = document.get("ids") or [token["id"] for token in document["tokens"]]
            if not all(type(entry) is int for entry in document):
                raise ValueError
            return list(document)
        parts = re.split(r"\s*,\s*|\s+", text) if text else []
        if not all(is_index(part.removeprefix("-")) for part in parts):
            raise ValueError
        return [int(part) for part in parts]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"not a list of ids: {shortened(text)!r}", "ids are whole numbers: 1,2,3, or JSON of encode"
        ) from None
