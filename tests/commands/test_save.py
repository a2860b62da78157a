"""`--save` with a picture: the ending chooses the form, --width and --theme what it looks like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from llminspect.cli.save import PICTURES
from llminspect.render import picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

FORWARD = ("forward", "world", "--model", "toy", "--quiet")


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<svg "), ("html", b"<!DOCTYPE"), ("png", b"\x89PNG")])
def test_every_rendering_is_saved_as_a_picture(called: Program, tmp_path: Path, ending: str, start: bytes) -> None:
    path = tmp_path / f"toy.{ending}"
    result = called(*FORWARD, "--save", str(path))
    assert result.code == 0
    assert path.read_bytes().startswith(start)
    assert "step by step" in result.out, "the terminal still shows it"


def test_width_and_theme_change_a_picture(called: Program, tmp_path: Path) -> None:
    called(*FORWARD, "--save", str(tmp_path / "a.svg"), "--width", "60", "--theme", "light")
    called(*FORWARD, "--save", str(tmp_path / "b.txt"), "--width", "60")
    assert 'fill="#ffffff"' in (tmp_path / "a.svg").read_text("utf-8")
    assert max(map(len, (tmp_path / "b.txt").read_text("utf-8").split("\n"))) <= 60


def test_an_unknown_ending_is_refused_before_the_work(called: Program, tmp_path: Path) -> None:
    result = called(*FORWARD, "--save", str(tmp_path / "a.jpg"))
    assert (result.code, result.out) == (2, "")
    assert ".png" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_form_that_is_added_is_found(called: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PICTURES, ".columns", "picture.columns")
    monkeypatch.setattr(picture, "columns", lambda rendering, width, theme: f"{width} {theme}", raising=False)
    assert called(*FORWARD, "--save", str(tmp_path / "a.columns"), "--width", "60").code == 0
    assert (tmp_path / "a.columns").read_bytes() == b"60 dark"


@pytest.mark.parametrize(
    ("given", "ending"),
    [
        (("tokenize", "-m", "bytes"), "html"),
        (("tokenize", "-m", "bytes", "--count"), "json"),
        (("tokenize", "-m", "bytes", "-c", "characters", "--interactive"), "html"),
        (("encode", "-m", "bytes"), "svg"),
        (("embed", "-m", "toy"), "npz"),
        (("forward", "-m", "toy"), "json"),
        (("generate", "-m", "toy", "--max-tokens", "1"), "txt"),
    ],
)
def test_each_line_has_a_file_of_its_own(called: Program, tmp_path: Path, given: tuple[str, ...], ending: str) -> None:
    lines = ["hello", "nobody" if "toy" in given else "!", "world"]
    ran = called(*given, "--lines", "--save", str(tmp_path / f"a.b.{ending}"), stdin="\n".join(lines))
    documents = [json.loads(line) for line in ran.out.splitlines()]
    kept = {f"a.b-{document['line']}.{ending}": document for document in documents if "error" not in document}
    assert len(kept) == (2 if "toy" in given else 3)
    assert {path.name for path in tmp_path.iterdir()} == set(kept)
    for name, document in kept.items():
        if ending == "json":
            assert json.loads((tmp_path / name).read_text("utf-8")) == document
    if ending != "npz":
        assert len({(tmp_path / name).read_bytes() for name in kept}) == len(kept)
