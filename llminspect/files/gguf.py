"""GGUF files, whole or in parts: mapped into memory, the header parsed at once, weights decoded when asked for.

An own reader because a person waits for it: SmolLM2's header with its vocabulary takes 0.03 s here and 4 s with the
`gguf` package, which is the oracle in the tests.

A header that was parsed before comes from the cache (`kept_header.py`): a large vocabulary in a quarter of the time.
What is kept belongs to the file at that place with that size, times of change and number in the file system (`state`);
where any of them differs, or the copy is not whole or none at all, the header is parsed anew.

Of a file that llama.cpp's `gguf-split` cut the first part holds the metadata; each says which part it is (`split.no`,
from 0), of how many (`split.count`), and how many tensors all hold together (`split.tensors.count`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from llminspect.errors import ModelError, UserError, as_json, reader
from llminspect.files.gguf_header import MAGIC, read_header
from llminspect.files.hashes import settled, state, state_key
from llminspect.files.home import existing, subfolder, write_whole
from llminspect.files.kept_header import packed, unpacked, whole_content
from llminspect.files.weights import SeveralFiles, WeightFile, shown

WORTH_KEEPING = 1 << 18
"""Bytes of a header from which on parsing it takes longer than a look into the cache."""


class GGUFFile(WeightFile):
    """An open GGUF file, version 2 or 3: a file of weights with metadata.

    `metadata` holds plain Python values under the file's own keys; lists of strings keep bytes that are not UTF-8 as
    lone surrogates. ModelError: not a GGUF file, cut short, or broken, and how.
    """

    version: int
    metadata: dict[str, Any]

    def _check_start(self, start: bytes) -> None:
        if not start:
            raise ModelError(f"{shown(self.path.name)} is empty", "fetch the file again")
        if start[:4] != MAGIC:
            raise ModelError(f"{shown(self.path.name)} is not a GGUF file{_what_it_looks_like(start)}")

    @reader("the GGUF header")
    def _read_header(self) -> None:
        """From the cache, where it was parsed before."""
        before = state(self.path)
        kept_at = existing("headers") / f"{state_key(self.path)}.header"
        content = whole_content(kept_at)
        kept = None if content is None else unpacked(content, before, len(self._map))
        if kept is not None:
            self.version, self.metadata, self.tensors = kept
            return
        header = read_header(self._map, len(self._map), self._refuse)
        self.version, self.metadata, self.tensors = header.version, header.metadata, header.tensors
        if header.data_start >= WORTH_KEEPING and settled(self.path) and state(self.path) == before:
            with suppress(OSError, UserError):  # A cache that cannot be written costs time, nothing else.
                write_whole(subfolder("headers") / kept_at.name, packed(before, header))


def _what_it_looks_like(start: bytes) -> str:
    if start[:4] == b"PK\x03\x04":
        return "; it is a zip archive (a pickled checkpoint?)"
    if start[:4] in (b"ggml", b"lmgg", b"ggjt", b"tjgg", b"ggla", b"algg"):
        return "; it is in a format older than GGUF"
    if start.startswith(b"version "):
        return "; it is a Git LFS pointer: the weights themselves were not fetched"
    if start[0] == 0x80:
        return "; it looks like a pickle, which llminspect never opens because that runs code"
    if start.lstrip().startswith((b"<", b"{")):
        return "; it is text (a saved web page?)"
    return ""


_PART = re.compile(r"(?P<name>.*)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL)
NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"


def gguf_parts(path: Path) -> tuple[Path, ...]:
    """All parts of the file that a path names one of; the path alone where its name is none of a part.

    ModelError: parts that are not there, by name.
    """
    match = _PART.fullmatch(path.name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return (path,)
    names = [f"{match['name']}-{number:05d}-of-{match['count']}.gguf" for number in range(1, int(match["count"]) + 1)]
    missing = [name for name in names if not (path.parent / name).exists()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ModelError(
            f"{shown(path.name)} is one part of {len(names)}, and parts are missing: "
            f"{', '.join(map(shown, missing[:3]))}{more}",
            "put all parts into one folder",
        )
    return tuple(path.parent / name for name in names)


class SplitGGUF(SeveralFiles):
    """A GGUF file in its parts, in their order. ModelError: they are not parts of one file, and how."""

    metadata: dict[str, Any]

    def __init__(self, paths: tuple[Path, ...]) -> None:
        files = [GGUFFile(path) for path in paths]
        super().__init__(paths[0], [(file, file.tensors) for file in files])
        self.metadata = files[0].metadata
        for number, file in enumerate(files):
            for key, expected in ((NUMBER, number), (COUNT, len(files)), (TENSORS, len(self.tensors))):
                _check(file, key, expected)


def _check(file: GGUFFile, key: str, expected: int) -> None:
    if file.metadata.get(key) != expected:
        raise ModelError(
            f"{shown(file.path.name)} is no part of what lies there: "
            f"its {key} is {as_json(file.metadata.get(key), 40)}, not {expected}",
            "fetch all parts again from one place",
        )


def open_gguf(path: Path) -> tuple[Mapping[str, Any], tuple[Path, ...], GGUFFile | SplitGGUF]:
    """The metadata, the files and the weights of a GGUF file, any part of which may be named. ModelError: broken."""
    paths = gguf_parts(path)
    if len(paths) > 1:
        split = SplitGGUF(paths)
        return split.metadata, paths, split
    file = GGUFFile(path)
    count = file.metadata.get(COUNT, 1)
    if isinstance(count, int) and count > 1:
        raise ModelError(
            f"{shown(path.name)} is one part of {count}, and its name does not say which",
            f"give all parts the names NAME-00001-of-{count:05d}.gguf and so on",
        )
    return file.metadata, paths, file
