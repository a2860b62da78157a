"""`--lines` where a line needs no more than a tokenizer: batches of lines, for long input on all cores, in order.

What is at hand is worked on and written before more is waited for, so a slow pipe shows each result at once. Memory is
some batches, whatever the input's size; only a long line is held as a whole.
"""

from __future__ import annotations

import codecs
import dataclasses
import io
import os
import stat
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from llminspect.cli.code_page import is_plain
from llminspect.cli.groups import OPTIONS_GIVEN
from llminspect.cli.input import check_given, check_source
from llminspect.cli.opening import MOMENT, ProgressBars
from llminspect.cli.output import descriptor_of, json_line, write_bytes
from llminspect.cli.run import document_of, line_error
from llminspect.cli.waiting import standard_input
from llminspect.core.dataclass import dataclass
from llminspect.errors import UserError
from llminspect.files.marks import Unmarked
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import utf8

if TYPE_CHECKING:
    from llminspect.arguments.shared import NamedOptions, OutputOptions, SourceOptions

R = TypeVar("R")

BATCH = 1 << 13
"""Bytes that are worked on before their results are written: empty lines become some five hundred times as many."""
LONG = 1 << 20
"""Bytes that have to be at hand before processes are started."""


@dataclass(frozen=True)
class Batch:
    """Whole lines, and the number of the first."""

    data: bytes
    first: int

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line without its end (LF or CRLF), and its number."""
        *whole, rest = self.data.decode("utf-8", "surrogateescape").split("\n")
        for number, line in enumerate(whole, self.first):
            yield number, line.removesuffix("\r")
        if rest:
            yield self.first + len(whole), rest


@dataclass
class OverBudget:
    """The inputs that have more tokens than are allowed: the first, and how many."""

    first: Any = None
    count: int = 0

    def add(self, later: Iterable[Any]) -> None:
        for entry in later:
            self.first = entry if self.first is None else self.first
            self.count += 1


@dataclass
class BatchResult:
    """What became of a batch."""

    size: int
    """Bytes of the input."""
    data: bytes = b""
    """To be written."""
    exit_code: int | None = None
    """That of the first line that cannot be done."""
    over_budget: list[Any] = field(default_factory=list)
    failed: MemoryError | None = None
    """What ended the work after `data`."""


@dataclass(frozen=True)
class LineWork(Generic[R]):
    """All that is done with a line, in whichever process."""

    command: str
    model_name: str
    provenance: dict[str, Any]
    digits: int | None
    prompt: Callable[[str, int | None], Prompt]
    run: Callable[[Prompt], R]
    over_budget: Callable[[R], Iterable[Any]] = lambda result: ()
    in_turn: bool = False
    """Whether what becomes of a line hangs on those before it, so that one process has to do them all."""
    fast: Callable[[LineWork[R], int, str], Sequence[bytes] | None] | None = None
    """A quicker way to the same document of a line, in pieces; None where it does not know it."""
    brief: bool = False
    """Whether only the document of line 0 has the provenance, to which the others point, and none has the ids."""

    def __call__(self, batch: Batch) -> BatchResult:
        """A document a line, as `run_each` writes them."""
        made, documents = BatchResult(len(batch.data)), list[bytes]()
        fast = self.fast if is_plain(sys.stdout) else None
        try:
            for number, text in batch.lines():
                try:
                    written = None if fast is None or (self.brief and not number) else fast(self, number, text)
                    if written is not None:
                        documents += written
                        continue
                    prompt = self.prompt(text, number)
                    result = self.run(prompt)
                except UserError as error:
                    made.exit_code = made.exit_code or error.exit_code
                    failure = line_error(self.command, error, number)
                    if self.brief and not number:
                        failure["provenance"] = self.document(None, None)["provenance"]
                    documents.append(json_line(failure))
                    continue
                made.over_budget += self.over_budget(result)
                documents.append(json_line(self.document(result, prompt), self.digits))
        except MemoryError as error:
            made.failed = error
        made.data = b"".join(documents)
        return made

    def document(self, result: R | None, prompt: Prompt | None) -> dict[str, Any]:
        """The JSON document of a line."""
        made = document_of(self.command, self.model_name, self.provenance, result, prompt)
        if self.brief:
            made["provenance"].pop("ids", None)
            if prompt is not None and prompt.line != 0:
                made["provenance"] = {"line": 0}
        return made


def reopened(make: Callable[[], LineWork[R]], provenance: dict[str, Any], options_given: dict[str, Any]) -> LineWork[R]:
    """The same work in another process."""
    OPTIONS_GIVEN.set(options_given)
    return dataclasses.replace(make(), provenance=provenance)


class Lines:
    """The lines of a stream in batches: as much as is there, up to `size` bytes and the end of a line."""

    def __init__(self, stream: IO[bytes], path: Path | None = None) -> None:
        self._stream, self._path, self._text = stream, path, Unmarked()
        self._begun: list[bytes] = []
        self._failed: UserError | OSError | None = None
        self._next = 0
        self.ended = False
        self.size = BATCH
        self.at_once = 0
        """Bytes that came one after another without having to be waited for."""
        self.left = bytes_left(stream)
        self._source = None if self.left is not None else descriptor_of(stream)
        self.may_be_shared = self._source is None or sys.platform != "win32"
        """Whether `at_hand` can tell: on Windows only for files."""

    def at_hand(self) -> bool:
        if self._source is None:
            return True
        import select

        return bool(select.select([self._source], [], [], 0)[0])

    def source(self) -> int | None:
        return self._source

    def take(self) -> Batch | None:
        if self._failed is not None:
            raise self._failed
        read = self._read()
        cut = len(read) if self.ended else read.rfind(b"\n") + 1
        if not cut and not self.ended:
            self._begun.append(read)
            return None
        batch = Batch(b"".join([*self._begun, read[:cut]]), self._next)
        self._begun = [read[cut:]]
        self._next += batch.data.count(b"\n")
        return batch if batch.data else None

    def _read(self) -> bytes:
        """What is there, up to `size` bytes; waits only for the first."""
        pieces: list[bytes] = []
        size = 0
        if self.may_be_shared and not self.at_hand():
            self.at_once = 0
        while size < self.size:
            try:
                data = self._stream.read1(self.size - size)  # type: ignore[attr-defined]
            except OSError as error:
                self._failed = error
                if self._path is not None:
                    self._failed = UserError(f"cannot read {str(self._path)!r:.300}: {error.strerror or error}")
                if not pieces:
                    raise self._failed from None
                break
            pieces.append(self._text.feed(data, final=not data))
            size += len(data)
            self.ended = not data
            if self.ended or not self.may_be_shared or not self.at_hand():
                break
        self.at_once += size
        return b"".join(pieces)


def bytes_left(stream: IO[bytes]) -> int | None:
    """What is still to be read of a plain file; None for all else."""
    descriptor = descriptor_of(stream)
    if descriptor is None:
        return None
    status = os.fstat(descriptor)
    return max(0, status.st_size - stream.tell()) if stat.S_ISREG(status.st_mode) else None


def run_lines(
    source: SourceOptions,
    model: NamedOptions,
    output: OutputOptions,
    work: LineWork[R],
    make: Callable[[NamedOptions, OutputOptions], LineWork[R]],
    workers: int | None,
) -> OverBudget:
    """Write a document for each line; gives those that have more tokens than are allowed.

    `make` makes the work in another process: it must pickle. As in `run_each` a line that cannot be done gives an error
    document of its own, and the first one's exit code is that of the run.
    """
    check_source(source)
    over_budget, exit_code, size = OverBudget(), None, 0
    with open_source(source) as stream, ProgressBars(output) as progress:
        lines = Lines(stream, source.file)
        total = lines.left
        # On one terminal the bar and the documents would write over each other.
        shown = progress is not None and sys.stderr.isatty() and not sys.stdout.isatty()
        elsewhere = partial(make, dataclasses.replace(model, offline=True), dataclasses.replace(output, quiet=True))
        opener = partial(reopened, elsewhere, work.provenance, OPTIONS_GIVEN.get())
        with closing(batch_results(lines, work, opener, workers)) as results:
            for done in results:
                write_bytes(done.data)
                if done.failed is not None:
                    raise done.failed
                over_budget.add(done.over_budget)
                exit_code = exit_code or done.exit_code
                size += done.size
                if progress is not None and shown and (total or size) > MOMENT:
                    progress(work.command, size, total)
    if exit_code is not None:
        raise SystemExit(exit_code)
    return over_budget


def batch_results(
    lines: Lines, work: LineWork[R], make: Callable[[], LineWork[R]], workers: int | None = None
) -> Generator[BatchResult]:
    """What becomes of each batch, in order: here, and in processes once much is at hand."""
    from llminspect.processes import cores, in_order

    workers = 1 if work.in_turn or not lines.may_be_shared else workers or cores()
    while not lines.ended:
        if workers > 1 and max(lines.left or 0, lines.at_once) >= LONG:
            yield from in_order(lines, work, make, workers)
            return
        batch = lines.take()
        if batch is not None:
            yield work(batch)


def open_source(source: SourceOptions) -> IO[bytes]:
    """The input as a stream of bytes: the file, the text, or standard input."""
    if source.file is not None:
        from llminspect.files.source import open_bytes

        return open_bytes(source.file)
    if is_argument(source):
        # A mark of its own in front: one that begins the text is a character there, as in the other commands.
        return io.BytesIO(codecs.BOM_UTF8 + utf8(source.text or ""))
    if not source.lines:
        check_given(source)
    return standard_input()


def is_argument(source: SourceOptions) -> bool:
    """Whether the text stands in the command line itself."""
    return source.file is None and source.text not in (None, "-")
