"""Texts in files, read as they are needed, in pieces of so many tokens as the model is to see together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from llminspect.analysis.lengths import longest_computed
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, UserError
from llminspect.files.marks import UnmarkedStream
from llminspect.files.source import open_bytes
from llminspect.files.walk import found_files
from llminspect.model.opened import Model
from llminspect.text.chunks import safe_pattern, text_blocks

BLOCK = 1 << 16
"""Bytes that are tokenized at once."""
LONG = 64
"""Bytes of a file that are read for each token that is wanted: a text has far fewer."""


@dataclass(frozen=True)
class Piece:
    """Tokens that the model sees together."""

    path: str
    ids: list[int]
    added: int
    """So many in front are none of the text's: a start token."""


@dataclass(frozen=True)
class CorpusRead:
    """What was read of a corpus."""

    path: str
    files: int
    """Files of which something was read."""
    pieces: int
    tokens: int
    whole: bool
    """Whether nothing was left."""
    skipped: int
    """Files that are no text in UTF-8, empty ones and links among them."""


class Corpus:
    """A file, or all files of a folder, in pieces of `length` tokens at most, `most` tokens in all.

    Raises UserError where it cannot be read, or holds no text, UsageError for a model without a tokenizer.
    """

    def __init__(
        self, model: Model, path: Path, length: int, most: int, progress: Callable[[int, int], object] | None = None
    ) -> None:
        if model.tokenizer is None:
            raise UsageError("--corpus takes texts; this model comes without a tokenizer")
        if model.most_tokens is not None and length > model.most_tokens:
            raise UsageError(
                f"--length {length}: {model.name} has positions for {model.most_tokens} tokens",
                f"take --length {model.most_tokens}",
            )
        if length > (longest := longest_computed(model)):
            raise UsageError(f"--length {length}: {longest} tokens are the most that are computed with {model.name}")
        self._tokenizer, self._path, self._length, self._most = model.tokenizer, path, length, most
        self._front = list(model.tokenizer.prefix_ids) if len(model.tokenizer.prefix_ids) < length - 1 else []
        self._progress = progress
        self._files: set[str] = set()
        self._pieces = self._tokens = self._skipped = 0
        self._whole = self._cut = False

    def pieces(self) -> Iterator[Piece]:
        """The pieces, one after the other; the last of a file may be shorter than the others, of one token it is left
        out."""
        for file in found_files([self._path]):
            try:
                if file.skipped:
                    self._skipped += 1
                    continue
                before = self._pieces
                for piece in self._of_file(file.path):
                    yield piece
                    if self._tokens >= self._most:
                        return
                self._skipped += before == self._pieces
            except UnicodeDecodeError:
                self._skipped += 1
        self._whole = not self._cut
        if not self._pieces:
            raise UserError(f"--corpus {str(self._path)!r:.300} holds no text of two tokens or more")

    def _of_file(self, path: str) -> Iterator[Piece]:
        held: list[int] = []
        room = self._length - len(self._front)
        with open_bytes(path) as stream:
            start = _Start(stream, BLOCK + LONG * self._most)
            for data, at in text_blocks(start, safe_pattern(self._tokenizer, "text") or r"\n", BLOCK, True):  # type: ignore[arg-type]
                held += self._ids(data, at, start.cut)
                while len(held) >= room:
                    yield self._piece(path, held[:room])
                    held = held[room:]
        if len(held) > 1:
            yield self._piece(path, held)
        self._cut |= start.cut

    def _ids(self, data: bytes, at: int, cut: bool) -> list[int]:
        if b"\0" in data:
            raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "a NUL")
        text = data.decode("utf-8", "ignore" if cut else "strict")
        # A tokenizer that puts a space in front of a text puts the one that the cut left.
        return self._tokenizer.encode_ids(text.removeprefix(" ") if at and self._tokenizer.adds_space else text)

    def _piece(self, path: str, ids: list[int]) -> Piece:
        ids = ids[: max(2, self._most - self._tokens)]
        self._files.add(path)
        self._pieces += 1
        self._tokens += len(ids)
        if self._progress is not None:
            self._progress(min(self._tokens, self._most), self._most)
        return Piece(path, [*self._front, *ids], len(self._front))

    def read(self) -> CorpusRead:
        """What the pieces so far were."""
        return CorpusRead(str(self._path), len(self._files), self._pieces, self._tokens, self._whole, self._skipped)


class _Start:
    """The first bytes of a stream, without its mark: a file without any place to cut it is not read to its end."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left = UnmarkedStream(stream), most
        self.cut = False
        """Whether there was more."""

    def read(self, size: int) -> bytes:
        if self._left <= 0:
            return b""
        data = self._stream.read(min(size, self._left))
        self._left -= len(data)
        self.cut = self._left <= 0 and bool(self._stream.read(1))
        return data
