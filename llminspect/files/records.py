"""Records of a `.jsonl` file: a JSON object a line, from a stranger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from llminspect.errors import UserError, reader
from llminspect.files.marks import unmarked
from llminspect.files.source import read_bounded, unique_members

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 256 << 20
"""Bytes of a file that are read."""
MOST = 100_000
"""Records of a file."""


@reader("the file of records", UserError)
def read_records(path: Path) -> list[dict[str, Any]]:
    """The objects, one a line; empty lines are left out. UserError, which names the line (from 0): it is no object of
    JSON, names a key twice, or there are too many."""
    data = unmarked(read_bounded(path, LARGEST))
    records: list[dict[str, Any]] = []
    for number, line in enumerate(data.split(b"\n")):
        if line.strip():
            if len(records) == MOST:
                raise UserError(f"{str(path)!r:.300} has more than {MOST:,} records", "take a part of it")
            records.append(_record(line, f"{str(path)!r:.300}, line {number}"))
    if not records:
        raise UserError(f"{str(path)!r:.300} holds no records", 'a JSON object a line, such as {"text": "A cat sat."}')
    return records


def _record(line: bytes, where: str) -> dict[str, Any]:
    def refuse(what: str) -> NoReturn:
        raise UserError(f"{where}: {what}", 'a JSON object a line, such as {"text": "A cat sat."}') from None

    try:
        value = json.loads(line, object_pairs_hook=unique_members(lambda: refuse("a key stands twice")))
    except UnicodeDecodeError:
        refuse("not UTF-8")
    except (ValueError, RecursionError) as error:
        refuse(f"not JSON: {error}" if isinstance(error, ValueError) else "nested too deeply")
    if not isinstance(value, dict):
        refuse("no JSON object")
    return value
