"""Every output in the book is what the program writes today."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tools.book.__main__ import check
from tools.book.blocks import ROOT, commands_of, output_of, pages, prepare, written_by

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.conftest import Typed

PAGES = pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_outputs_on_a_page_are_those_of_today(
    page: Path, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(shell: str, folder: Path, environ: dict[str, str]) -> str:
        ran = typed(shell, folder, environ)
        return written_by(ran.code, ran.raw, ran.err.encode())

    monkeypatch.setattr("tools.book.__main__.output_of", written)
    assert check(page, tmp_path) == []


@pytest.mark.parametrize(
    "shell",
    [
        "llminspect encode --search 'w*d' --model toy  # one",
        "llminspect encode world --model toy | sed 's/1/a|b/' | tr a c",
        "llminspect models --kinds",
        "llminspect x",
        "llminspect encode world --model toy >file; cat file",
    ],
)
def test_a_command_writes_the_same_in_this_process(shell: str, tmp_path: Path, typed: Typed) -> None:
    environ = prepare(tmp_path)
    ran = typed(shell, tmp_path / "work", environ)
    assert written_by(ran.code, ran.raw, ran.err.encode()) == output_of(shell, tmp_path / "work", environ) != ""


def test_a_changed_output_is_found_and_written(tmp_path: Path) -> None:
    page = ROOT / "docs" / "01-matrices.md"
    changed = tmp_path / "changed.md"
    block = "```console\n$ llminspect encode world --model toy\n7\n$ exit 3\n```\nText after.\n"
    changed.write_text(block, encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "again").mkdir()
    assert "  - 7\n  + 1" in check(changed, tmp_path / "run", write=True)[0]
    assert changed.read_text("utf-8") == block.replace("\n7\n", "\n1\n")
    assert check(changed, tmp_path / "again") == []
    assert page in PAGES


def test_commands_and_outputs_are_told_apart() -> None:
    text = "```console\n$ one \\\n> more\nfirst\n\nsecond\n$ two\n```\n```sh\n$ not this\n```\n"
    assert [(command.shell, command.output) for command in commands_of(text)] == [
        ("one \\\nmore", "first\n\nsecond"),
        ("two", ""),
    ]


def test_every_command_on_a_page_shows_something() -> None:
    """A filter for a line that is no longer written shows nothing, and says nothing."""
    shown = [(page.name, each) for page in PAGES for each in commands_of(page.read_text("utf-8"))]
    assert [(page, each.shell) for page, each in shown if each.shell.startswith("llminspect") and not each.output] == []


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=lambda p: p.stem)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
