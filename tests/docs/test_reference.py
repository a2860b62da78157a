"""The reference says what the code says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llminspect.analysis.known_models import known_kinds
from llminspect.commands import names as command_names
from tests.conftest import ROOT
from tools.book import reference

if TYPE_CHECKING:
    from pathlib import Path


def test_the_reference_is_fresh() -> None:
    assert reference.check() == [], "make docs WRITE=1"


def test_a_stale_page_is_found_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "pages", lambda: {tmp_path / "a.md": "new", tmp_path / "b.md": "same"})
    for name, text in (("a", "old"), ("b", "same"), ("gone", "")):
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    assert reference.check(write=True) == ["a.md", "gone.md"]
    assert reference.check() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "b.md"]


@pytest.mark.parametrize("name", command_names())
def test_every_command_shows_an_example(name: str) -> None:
    assert f"llminspect {name}" in reference.help_of(name).split("Options:")[0].split("Usage:")[1].split("\n", 1)[1]


def test_the_readme_counts_the_kinds_of_model() -> None:
    row = next(line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if line.startswith("| kinds of"))
    names = [name for kind in known_kinds() for name in kind.huggingface]
    assert row.split("|")[2].strip() == str(len(names))
    assert f"[{len(names)} kinds](docs/kinds.md)" in (ROOT / "README.md").read_text("utf-8")
