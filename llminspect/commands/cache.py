"""`llminspect cache`: what was fetched and prepared, whether it is whole, and rid of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llminspect.arguments.option import each
from llminspect.arguments.shared import OutputOptions
from llminspect.arguments.small import CacheOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.run import emit, fail_check
from llminspect.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from llminspect.analysis.cache import CacheEntry, CacheResult

RESULTS = "analysis.cache.CacheResult"
MOST_NAMED = 5
MOST_ROWS = 20
"""Entries in the table."""
DAY = "%Y-%m-%d %H:%M"


def render(result: CacheResult) -> RenderableType:
    """A line an entry, the largest kinds first; of very many those with faults and the largest; headers, hashes and
    locks together."""
    from rich.console import Group

    from llminspect.core.numbers import byte_size, several
    from llminspect.render import theme
    from llminspect.render.prose import Text
    from llminspect.render.safe import visible
    from llminspect.render.table import Column, table

    large = [entry for entry in result.entries if entry.kind not in ("header", "hash", "unfinished", "lock")]
    small = len(result.entries) - len(large)
    shown = sorted(large, key=lambda entry: (not entry.faults, -entry.bytes))[:MOST_ROWS]
    shown = [entry for entry in large if entry in shown]
    parts: list[RenderableType] = []
    if result.removed is not None:
        parts.append(Text(f"Removed {_entries(len(result.removed))}, {byte_size(result.freed or 0)}\n", theme.TITLE))
    parts.append(Text(f"{visible(result.folder)}: {byte_size(result.bytes)}\n", theme.TITLE))
    if large:
        state = "state" if result.action == "verify" else None
        rows = [
            [
                *(entry.kind, _short(entry.name), entry.of, byte_size(entry.bytes)),
                *(time.strftime(DAY, time.localtime(entry.used)), ", ".join(entry.faults or ()) or "whole"),
            ]
            for entry in shown
        ]
        size, used = Column("size", align="right", whole=True), Column("last used", whole=True, spared=1)
        parts.append(table(["kind", Column("name", whole=True), "of", size, used, state], rows))
    lines = [f"the {len(shown)} largest of {_kinds(large)}; --json has all"] if len(shown) < len(large) else []
    lines += [f"besides these {small:,} small files (remembered headers and hashes, locks)"] if small else []
    lines += [f"not ours, never touched: {visible(path)}" for path in result.foreign[:MOST_ROWS]]
    more = len(result.foreign) - MOST_ROWS
    lines += [f"and {several(more, 'file')} more that {'is' if more == 1 else 'are'} not ours"] if more > 0 else []
    parts.append(Text("\n".join(["", *lines] if large and lines else lines), theme.QUIET))
    return Group(*parts)


def _kinds(entries: Sequence[CacheEntry]) -> str:
    """How many there are of each kind, and how much they hold."""
    from llminspect.core.numbers import byte_size

    kinds: dict[str, list[int]] = {}
    for entry in entries:
        kinds.setdefault(entry.kind, []).append(entry.bytes)
    return ", ".join(f"{len(sizes):,} × {kind} ({byte_size(sum(sizes))})" for kind, sizes in kinds.items())


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:12]}…{name[-6:]}"


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _ask(entries: int, size: int) -> bool:
    """Whether the person at the terminal agrees. Raises UsageError where there is none."""
    import sys

    from llminspect.cli.output import confirmed
    from llminspect.core.numbers import byte_size

    what = f"{_entries(entries)}, {byte_size(size)}"
    if not sys.stdin.isatty():
        raise UsageError(
            f"nothing was removed ({what}): there is no terminal to confirm it on", "--yes removes without a question"
        )
    return confirmed(f"Remove {what}? [y/N] ")


@takes_groups
def command(output: OutputOptions, options: CacheOptions) -> None:
    """What was fetched and prepared: show, verify, clear.

    Only what llminspect made is ever removed, after a question. Prepared weights are made again when they are needed;
    fetched models stay unless they are named or --all is given. LLMINSPECT_HOME sets the folder; with
    LLMINSPECT_CACHE_LIMIT=2GB the cache is brought below that size at each new entry.

    \b
    llminspect cache
    llminspect cache verify
    llminspect cache clear prepared
    llminspect cache clear --limit 2GB --yes
    """
    from llminspect.analysis.cache import cache
    from llminspect.files.cache_folder import parse_size

    limit = None if options.limit is None else parse_size(options.limit)
    agrees = (lambda *_: True) if options.yes else _ask
    result = cache(options.action, each(options.names), limit, everything=options.everything, agrees=agrees)
    emit("cache", None, {}, result, output)
    damaged = [entry.name for entry in result.entries if entry.faults]
    if damaged:
        more = f" and {len(damaged) - MOST_NAMED} more" if len(damaged) > MOST_NAMED else ""
        named = damaged[:MOST_NAMED]
        error = CheckFailed(f"damaged: {', '.join(named)}{more}", f"llminspect cache clear {' '.join(named)}")
        fail_check(error, output)
