"""`llminspect cache`: what was fetched and prepared, whether it is whole, and rid of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llminspect.commands._options import OutputOptions, takes_groups
from llminspect.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.files import cache_folder

Action = Literal["show", "verify", "clear"]


@dataclass(frozen=True)
class Entry:
    """One thing in the cache that this program made."""

    kind: Literal["model", "prepared", "header", "hash", "lock", "leftover"]
    name: str
    path: str
    bytes: int
    used: float
    """When it was last read or written, in seconds since 1970."""
    of: str | None = None
    """The model that it was made from, where that has a short name."""
    faults: list[str] | None = None
    """With `verify`: what is wrong with it."""


@dataclass(frozen=True)
class Result:
    """What is in the cache; after `clear`, what is left, and what was removed."""

    folder: str
    action: Action
    entries: list[Entry]
    bytes: int
    foreign: list[str]
    """What lies there and is none of ours; it is never touched."""
    removed: list[Entry] | None = None
    freed: int | None = None
    """Bytes."""
    limit: int | None = None
    """Bytes that the cache was brought below."""


def run(action: Action, names: Sequence[str] = (), limit: int | None = None) -> Result:
    """Show, verify or clear the entries that `names` picks (names, kinds, or what they were made from; all if none).

    Raises UsageError for a name that picks nothing.
    """
    from llminspect.files import cache_folder
    from llminspect.files.home import home

    picked = _picked(cache_folder.entries(), names)
    removed: list[cache_folder.Entry] = []
    freed = 0
    if action == "clear":
        removed = picked if limit is None else cache_folder.too_much(picked, limit)
        freed = sum(cache_folder.remove(entry) for entry in removed)
        picked = _picked(cache_folder.entries(), ())
    return Result(
        folder=str(home()),
        action=action,
        entries=[_entry(entry, cache_folder.faults(entry) if action == "verify" else None) for entry in picked],
        bytes=sum(entry.bytes for entry in picked),
        foreign=[str(path) for path in cache_folder.foreign()],
        removed=[_entry(entry, None) for entry in removed] if action == "clear" else None,
        freed=freed if action == "clear" else None,
        limit=limit,
    )


def _picked(found: Sequence[cache_folder.Entry], names: Sequence[str]) -> list[cache_folder.Entry]:
    if not names:
        return list(found)
    for name in names:
        if not any(name in (entry.name, entry.kind, entry.of) for entry in found):
            known = {entry.kind for entry in found} | {entry.of for entry in found if entry.of}
            raise UsageError(
                f"the cache holds nothing called {name!r}", f"it holds {', '.join(sorted(known)) or 'nothing'}"
            )
    return [entry for entry in found if {entry.name, entry.kind, entry.of} & set(names)]


def _entry(entry: cache_folder.Entry, faults: list[str] | None) -> Entry:
    return Entry(entry.kind, entry.name, str(entry.path), entry.bytes, entry.used, entry.of, faults)


def render(result: Result) -> RenderableType:
    """A line an entry, the largest kinds first; headers, hashes and locks together."""
    from rich.console import Group
    from rich.text import Text

    from llminspect.render import theme
    from llminspect.render.numbers import byte_size
    from llminspect.render.safe import visible
    from llminspect.render.table import Column, table

    large = [entry for entry in result.entries if entry.kind not in ("header", "hash", "lock")]
    small = len(result.entries) - len(large)
    parts: list[RenderableType] = []
    if result.removed is not None:
        parts.append(Text(f"Removed {len(result.removed)} entries, {byte_size(result.freed or 0)}\n", theme.TITLE))
    parts.append(Text(f"{visible(result.folder)}: {byte_size(result.bytes)}\n", theme.TITLE))
    if large:
        checked = result.action == "verify"
        columns: list[str | Column] = ["kind", "name", "of", Column("size", align="right"), "last used"]
        rows = [
            [entry.kind, _short(entry.name), entry.of, byte_size(entry.bytes), _day(entry.used)]
            + ([", ".join(entry.faults or ()) or "whole"] if checked else [])
            for entry in large
        ]
        parts.append(table([*columns, "state"] if checked else columns, rows))
    said = [f"and {small} small files (remembered headers and hashes, locks)"] if small else []
    said += [f"not ours, never touched: {visible(path)}" for path in result.foreign]
    parts.append(Text("\n".join(["", *said] if large and said else said), theme.QUIET))
    return Group(*parts)


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:12]}…{name[-6:]}"


def _day(seconds: float) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


@takes_groups
def command(
    output: OutputOptions,
    action: Annotated[Action, typer.Argument(help="What to do.")] = "show",
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these: a model's name, model, prepared …", show_default=False),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="SIZE", help="With clear: only what was not used for longest, down to 2GB."),
    ] = None,
) -> None:
    """What was fetched and prepared: show, verify, clear.

    Only what llminspect made is ever removed. Prepared weights are made again when they are needed, models are fetched
    again. LLMINSPECT_HOME sets the folder; with LLMINSPECT_CACHE_LIMIT=2GB it is kept below that at each new entry.

    llminspect cache · llminspect cache verify · llminspect cache clear prepared · llminspect cache clear --limit 2GB
    """
    from llminspect.commands._run import emit, fail_check
    from llminspect.commands._save import check_ending
    from llminspect.files.cache_folder import parse_size

    check_ending(output, arrays=False)
    if limit is not None and action != "clear":
        raise UsageError("--limit goes with clear", "llminspect cache clear --limit 2GB")
    result = run(action, names or (), None if limit is None else parse_size(limit))
    emit("cache", None, {}, result, output, render)
    damaged = [entry.name for entry in result.entries if entry.faults]
    if damaged:
        error = CheckFailed(f"damaged: {', '.join(damaged)}", f"llminspect cache clear {' '.join(damaged)}")
        fail_check(error, output)
