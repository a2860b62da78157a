"""A short run of the fuzzers, and whatever the long ones found; `python -m tests.fuzz` runs them for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from llminspect.text import chat_template
from tests.fuzz.compare import OPENED, compared
from tests.fuzz.targets import TARGETS
from tests.fuzz.work import input_for, tried

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
INPUTS = 120
pytestmark = pytest.mark.filterwarnings("error")  # They would stand on standard error as well.


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.05)
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("found", CORPUS, ids=lambda path: path.name)
def test_what_was_found(found: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = TARGETS[found.name.partition(".")[0]]
    tried(target, tmp_path, found.read_bytes(), measure=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", TARGETS)
def test_a_model_or_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = TARGETS[name]
    accepted = [tried(target, tmp_path, input_for(target, name, 0, number))[0] for number in range(INPUTS)]
    assert True in accepted
    assert False in accepted
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_can_be_made_again(name: str) -> None:
    make = TARGETS[name]
    assert input_for(make, name, 0, 7) == input_for(make, name, 0, 7) != input_for(make, name, 1, 7)


STRICTER = {
    "gguf": ("no multiple of", "on the same bytes", "key that is empty or too long", "an empty dimension"),
    "safetensors": ("twice in its header", "no list of whole numbers", "larger than any memory"),
}
"""What is refused here and not by the format's own package: docs/security.md says why."""


@pytest.mark.parametrize("name", OPENED)
def test_it_differs_from_the_package_only_where_that_is_meant(name: str) -> None:
    for number, ours, its in compared(name, 0, 0, 2 * INPUTS):
        if ours is None and its is not None:
            assert (name, its.partition(":")[0]) in (("gguf", "UnicodeDecodeError"), ("gguf", "TimeoutError")), (
                number,
                its,
            )
        elif ours is not None and its is None:
            assert any(words in ours for words in STRICTER[name]), (number, ours)
