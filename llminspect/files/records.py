"""Records: a JSON object a line of a `.jsonl` file or of standard input, from a stranger; or dictionaries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any, NoReturn

from llminspect.errors import UserError, json_fault, reader
from llminspect.files.marks import unmarked
from llminspect.files.source import LARGEST_TEXTS, LONGEST_TEXT, bounded, read_bounded, unique_members

if TYPE_CHECKING:
    from pathlib import Path

MOST = 100_000
"""Records of a file."""
KNOWN = ("text", "target", "versus", "patch", "align", "at", "find", "label")
"""What a record may say. One file serves several questions, so each takes what it knows of these."""
HINT = 'a JSON object a line, such as {"text": "A cat sat."}'


@reader("the file of records", UserError)
def read_records(path: Path, stream: IO[bytes] | None = None) -> list[Mapping[str, Any]]:
    """The objects, one a line, of a file or else of a `stream`; empty lines are left out. UserError, which names the
    line (from 0): it is no object of JSON, names a key twice, is no record, or there are too many."""
    name = f"{str(path)!r:.300}" if stream is None else "standard input"
    data = unmarked(read_bounded(path, LARGEST_TEXTS) if stream is None else bounded(stream, name, LARGEST_TEXTS))
    lines = enumerate(data.split(b"\n"))
    where = ((f"{name}, line {number} (from 0)", line) for number, line in lines if line.strip())
    return _checked(((place, _object(line, place)) for place, line in where), name)


def records_of(given: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Dictionaries as records. UserError, which names the record (from 0): it is none, or there are too many."""
    return _checked(((f"record {number}", record) for number, record in enumerate(given)), "what was given")


def _checked(records: Iterable[tuple[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Each record, with where it stands, looked at as it comes."""
    found: list[Mapping[str, Any]] = []
    for where, record in records:
        if len(found) == MOST:
            raise UserError(f"{name} has more than {MOST:,} records", "take a part of it")
        if not isinstance(record, Mapping):
            raise UserError(f"{where}: no dictionary", HINT)
        unknown = next((key for key in record if key not in KNOWN), None)
        if unknown is not None:
            raise UserError(f"{where}: there is no {unknown!r:.60} in a record", f"known: {', '.join(KNOWN)}")
        for key, value in record.items():
            if isinstance(value, str) and len(value) > LONGEST_TEXT:
                raise UserError(f"{where}: its {key} has more than {LONGEST_TEXT:,} letters", "take a part of it")
        found.append(record)
    if not found:
        raise UserError(f"{name} holds no records", HINT)
    return found


def _object(line: bytes, where: str) -> dict[str, Any]:
    def refuse(what: str) -> NoReturn:
        raise UserError(f"{where}: {what}", HINT) from None

    try:
        value = json.loads(line, object_pairs_hook=unique_members(lambda: refuse("a key stands twice")))
    except (ValueError, RecursionError) as error:
        refuse(json_fault(error))
    if not isinstance(value, dict):
        refuse("no JSON object")
    return value
