"""How counts look: of one text, of its lines, of files and folders with their share of all; and what they cost."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType

from llminspect.analysis.cost import Cost
from llminspect.analysis.count_files import FileCount, FilesResult, FolderCount
from llminspect.analysis.tokenize import CountResult, LineCount
from llminspect.core.numbers import fixed, percent, several
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.prose import Text
from llminspect.render.safe import shorten, visible
from llminspect.render.section import facts
from llminspect.render.table import Cell, Column, Columns, table

MOST_LINES, LINE = 30, 100
"""Lines shown with --by-line, and of each so many cells."""
MOST_FILES, SMALL = 20, 0.01
"""Files shown by name, and the share of all below which a folder is not where none of its files is."""
SKIPPED = 8
"""Names shown of what was not counted."""


def counted(result: CountResult) -> RenderableType:
    """The bare number, for the next program in the pipe; with what it costs, where a price was given."""
    if result.lines is not None:
        return lines_table(result, result.lines)
    line = Text(str(result.count) + (f"  {money(result.cost)}" if result.cost else ""))
    if result.cost and result.cost.model:
        line.append(f"  {rate(result.cost)}", theme.QUIET)
    return line


def money(cost: Cost) -> str:
    """The total in cents, of less than one in three significant digits, and the currency where it was given."""
    decimals = 2 if cost.total >= 1 or not cost.total else max(2, 2 - math.floor(math.log10(cost.total)))
    amount = fixed(cost.total, decimals).rstrip("0")
    whole, _, cents = amount.partition(".")
    # Two significant digits at least, and cents where there are any.
    return (
        f"{cost.currency}{whole}.{cents.ljust(2, '0')}"
        if len(cost.currency) == 1
        else (f"{whole}.{cents.ljust(2, '0')} {cost.currency}".rstrip())
    )


def rate(cost: Cost) -> str:
    """`at 2.5 a million (gpt-4o, 2026-08-05)`, and why it is an estimate."""
    named = ", ".join(visible(text) for text in (cost.model, cost.date) if text)
    estimate = f"; an estimate: {visible(cost.estimate)}" if cost.estimate else ""
    return f"at {cost.price:g} per million" + (f" ({named})" if named else "") + estimate


def headline(count: int, more: Sequence[str], cost: Cost | None) -> RenderableType:
    """`5 tokens · 23 characters`, and what they cost."""
    tokens, prices = several(count, "token"), [f"{money(cost)} {rate(cost)}"] if cost is not None else []
    return facts([tokens, *more, *prices], strong=len(tokens))


def lines_table(result: CountResult, lines: Sequence[LineCount]) -> RenderableType:
    """The lines that cost most, the most first."""
    shown = lines[:MOST_LINES]
    columns: Columns = [Column("line", "right"), Column("tokens", "right"), Column("share", "right"), ""]
    columns += [Column("so far", "right"), Column("text")]
    most = shown[0].count if shown else 1
    rows: list[list[Cell]] = [
        [
            str(line.line),
            f"{line.count:,}",
            percent(line.share, 1),
            BarCell(line.count / most, 8),
            percent(line.cumulative, 1),
            Text(shorten(visible(line.text.strip()), LINE), no_wrap=True, overflow="ellipsis"),
        ]
        for line in shown
    ]
    facts = several(result.count, "token") + (f", {money(result.cost)} {rate(result.cost)}" if result.cost else "")
    rest = len(lines) - len(shown)
    note = f"{facts}; lines count from 0" + (f"; {several(rest, 'more line')}, all of them with --json" if rest else "")
    return table(columns, rows, note=note)


@dataclass
class _Folder:
    """A folder with what of it is shown."""

    counted: FolderCount
    folders: list[_Folder] = field(default_factory=list)
    files: list[FileCount] = field(default_factory=list)

    def shown(self, total: int) -> list[_Folder | FileCount]:
        """The folders and files in it that have a row, the largest first."""
        folders = [entry for entry in self.folders if entry.has_files() or entry.counted.count >= SMALL * total]
        return sorted([*folders, *self.files], key=_count, reverse=True)

    def has_files(self) -> bool:
        return bool(self.files) or any(entry.has_files() for entry in self.folders)


def _count(entry: _Folder | FileCount) -> int:
    return entry.counted.count if isinstance(entry, _Folder) else entry.count


def files_view(result: FilesResult) -> RenderableType:
    """All, the folders and the largest files in them, each with its share; what was not counted."""
    sizes = [several(result.file_count, "file"), several(result.bytes, "byte")]
    line = headline(result.total, sizes, result.cost)
    columns: Columns = ["file or folder", Column("tokens", "right"), Column("share", "right"), ""]
    rows: list[list[Cell]] = [_row("all", result.total, result.total)]
    for entry in _tree(result).shown(result.total):
        rows += _rows(entry, 0, "", result.total)
    rest = result.file_count - len(_named(result))
    note = (
        f"by name the {several(len(_named(result)), 'largest file')}; --top-files N shows more of {rest:,}"
        if rest
        else ""
    )
    parts: list[RenderableType] = [line, Text(), table(columns, rows, note=note, strong=[0])]
    if result.skipped:
        names = [f"{visible(file.path)} ({file.reason})" for file in result.skipped[:SKIPPED]]
        more = f", and {len(result.skipped) - SKIPPED:,} more" if len(result.skipped) > SKIPPED else ""
        parts += [Text(), Text(f"{len(result.skipped):,} not counted: {', '.join(names)}{more}", theme.QUIET)]
    return Group(*parts)


def _named(result: FilesResult) -> list[FileCount]:
    """The files that are shown by name."""
    if len(result.files) < result.file_count:  # As many as --top-files says.
        return result.files
    return sorted(result.files, key=lambda file: -file.count)[:MOST_FILES]


def _tree(result: FilesResult) -> _Folder:
    """The folders in one another, under one that is none."""
    root = _Folder(FolderCount("", result.total, result.file_count, result.bytes))
    folders = {folder.path: _Folder(folder) for folder in result.folders}
    for path, folder in folders.items():
        folders.get(os.path.dirname(path), root).folders.append(folder)
    for file in _named(result):
        folders.get(os.path.dirname(file.path), root).files.append(file)
    return root


def _rows(entry: _Folder | FileCount, depth: int, above: str, total: int) -> Iterator[list[Cell]]:
    path = entry.counted.path if isinstance(entry, _Folder) else entry.path
    name = path[len(above) :].lstrip(os.sep) if above else path
    if isinstance(entry, FileCount):
        yield _row("  " * depth + name, entry.count, total)
        return
    shown = entry.shown(total)
    if len(shown) == 1 and isinstance(shown[0], _Folder) and shown[0].counted.files == entry.counted.files:
        yield from _rows(shown[0], depth, above, total)  # Nothing else is in it.
        return
    files = f" ({entry.counted.files:,})" if not shown else ""
    yield _row("  " * depth + name.rstrip(os.sep) + os.sep + files, entry.counted.count, total)
    for inner in shown:
        yield from _rows(inner, depth + 1, path, total)
    named = sum(1 if isinstance(inner, FileCount) else inner.counted.files for inner in shown)
    if shown and named < entry.counted.files:
        rest = entry.counted.count - sum(map(_count, shown))
        yield _row("  " * (depth + 1) + f"… {entry.counted.files - named:,} more", rest, total)


def _row(name: str, count: int, total: int) -> list[Cell]:
    share = count / total if total else 0.0
    return [name, f"{count:,}", percent(share, 1), BarCell(share, 12)]
