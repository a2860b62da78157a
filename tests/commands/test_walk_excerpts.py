"""What the walk shows below a `$ command` is what that command prints, line by line; ⋮ stands for what is left out."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console, Group

from llminspect.commands.walk import SENTENCE, view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llminspect.analysis.followed import CommandExcerpt
    from tests.conftest import Program


def drawn(*parts: Any, columns: int) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, _environ={})
    console.print(Group(*parts))
    return lines_of(console.file.getvalue())  # type: ignore[attr-defined]


def lines_of(text: str) -> list[str]:
    """Without the times, and the width that they take."""
    return [re.sub(r" *(time|[0-9.]+ (ms|µs|s))$|─+$", "", line).rstrip() for line in text.split("\n")]


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """What stands between ⋮ and ⋮, without empty lines at its ends."""
    for block in "\n".join(lines).split("⋮"):
        yield block.strip("\n").split("\n") if block.strip() else []


@pytest.mark.parametrize("columns", [60, 100])
def test_below_a_command_stands_what_it_prints(called: Program, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], list[str]]] = []
    make = view._excerpt

    def noting(part: CommandExcerpt, *views: Any) -> Iterator[Any]:
        shown = [one for pair in ((each, "") for each in views) for one in pair]
        seen.append((part.arguments, drawn(*shown, columns=columns)))
        yield from make(part, *views)

    monkeypatch.setattr(view, "_excerpt", noting)
    assert called("walk", SENTENCE, "--no-pause", COLUMNS=str(columns)).code == 0
    assert len(seen) > 15
    for arguments, lines in seen:
        more = ["--color", "always"] if arguments[0] == "encode" else []  # As on a terminal: with the tokens.
        ran = called(*arguments, *more, COLUMNS=str(columns))
        printed = lines_of(re.sub(r"\x1b\[[\d;]*m", "", ran.out))
        found = list(blocks(lines))
        whole = "\n".join(printed).strip("\n")
        at = 0
        for place, block in enumerate(found):
            text = "\n".join(block)
            where = whole.find(text, at)
            assert where >= 0, (arguments, text, whole)
            assert place or not block or where == 0, (arguments, "⋮ is missing in front", text)
            at = where + len(text)
        assert found[-1] == [] or at == len(whole), (arguments, "⋮ is missing at the end", whole[at:])
        assert all(found[1:-1]), (arguments, "two ⋮ beside each other")
