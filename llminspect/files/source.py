"""Texts and records that are read, results that are saved: the user's own files.

Records are a JSON object a line of a `.jsonl` file or of standard input, from a stranger; or dictionaries.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any, NoReturn

from llminspect.errors import ModelError, UserError, json_fault, reader
from llminspect.files.home import clear_leftovers, replacing
from llminspect.files.marks import unmarked, unmarked_lines
from llminspect.files.weights import open_plain, shown

HELD = 16 << 20
"""Bytes of a stream that are kept in memory; of a longer one all are kept on disk."""
ABANDONED = 3600.0
"""Seconds after which a half-written result is one that a killed run left."""
LARGEST_TEXTS, LONGEST_TEXT = 64 << 20, 1 << 20
"""Bytes of a file of texts that are read; letters of one: each of its tokens takes hundreds of bytes, and a text's all
are held together."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # As a lone surrogate comes what is no UTF-8.
LARGEST_JSON = 64 << 20
"""Bytes of a configuration or index that are read; real ones stay below a fifth of it."""


def open_bytes(path: Path | str, *, plain: bool = False) -> IO[bytes]:
    """The file, open for reading as bytes. UserError: it cannot be read, or is no `plain` file."""
    try:
        return open_plain(path) if plain else Path(path).open("rb")
    except IsADirectoryError:
        raise UserError(f"{str(path)!r:.300} is a folder", "name a file in it; tokenize --count takes it") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
        raise UserError(f"cannot read {str(path)!r:.300}: {getattr(error, 'strerror', None) or error}") from None


def read_bytes(path: Path | str) -> bytes:
    """All bytes of the file. UserError: it cannot be read."""
    with open_bytes(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise UserError(f"cannot read {str(path)!r:.300}: {error.strerror or error}") from None


def read_bounded(path: Path | str, most: int, *, plain: bool = False) -> bytes:
    """All bytes of the file. UserError: it cannot be read, has more than `most`, or as `open_bytes`."""
    with open_bytes(path, plain=plain) as file:
        return bounded(file, f"{str(path)!r:.300}", most)


def bounded(file: IO[bytes], name: str, most: int) -> bytes:
    """All bytes of an open file or stream, which a message calls `name`; as `read_bounded`."""
    parts, size = [], 0
    try:
        while part := file.read(1 << 20):
            parts.append(part)
            size += len(part)
            if size > most:
                raise UserError(f"{name} is larger than {most >> 20:,} MB", "take a part of it")
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror or error}") from None
    return b"".join(parts)


def read_text(path: Path | str) -> str:
    """The text of the file; bytes that are not UTF-8 become lone surrogates, so nothing is lost. UserError.

    A byte order mark is dropped; one of UTF-16 or UTF-32 says how to read the rest (`marks.py`).
    """
    return unmarked(read_bytes(path)).decode("utf-8", "surrogateescape")


def read_lines(path: Path | str, end: bytes = b"") -> Iterator[str]:
    """The lines of the file as they are read, without their ends (LF or CRLF); as `read_text`. `end` is read after it.
    UserError."""
    with open_bytes(path) as file:
        try:
            yield from unmarked_lines(chain(file, [end] if end else ()))
        except OSError as error:
            raise UserError(f"cannot read {str(path)!r:.300}: {error.strerror or error}") from None


def text_lines(path: Path | str, stream: IO[bytes] | None = None) -> Iterator[str]:
    """The lines of a file, or else of a `stream`, each a text that a model is to read. UserError, which names the line
    (from 0): it is no UTF-8, has a NUL or too many letters; or the file cannot be read, or is too large."""
    name = f"{str(path)!r:.300}" if stream is None else "standard input"
    data = read_bounded(path, LARGEST_TEXTS) if stream is None else bounded(stream, name, LARGEST_TEXTS)
    for number, line in enumerate(unmarked_lines(io.BytesIO(data))):
        if _NO_TEXT.search(line):
            raise UserError(f"{name}, line {number} (from 0): no text in UTF-8", "give a file of texts, one a line")
        if len(line) > LONGEST_TEXT:
            raise UserError(f"{name}, line {number} (from 0) has more than {LONGEST_TEXT:,} letters", "one text a line")
        yield line


def spooled(stream: IO[bytes]) -> tuple[IO[bytes], int]:
    """All of a stream, to be read more than once, and its size; gone when closed. UserError: no room to keep it."""
    from shutil import copyfileobj
    from tempfile import SpooledTemporaryFile

    kept = SpooledTemporaryFile(max_size=HELD)  # noqa: SIM115 (who reads it closes it)
    try:
        copyfileobj(stream, kept, 1 << 20)
    except OSError as error:
        raise UserError(f"cannot keep the text to read it again: {error.strerror or error}") from None
    return kept, kept.tell()


@reader("the JSON file")
def read_json(path: Path, name: str | None = None) -> dict[str, Any]:
    """A JSON object from a stranger's file. ModelError, which calls it `name`: it is none, names a key twice, or is too
    large."""
    import json

    def refuse(what: str) -> NoReturn:
        raise ModelError(
            f"{shown(name or path.name)} {what}", "fetch the model again, or check it where it came from"
        ) from None

    try:
        with open_plain(path) as file:
            # Not simply LARGEST_JSON + 1: that many bytes would be set aside for a file of any size.
            content = file.read(min(os.fstat(file.fileno()).st_size, LARGEST_JSON) + 1)
    except OSError as error:
        raise ModelError(f"cannot open {shown(path)}: {error.strerror or error}") from None
    if len(content) > LARGEST_JSON:
        refuse(f"is larger than {LARGEST_JSON >> 20} MB, which no such file is")
    try:
        value = json.loads(content, object_pairs_hook=unique_members(lambda: refuse("names a key twice")))
    except (ValueError, RecursionError) as error:
        refuse(f"is {json_fault(error)}")
    if not isinstance(value, dict):
        refuse("holds no JSON object")
    return value


def unique_members(refuse: Callable[[], NoReturn]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """A hook for `json.loads` that refuses an object in which a name stands twice."""

    def members_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        return members if len(members) == len(pairs) else refuse()

    return members_of


def save_whole(path: Path | str, content: bytes | Callable[[IO[bytes]], object]) -> None:
    """Save a result, the bytes or what `content(file)` writes: it is there whole, or the file is as it was.

    A device or pipe is written to as it comes. UserError: it cannot be written, or the disk is full.
    """
    target = Path(path)
    try:
        plain = target.is_file() or not target.exists()
        if plain:
            clear_leftovers(target.resolve(), ABANDONED)
        with replacing(target.resolve()) if plain else target.open("wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write {str(path)!r:.300}: {reason}") from None


MOST = 100_000
"""Records of a file."""
KNOWN = ("text", "target", "versus", "patch", "align", "at", "find", "label", "clean", "corrupt")
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

    import json

    try:
        value = json.loads(line, object_pairs_hook=unique_members(lambda: refuse("a key stands twice")))
    except (ValueError, RecursionError) as error:
        refuse(json_fault(error))
    if not isinstance(value, dict):
        refuse("no JSON object")
    return value
