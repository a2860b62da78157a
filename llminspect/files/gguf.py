"""GGUF files: mapped into memory, the header parsed at once, weights decoded when asked for.

An own reader because a person waits for it: SmolLM2's header with its vocabulary takes 0.03 s here and 4 s with the
`gguf` package, which is the oracle in the tests.

A header that was parsed before comes from the cache (`kept_header.py`): a large vocabulary in a quarter of the time.
What is kept belongs to the file at that place with that size, times of change and number in the file system (`state`);
where any of them differs, or the copy is not whole or none at all, the header is parsed anew.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from llminspect.errors import ModelError, UserError, reader
from llminspect.files.gguf_header import MAGIC, read_header
from llminspect.files.hashes import key_of, settled, state
from llminspect.files.home import existing, subfolder, write_whole
from llminspect.files.kept_header import packed, unpacked, whole_content
from llminspect.files.weights import WeightFile, shown

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
        kept_at = existing("headers") / f"{key_of(before)}.header"
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
