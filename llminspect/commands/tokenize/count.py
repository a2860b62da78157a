"""`tokenize --count`: how many tokens a text of any size has, in memory that does not grow with it."""

from __future__ import annotations

import codecs
import io
import sys
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from llminspect.cli.input import check_given, check_source
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.output import note, write_text
from llminspect.cli.progress import ProgressBars
from llminspect.cli.run import emit
from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from llminspect.analysis.tokenization import Compared, CompareResult, CountResult
    from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.text.tokenizer import Tokenizer

    Render = Callable[[CountResult | CompareResult], RenderableType]

LONG = 4 << 20
"""Bytes from which a progress bar is worth its place."""
HEAD = 1 << 10
"""Bytes of a stream in which a BOS that it spells itself is looked for."""


class Measured(io.RawIOBase):
    """A stream that knows how many bytes and characters were read from it, less one newline at the end."""

    def __init__(self, stream: IO[bytes], drop_final_newline: bool) -> None:
        self._stream, self._drops = stream, drop_final_newline
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._tail = self.head = b""
        self.bytes = self.characters = 0

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        data = self._stream.read(size)
        self.bytes += len(data)
        self.head += data[: HEAD - len(self.head)]
        self.characters += len(self._decoder.decode(data, final=not data))
        self._tail = (self._tail + data[-2:])[-2:]
        if not data and self._drops and self._tail.endswith(b"\n"):
            dropped = 2 if self._tail == b"\r\n" else 1
            self.bytes -= dropped
            self.characters -= dropped
            self._drops = False
        return data


@dataclass
class Maker:
    """Opens the tokenizer: here it is the one that is open already, another process opens its own."""

    options: ModelOptions
    tokenizer: Tokenizer | None

    def __call__(self) -> Tokenizer:
        if self.tokenizer is None:
            from llminspect.opening import open_tokenizer

            self.tokenizer, _ = open_tokenizer(self.options.model, revision=self.options.revision, offline=True)
        return self.tokenizer

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options, "tokenizer": None}


def count_one(
    source: SourceOptions, model: ModelOptions, output: OutputOptions, asked: TokenizeOptions, render: Render
) -> list[tuple[str, CountResult]]:
    """Count in one tokenizer and write the number."""
    check_source(source)
    tokenizer, provenance = open_tokenizer_for(model, output)
    stream, size = open_source(source)
    with stream:
        result = count(tokenizer, model, stream, size, source, output, asked)
    if not result.bytes:
        note("the text is empty", output)
    emit_bare(model.model, provenance, result, output, render)
    return [(model.model, result)]


def emit_bare(
    name: str, provenance: dict[str, Any], result: CountResult, output: OutputOptions, render: Render
) -> None:
    """The number for the next program in the pipe, without loading what draws."""
    if output.json or output.save is not None or result.cost is not None:
        emit("tokenize", name, provenance, result, output, render)
    else:
        write_text(f"{result.count}\n")


def count(
    tokenizer: Tokenizer,
    model: ModelOptions,
    stream: IO[bytes],
    size: int | None,
    source: SourceOptions,
    output: OutputOptions,
    asked: TokenizeOptions,
) -> CountResult:
    """The tokens of a stream, with those that the model expects around a text."""
    from llminspect.analysis.tokenization import CountResult, budget_of, cost_of
    from llminspect.text.chunks import count_stream

    measured = Measured(stream, drop_final_newline=not given_as_argument(source))
    with ProgressBars(output) as progress:

        def step(done: int) -> None:
            if progress is not None and sys.stderr.isatty() and (size or done) > LONG:
                progress("counting", done, size)

        counted = count_stream(
            Maker(model, tokenizer),
            measured,  # type: ignore[arg-type]
            workers=asked.workers,
            parse=source.parse,
            drop_final_newline=not given_as_argument(source),
            progress=step,
        )
    total = counted + added(tokenizer, source, measured.head.decode("utf-8", "ignore"))
    cost, budget = cost_of(asked.price, total), budget_of(asked.max_tokens_allowed, total)
    return CountResult(total, measured.characters, measured.bytes, cost, budget)


def added(tokenizer: Tokenizer, source: SourceOptions, head: str) -> int:
    """How many tokens are put around a text that begins so: a BOS that it spells itself is not put a second time."""
    if source.special is False or not (tokenizer.prefix_ids or tokenizer.suffix_ids):
        return 0
    tokens = tokenizer.encode(head, source.parse)
    return len(tokenizer.wrap(tokens)) - len(tokens)


def count_compared(
    names: Sequence[str],
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    asked: TokenizeOptions,
    render: Render,
) -> list[tuple[str, CountResult]]:
    """Count in several tokenizers; standard input is read once and kept, on disk where it is long."""
    from llminspect.analysis.tokenization import Compared, CompareResult, about
    from llminspect.files.source import spooled

    check_source(source)
    options = [replace(model, model=name) for name in names]
    opened = [open_tokenizer_for(own, output) for own in options]
    kept = None if source.file is not None else spooled(open_source(source)[0])
    models: list[Compared] = []
    counts: list[tuple[str, CountResult]] = []
    errors: list[UserError] = []
    for own, (tokenizer, _) in zip(options, opened, strict=True):
        try:
            if kept is not None:
                kept[0].seek(0)
                result = count(tokenizer, own, *kept, source, output, asked)
            else:
                stream, size = open_source(source)
                with stream:
                    result = count(tokenizer, own, stream, size, source, output, asked)
        except UserError as error:
            errors.append(error)
            models.append(Compared(own.model, about(tokenizer), error=error.message))
            continue
        counts.append((own.model, result))
        models.append(compared_of(own.model, tokenizer, result))
    if not counts:
        raise errors[0]
    whole = counts[0][1]
    comparison = CompareResult(None, whole.characters or 0, whole.bytes or 0, models)
    provenance = {"models": {own.model: found for own, (_, found) in zip(options, opened, strict=True)}}
    emit("tokenize", names[0], provenance, comparison, output, render)
    return counts


def compared_of(name: str, tokenizer: Tokenizer, result: CountResult) -> Compared:
    """A count as a row of a comparison."""
    from llminspect.analysis.tokenization import Compared, about

    return Compared(
        name,
        about(tokenizer),
        result.count,
        (result.characters or 0) / result.count if result.count else None,
        (result.bytes or 0) / result.count if result.count else None,
        result.cost,
        result.budget,
    )


def given_as_argument(source: SourceOptions) -> bool:
    return source.file is None and source.text not in (None, "-")


def open_source(source: SourceOptions) -> tuple[IO[bytes], int | None]:
    """The text as a stream of bytes, and its size where that is known."""
    if source.file is not None:
        from llminspect.files.source import open_bytes

        file = open_bytes(source.file)
        return file, file_size(file)
    if given_as_argument(source):
        from llminspect.text.tokenizer import utf8

        data = utf8(source.text or "")
        return io.BytesIO(data), len(data)
    check_given(source)
    return sys.stdin.buffer, file_size(sys.stdin.buffer)


def file_size(file: IO[bytes]) -> int | None:
    """What is left to read of a plain file; None for a pipe."""
    import os
    import stat

    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
