"""How many tokens files and folders have, each and together, in memory that does not grow with them.

This process reads and cuts, others count. A file with a NUL is binary; one with what is not UTF-8 is binary or in
another code page: both are named, not counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from llminspect.analysis.cost import Cost, cost_of
from llminspect.analysis.count import MeasuredStream, TokenizerOpener, added
from llminspect.analysis.result import Result
from llminspect.analysis.tokenize import TokenBudget, budget_of
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.tokenize import CountOptions
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, UserError
from llminspect.files.source import open_bytes
from llminspect.files.walk import FoundFile, found_files
from llminspect.text.chunks import ALONE_BELOW, BLOCK, Pulled, safe_pattern, text_blocks
from llminspect.text.lost_bytes import ByteTally
from llminspect.text.special_tokens import Parse
from llminspect.text.tokenizer import Tokenizer

BINARY, NOT_UTF8 = "binary", "not UTF-8"


@dataclass(frozen=True)
class FileCount:
    """One file."""

    path: str
    count: int
    bytes: int
    """Of its text in UTF-8, less one line break at the end."""


@dataclass(frozen=True)
class FolderCount:
    """A folder that was named, or one in it, with all that lies in it."""

    path: str
    count: int
    files: int
    bytes: int


@dataclass(frozen=True)
class SkippedFile:
    """A file that was not counted."""

    path: str
    reason: str
    """Such as "binary", where it has a NUL, or "not UTF-8"."""


@dataclass(frozen=True)
class FilesResult(Result):
    """How many tokens files have."""

    total: int
    """Tokens of all files."""
    file_count: int
    bytes: int
    files: list[FileCount]
    """As they were found; with --top-files N only the N with the most tokens, those first."""
    folders: list[FolderCount]
    skipped: list[SkippedFile]
    cost: Cost | None = None
    budget: TokenBudget | None = None
    left_out: int | None = None
    """With --top-files: how many files are not in `files`."""


@dataclass(frozen=True)
class FilePart:
    """Some text of a file, which begins at byte `at` of it."""

    number: int
    path: str
    data: bytes
    at: int


def count_files(
    tokenizer: Tokenizer,
    paths: Sequence[str | Path],
    source: SourceOptions,
    options: CountOptions,
    *,
    reopen: Callable[[], tuple[Tokenizer, Any]] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> FilesResult:
    """The tokens of files and of all files under folders (`files.walk`), each file a text of its own.

    `reopen` opens the tokenizer in other processes, `progress` is called with the bytes that are done and all of them.
    Raises UserError for a path that cannot be read, UsageError for options that are of a single text and for a text
    that the tokenizer cannot take.
    """
    check_files(source, options)
    found = list(found_files(paths))
    files = [file for file in found if not file.skipped]
    skipped = {file.path: file.skipped for file in found if file.skipped}
    size = sum(file.size for file in files)
    counts, sizes = [0] * len(files), [0] * len(files)
    tally = ByteTally(tokenizer.missing_bytes)
    tasks = _tasks(_parts(tokenizer, files, source, counts, sizes, skipped, tally))
    done = 0
    with closing(_results(tokenizer, tasks, source.parse, options.workers, size, reopen)) as results:
        for result in results:
            for number, count, read in result:
                counts[number] += count
                done += read
            if progress is not None:
                progress(done, size)
    counted = [
        FileCount(file.path, count, length)
        for file, count, length in zip(files, counts, sizes, strict=True)
        if file.path not in skipped
    ]
    summed = _summed(
        tokenizer, counted, [SkippedFile(path, reason) for path, reason in skipped.items()], paths, options
    )
    return replace(summed, notes=tally.remarks(tokenizer) or None)


def check_files(source: SourceOptions, options: CountOptions) -> None:
    """Raise UsageError for what says something of one text only."""
    given = {**vars(source), **vars(options)}
    for name in ("ids", "user", "chat", "system", "pair", "lines", "compare", "by_line"):
        if given.get(name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for one text, and several files are counted", f"leave out {option}")


def _parts(
    tokenizer: Tokenizer,
    files: Sequence[FoundFile],
    source: SourceOptions,
    counts: list[int],
    sizes: list[int],
    skipped: dict[str, str],
    tally: ByteTally,
) -> Iterator[FilePart]:
    """The text of the files in parts that may be counted by themselves; what each file is beside that, on the way."""
    pattern = safe_pattern(tokenizer, source.parse)
    for number, file in enumerate(files):
        try:
            with open_bytes(file.path) as stream:
                measured = _TextStream(stream, True, "strict", tokenizer.missing_bytes)
                for data, at in text_blocks(measured, pattern, BLOCK, True):  # type: ignore[arg-type]
                    yield FilePart(number, file.path, data, at)
        except UnicodeDecodeError:
            skipped[file.path] = BINARY if b"\0" in measured.head else NOT_UTF8
            continue
        except UserError as error:
            skipped[file.path] = error.message.rpartition(": ")[2].lower()
            continue
        tally.add_all(measured.tally)
        counts[number] += added(tokenizer, source, measured)
        sizes[number] = measured.bytes


class _TextStream(MeasuredStream):
    """One that is text."""

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        if b"\0" in data:
            raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "a NUL")
        return data


def _tasks(parts: Iterable[FilePart]) -> Iterator[list[FilePart]]:
    """Enough of them for a process to be worth it."""
    task: list[FilePart] = []
    size = 0
    for part in parts:
        task.append(part)
        size += len(part.data) + 100
        if size >= BLOCK:
            yield task
            task, size = [], 0
    if task:
        yield task


def _results(
    tokenizer: Tokenizer,
    tasks: Iterator[list[FilePart]],
    parse: Parse,
    workers: int | None,
    size: int,
    reopen: Callable[[], tuple[Tokenizer, Any]] | None,
) -> Any:
    from llminspect.processes import cores, in_order

    workers = 1 if reopen is None or tokenizer.learns else workers or cores()
    if workers == 1 or size < ALONE_BELOW:
        return (_count(tokenizer, parse, task) for task in tasks)
    return in_order(Pulled(tasks), None, partial(_counter, TokenizerOpener(tokenizer, reopen), parse), workers)  # type: ignore[arg-type]


def _counter(make: Callable[[], Tokenizer], parse: Parse) -> Callable[[list[FilePart]], list[tuple[int, int, int]]]:
    return partial(_count, make(), parse)


def _count(tokenizer: Tokenizer, parse: Parse, task: list[FilePart]) -> list[tuple[int, int, int]]:
    """The number, the tokens and the bytes of each."""
    counts = []
    for part in task:
        try:
            count = tokenizer.count(part.data.decode(), parse, at=part.at, goes_on=part.at > 0)
        except UserError as error:
            raise type(error)(f"{part.path}: {error.message}", error.hint) from None
        counts.append((part.number, count, len(part.data)))
    return counts


def _summed(
    tokenizer: Tokenizer,
    files: list[FileCount],
    skipped: list[SkippedFile],
    paths: Sequence[str | Path],
    options: CountOptions,
) -> FilesResult:
    folders: dict[str, FolderCount] = {}
    roots = sorted((os.fspath(path) for path in paths if os.path.isdir(path)), key=len)
    for file in files:
        root = next((root for root in roots if file.path.startswith(os.path.join(root, ""))), None)
        if root is None:
            continue
        inner = file.path[len(os.path.join(root, "")) :].split(os.sep)[:-1]
        for folder in [root, *(os.path.join(root, part) for part in accumulate(inner, os.path.join))]:
            sums = folders.get(folder, FolderCount(folder, 0, 0, 0))
            folders[folder] = FolderCount(folder, sums.count + file.count, sums.files + 1, sums.bytes + file.bytes)
    total = sum(file.count for file in files)
    result = FilesResult(
        total, len(files), sum(file.bytes for file in files), files, list(folders.values()), skipped,
        cost_of(tokenizer, options, total), budget_of(total, options.budget),
    )  # fmt: skip
    if options.top_files is None:
        return result
    largest = sorted(files, key=lambda file: -file.count)[: options.top_files]
    return replace(result, files=largest, left_out=len(files) - len(largest))
