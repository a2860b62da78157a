"""Notes on standard error: written by one function, which names the program and keeps silent with --quiet."""

from __future__ import annotations

import ast
import logging
from typing import TYPE_CHECKING

import pytest

from llminspect.files import machine, remarks
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

WRITERS = {"cli/output.py": {"note", "report_error", "pause", "_answer"}}
"""What may write to standard error: notes, errors, and the questions to a person at the terminal."""
LOGS = {"files/remarks.py": {"notice"}}
"""What may know of Python's log: notices where no command line is."""


def functions_that(call: str) -> dict[str, set[str]]:
    """The functions of the package that say so, by file."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "llminspect").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(inside, ast.Call) and ast.unparse(inside.func) == call for inside in ast.walk(node)
            ):
                found.setdefault(path.relative_to(ROOT / "llminspect").as_posix(), set()).add(node.name)
    return found


def test_one_function_writes_notes() -> None:
    assert functions_that("sys.stderr.write") == WRITERS
    assert functions_that("warnings.warn") == functions_that("sys.stderr.print") == {}
    assert functions_that("logging.getLogger") == LOGS


def beyond_memory(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    monkeypatch.setattr(machine, "memory_bytes", lambda: 1)
    return ["forward", "--ids", "3,1,4", "--json", "--model", str(ROOT / "tests/golden/gpt2")]


def not_kept(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    (folder / "home").mkdir(mode=0o700)
    (folder / "home/prepared").write_text("a file where the folder should be")
    monkeypatch.setenv("LLMINSPECT_HOME", str(folder / "home"))
    return ["forward", "--ids", "3,1,4", "--json", "--model", str(ROOT / "tests/golden/gpt2")]


def empty_text(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    return ["tokenize", "", "--json"]


def cut_off(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    return ["tokenize", "a b c d", "--truncate", "2"]


KINDS = (beyond_memory, not_kept, empty_text, cut_off)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("quiet", [False, True])
def test_a_note_names_the_program_and_obeys_quiet(
    kind: type, quiet: bool, called: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = kind(monkeypatch, tmp_path)
    ran = called(*given, *(["--quiet"] if quiet else []))
    assert ran.code == 0, ran.err
    lines = ran.err.splitlines()
    assert len(lines) == (0 if quiet else 1) and all(line.startswith("llminspect: ") for line in lines), ran.err


def test_programs_that_import_it_find_notices_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "llminspect"):
        remarks.notice("it is so")
    assert caplog.messages == ["it is so"]
