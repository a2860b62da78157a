"""`cache`, `models`, `pull`: what is there, whether it is whole, and that a second time fetches nothing."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import llminspect
from llminspect.analysis.cache import CacheEntry, CacheResult, pull
from llminspect.analysis.known_models import known_models
from llminspect.arguments.small import ModelsOptions
from llminspect.commands.cache import render
from llminspect.files.catalogue import CATALOGUE, FAMOUS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program


def test_an_empty_cache(called: Program, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    document = called("cache", "--json", LLMINSPECT_HOME=home).json
    assert (document["model"], document["entries"], document["bytes"]) == (None, [], 0)
    cleared = called("cache", "clear", "--json", LLMINSPECT_HOME=home).json
    assert (cleared["removed"], cleared["freed"]) == ([], 0)
    assert called("cache", LLMINSPECT_HOME=home, COLUMNS="300").out.startswith(home)


def test_of_very_many_entries_the_largest_are_listed() -> None:
    from rich.console import Console

    sizes = [*range(1000, 1030), 5]
    entries = [CacheEntry("prepared", f"entry-{size}-{20 * 'x'}", "", size, 0.0) for size in sizes]
    entries[-1] = replace(entries[-1], faults=["cut short"])
    for width in (60, 100):
        console = Console(width=width)
        with console.capture() as capture:
            console.print(render(CacheResult("home", "verify", entries, sum(sizes), [])))
        written = capture.get()
        assert [size for size in sizes if f"entry-{size}-" in written] == [*range(1011, 1030), 5]
        assert len(re.findall(r"(?m)^prepared .* (?:whole|cut short) *$", written)) == 20
        assert "the 20 largest of 31 × prepared (30 kB); --json has all" in written


def test_what_is_not_ours_is_named_and_stays(called: Program, tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "mine").write_text("mine")
    document = called("cache", "clear", "--yes", "--json", LLMINSPECT_HOME=str(tmp_path)).json
    assert document["foreign"] == [str(tmp_path / "prepared" / "mine")]
    assert (tmp_path / "prepared" / "mine").read_text() == "mine"


def test_damage_is_exit_code_4(called: Program, tmp_path: Path) -> None:
    member = CATALOGUE["smollm2"].members[0]
    folder = tmp_path / "models" / "smollm2"
    folder.mkdir(parents=True)
    (folder / member.place).write_bytes(b"cut short")
    ran = called("cache", "verify", "--json", LLMINSPECT_HOME=str(tmp_path))
    assert ran.code == 4
    assert ran.json["entries"][0]["faults"] == [f"{member.place} is not what was published"]
    assert "cache clear smollm2" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert called("cache", "clear", "smollm2", "--yes", LLMINSPECT_HOME=str(tmp_path)).code == 0
    assert not folder.exists()


def filled(home: Path) -> tuple[Path, Path]:
    """A cache with a fetched model and a remembered hash."""
    model, small = home / "models" / "minilm" / "config.json", home / "hashes" / f"{'0' * 32}.json"
    for path in (model, small):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return model, small


def test_clear_keeps_fetched_models_unless_they_are_meant(
    called: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(tmp_path)
    model, small = filled(tmp_path)
    assert called("cache", "clear", "--yes", LLMINSPECT_HOME=home).out.startswith("Removed 1 entry, 2 B\n")
    assert model.exists() and not small.exists()
    assert called("cache", "clear", "--limit", "0B", "-y", LLMINSPECT_HOME=home).code == 0 and model.exists()
    for words in (["--all"], ["minilm"], ["model"], ["--limit", "1B", "--all"]):
        filled(tmp_path)
        assert called("cache", "clear", *words, "--yes", LLMINSPECT_HOME=home).code == 0
        assert not model.exists(), words
    filled(tmp_path)
    monkeypatch.setenv("LLMINSPECT_HOME", home)
    assert llminspect.cache("clear").removed and model.exists()
    assert llminspect.cache("clear", everything=True).removed and not model.exists()


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("YES", True), ("", False), ("no", False), ("q", False)])
def test_clear_asks_a_person(
    called: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, goes: bool
) -> None:
    _, small = filled(tmp_path)
    terminal = type("Terminal", (io.TextIOWrapper,), {"isatty": lambda stream: True})
    monkeypatch.setattr("io.TextIOWrapper", terminal)
    monkeypatch.setattr("llminspect.cli.output._drop_typed_keys", lambda: None)
    ran = called("cache", "clear", "--color", "never", stdin=f"{answer}\n", LLMINSPECT_HOME=str(tmp_path))
    assert (ran.code, small.exists()) == (0, not goes)
    assert ran.err.startswith("Remove 1 entry, 2 B? [y/N] ")


def test_clear_without_a_terminal_wants_yes(called: Program, tmp_path: Path) -> None:
    _, small = filled(tmp_path)
    ran = called("cache", "clear", LLMINSPECT_HOME=str(tmp_path))
    assert (ran.code, small.exists()) == (2, True)
    assert "there is no terminal to confirm it on" in ran.err and "--yes" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "nothing"], "holds nothing called"),
        (["show", "--limit", "1GB"], "goes with clear"),
        (["clear", "--limit", "much"], "is not a size"),
        (["burn"], "burn"),
        (["show", "--all"], "--all goes with clear"),
        (["verify", "--yes"], "--yes goes with clear"),
        (["clear", "--all", "model"], "--all takes no names"),
    ],
)
def test_mistakes(called: Program, tmp_path: Path, arguments: list[str], words: str) -> None:
    ran = called("cache", *arguments, LLMINSPECT_HOME=str(tmp_path))
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert words in ran.err


def test_models_lists_what_the_issue_asks(called: Program) -> None:
    document = called("models", "--json").json
    known = {model["name"]: model for model in document["catalogue"]}
    assert known["smollm2"]["fetched"] is True
    assert (known["smollm2"]["width"], known["smollm2"]["layers"], known["smollm2"]["heads"]) == (576, 30, 9)
    widths = {model["name"]: model["width"] for model in document["famous"]}
    assert widths["GPT-2 (small)"] == 768
    assert widths["GPT-3"] == 12_288
    toys = ["toy", "toy-relu", "toy-attention", "toy-induction", "toy-translate"]
    assert [toy["name"] for toy in document["toys"]] == toys
    assert {"words", "bytes", "o200k_base"} <= set(document["tokenizers"])
    assert "llama" in document["families"]


@pytest.mark.parametrize("width", [80, 160])
def test_models_fits(called: Program, width: int) -> None:
    ran = called("models", COLUMNS=str(width))
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= width
    rows = [line.split() for line in ran.out.splitlines()]
    assert any(row[:5] == ["smollm2", "135", "M", "576", "30"] for row in rows)


def test_the_catalogue_agrees_with_the_models_themselves() -> None:
    from llminspect.opening import describe_model

    description = describe_model("smollm2", offline=True)
    known = next(model for model in known_models(ModelsOptions()).catalogue if model.name == "smollm2")
    sizes = description.config.sizes
    assert (known.width, known.layers, known.heads, known.context) == (sizes.D, sizes.L, sizes.H, sizes.context)
    assert known.family == description.architecture.name
    assert len(known_models(ModelsOptions()).famous) == len(FAMOUS)


def test_pulling_again_says_that_it_is_there(called: Program) -> None:
    ran = called("pull", "smollm2", "--offline", "--json")
    assert ran.code == 0
    assert ran.err == ""
    assert ran.json["fetched"] is False
    assert ran.json["bytes"] == CATALOGUE["smollm2"].size
    assert "is there already" in called("pull", "smollm2", "--offline", COLUMNS="300").out


def test_pull_reports_what_was_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from llminspect.files import locate

    file = tmp_path / "model.gguf"
    file.write_bytes(b"12345")
    seen: list[tuple[str, int, int | None]] = []

    def fake(name: str, *, revision: str | None, offline: bool, progress: Any) -> locate.Located:
        progress("download", 3, 5)
        return locate.Located(name, "gguf", file, {}, weight_paths=(file,))

    monkeypatch.setattr("llminspect.analysis.cache.locate", fake)
    result = pull("anything", progress=lambda *step: seen.append(step))
    assert (result.fetched, result.bytes) == (True, 5)
    assert seen == [("download anything", 3, 5)]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("toy", 2, "built in"), ("smolm2", 3, "did you mean smollm2"), ("minilm", 3, "offline")],
)
def test_what_cannot_be_pulled(called: Program, tmp_path: Path, name: str, code: int, words: str) -> None:
    ran = called("pull", name, "--offline", LLMINSPECT_HOME=str(tmp_path / "empty"))
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)
    assert words in ran.err


_BLOCKS = "▁▂▃▄▅▆▇█▏▎▍▌▋▊▉"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_sizes_are_drawn_to_one_scale(called: Program, width: int) -> None:
    ran = called("models", "--picture", "sizes", COLUMNS=str(width))
    assert "M million, B billion" in " ".join(ran.out.split())
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= width
    across = min(width, 100)
    for size in called("models", "--picture", "sizes", "--json").json["sizes"]:
        start = next(at for at, line in enumerate(lines) if f"{line} ".startswith(f"{size['name']} "))
        drawn = itertools.dropwhile(lambda line: line[0] not in _BLOCKS, lines[start:])
        block = list(itertools.takewhile(lambda line: line and line[0] in _BLOCKS, drawn))
        assert abs(len(block[-1]) - size["width"] / 16384 * across) <= 1, size
        assert abs(len(block) - size["layers"] / 126 * 8) <= 1, size
        drawn_across = len(block[0]) - block[0].endswith("▖") / 2
        assert block[0][0] == "█" or abs(drawn_across - size["width"] / 16384 * across) <= 0.6, size


def test_one_list_or_one_picture(called: Program) -> None:
    ran = called("models", "--kinds", "--picture", "sizes")
    assert ran.code == 2 and "--kinds and --picture do not go together" in ran.err
