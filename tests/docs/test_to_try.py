"""What the book and the README tell a reader to type works when pasted; each page ends with three such things."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tools.book.blocks import ROOT, commands_of, pages, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docs.conftest import Typed

CHAPTERS = sorted((ROOT / "docs").glob("[0-9]*.md"))
EXERCISES = sorted((ROOT / "docs" / "exercises").glob("[!R]*.md"))
NOT_HERE = re.compile(r"--install-completion|\b(COMMAND|MODEL|TEXT|FILE|FOLDER|TOPIC)\b")
"""What would change the reader's shell, and what holds a word to be replaced."""


def to_type(text: str) -> list[str]:
    """The commands between backticks and in blocks for the shell; those with an output are checked elsewhere."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    found += [line for block in blocks for line in block.splitlines()]
    return [code for code in found if re.match(r"(printf .*\| )?llminspect ", code) and not NOT_HERE.search(code)]


def spaced_once(code: str) -> str:
    """Without what explains it."""
    return " ".join(code.partition("  # ")[0].split())


def new_commands() -> Iterator[tuple[str, list[str]]]:
    """Each page with the commands that no page before has, nor any with its output."""
    known = {
        spaced_once(command.shell.partition(" | ")[0])
        for page in pages()
        for command in commands_of(page.read_text("utf-8"))
    }
    for page in (ROOT / "README.md", ROOT / "docs" / "README.md", *CHAPTERS, ROOT / "docs" / "teaching.md", *EXERCISES):
        here = {spaced_once(code): code for code in to_type(page.read_text("utf-8"))}
        new = [code for plain, code in here.items() if plain not in known]
        yield page.relative_to(ROOT).with_suffix("").as_posix(), new
        known |= here.keys()


@pytest.mark.parametrize(("page", "codes"), list(new_commands()))
def test_every_command_can_be_pasted(page: str, codes: list[str], tmp_path: Path, typed: Typed) -> None:
    environ = prepare(tmp_path)
    failed = []
    for code in codes:
        # A developer's own cache may hold tens of thousands of files.
        home = {"LLMINSPECT_HOME": str(tmp_path / "home")} if code == "llminspect cache" else {}
        ran = typed(code, tmp_path / "work", environ | home)
        if ran.code or not ran.raw:
            failed.append((code, ran.code, ran.err))
    assert failed == [], page


def test_commands_are_found_in_prose_and_blocks() -> None:
    text = "Do `llminspect a\n  b` or `make`.\n```sh\nllminspect c  # why\nmake\n```\n```console\n$ llminspect d\n```\n"
    assert to_type(text + "`llminspect info MODEL`") == ["llminspect a b", "llminspect c  # why"]
    assert all(to_type(page.read_text("utf-8")) for page in [ROOT / "README.md", *CHAPTERS])


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_a_page_ends_with_three_things_to_try_and_the_next_page(page: Path) -> None:
    last = page.read_text("utf-8").split("\n## ")[-1]
    things = re.split(r"^\d\. ", last.split("\n[")[0], flags=re.MULTILINE)[1:]
    assert last.startswith("Three things to try\n")
    assert len(things) == 3 and all(to_type(thing) for thing in things)
    place = CHAPTERS.index(page)
    following = CHAPTERS[place + 1].name if place + 1 < len(CHAPTERS) else "README.md"
    assert re.findall(r"\]\(([^)]*)\)", last.strip().splitlines()[-1])[-1] == following


def test_each_page_has_exercises_with_answers() -> None:
    assert [page.name for page in EXERCISES] == [*(page.name for page in CHAPTERS), "explore.md"]
    for page in EXERCISES:
        text = page.read_text("utf-8")
        for task in re.split(r"^## \d\.$", text, flags=re.MULTILINE)[1:]:
            question, _, rest = task.partition("```console\n")
            output, _, answer = rest.partition("\n```\n")
            assert question.strip(), page
            assert "\n" in output and answer.strip(), page
        assert len(re.findall(r"^## \d\.$", text, re.MULTILINE)) >= 3
