"""Every output in the book is what the program writes today."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tools.book.__main__ import check
from tools.book.blocks import ROOT, commands_of, pages

if TYPE_CHECKING:
    from pathlib import Path

PAGES = pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_outputs_on_a_page_are_those_of_today(page: Path, tmp_path: Path) -> None:
    assert check(page, tmp_path) == []


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


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=lambda p: p.stem)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
