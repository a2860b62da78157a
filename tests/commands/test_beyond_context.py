"""Texts longer than those that a model was made for: the reference's numbers, with a note, where positions are
computed; refused where positions stand in a table.

`beyond.npz` (tools/make_pairs.py) has the reference's logits after 90 tokens, and tokens chosen with its cache.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import llminspect
from llminspect.errors import UsageError, UserError
from llminspect.model.opened import Model
from tests.closeness import assert_close
from tests.commands.test_features import random_dictionary
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from tests.conftest import Program

with np.load(FOLDER / "beyond.npz") as file:
    RECORDED: dict[str, Array] = dict(file)
NAMES = sorted({name.partition("/")[0] for name in RECORDED})


def listed(ids: Array) -> str:
    return ",".join(map(str, ids))


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_reference_s(called: Program, tmp_path: Path, name: str) -> None:
    path = tmp_path / "out.npz"
    ids = listed(RECORDED[f"{name}/ids"])
    ran = called("forward", "--model", str(FOLDER / name), "--ids", ids, "--save", str(path), "--json")
    assert ran.code == 0, ran.err
    with np.load(path) as saved:
        assert_close(saved["logits"][-1], RECORDED[f"{name}/logits"])
    context = llminspect.open_model(str(FOLDER / name)).config.sizes.context
    (note,) = ran.json["notes"]
    assert f"90 tokens are more than the {context}" in note
    assert ran.err == f"llminspect: {note}\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_text_goes_on_past_the_context_as_the_reference_s(called: Program, name: str) -> None:
    model = llminspect.open_model(str(FOLDER / name))
    start, context = int(RECORDED[f"{name}/prompt"]), model.config.sizes.context
    options = ("--max-tokens", "12", "--ignore-eos", "--json")
    given = ("generate", "--model", str(FOLDER / name), "--ids", listed(RECORDED[f"{name}/ids"][:start]), *options)
    found = called(*given).json
    assert start < context < start + 12
    assert found["ids"] == RECORDED[f"{name}/greedy"].tolist()
    assert "context_full" not in found
    assert len(found["notes"]) == 1
    assert called(*given, "--lookup", "2").json["ids"] == found["ids"]
    assert called(*given, "--beams", "1").json["ids"] == found["ids"]


def test_within_the_context_there_is_nothing_to_note(called: Program) -> None:
    ran = called("forward", "--model", str(FOLDER / "llama"), "--ids", "5,6", "--json")
    assert "notes" not in ran.json
    assert ran.err == ""


@pytest.mark.parametrize("command", ["embed", "attend", "forward", "diff", "verify"])
def test_every_command_notes_it(called: Program, command: str) -> None:
    ids = listed(np.full(65, 5))
    more = {"embed": ["--at", "1"], "diff": ["--against", "a", "--against-model", "toy"], "verify": []}
    given = ["verify", str(FOLDER / "llama")] if command == "verify" else [command, "--model", str(FOLDER / "llama")]
    if command == "diff":
        more["diff"] = ["--against-model", str(FOLDER / "llama-linear")]
    ran = called(*given, "--ids", ids, *more.get(command, []), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["notes"][0].startswith("65 tokens are more than the 64")


@pytest.mark.parametrize("name", ["gpt2", "bert", "roberta", "distilbert", "marian"])
def test_a_table_of_positions_ends(called: Program, name: str) -> None:
    context = llminspect.open_model(str(FOLDER / name)).config.sizes.context
    ran = called("forward", "--model", str(FOLDER / name), "--ids", listed(np.full(context + 1, 5)))
    assert ran.code == 2
    assert f"the text has {context + 1} tokens, the context of" in ran.err


def test_windows_may_be_larger_than_the_context() -> None:
    ids, model = RECORDED["llama/ids"].tolist(), llminspect.open_model(str(FOLDER / "llama"))
    found = llminspect.forward(ids, model, surprise=True, window=90)
    assert found.notes is not None
    assert found.surprise is not None
    assert found.surprise.window is None
    assert llminspect.forward(ids, model, surprise=True).notes is None  # In windows of 64.
    with pytest.raises(UsageError, match="--window 65 is not possible"):
        llminspect.surprise([5, 6], str(FOLDER / "gpt2"), window=65)


@pytest.mark.parametrize("options", [[], ["--surprise"], ["--perplexity", "--window", "70"]], ids=str)
def test_each_of_several_lines_is_noted_with_its_number(called: Program, options: list[str]) -> None:
    if options:
        options = [*options[:1], "--window", "70"]
    lines = "5 6\n" + " ".join(["5"] * 66) + "\n5 6 7\n"
    given = ("forward", "--model", str(FOLDER / "llama"), "--lines", "--ids", "-", *options)
    ran = called(*given, stdin=lines)
    note = "llminspect: line 1: 66 tokens are more than the 64"
    assert ran.code == 0 and ran.err.startswith(note) and ran.err.count("\n") == 1
    assert called(*given, "--quiet", stdin=lines).err == ""


BEFORE = {
    "forward": "",
    "forward --surprise --window 70": "",
    "forward --perplexity --window 70": "",
    "forward --lens --json": "",
    "attend": "",
    "embed --at 1": "",
    "embed --at final": "",
    "generate --max-tokens 2": "",
    "generate --max-tokens 2 --stream": "",
    "generate --beams 2 --json": "",
    "diff": f"--against-model {FOLDER / 'llama-linear'}",
    "verify": "",
}


@pytest.mark.parametrize("words", BEFORE)
def test_it_is_said_before_anything_is_computed(words: str, called: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise UserError("the pass begins")

    model = FOLDER / "llama"
    given = [*words.split(), "--ids", listed(np.full(66, 5)), *BEFORE[words].split(), "--model", str(model)]
    ran = called(*given)
    assert ran.code in (0, 4) and ran.err.count(f"66 tokens are more than the 64 that {model} was") == 1
    monkeypatch.setattr(Model, "run", stopped)
    ran = called(*given)
    first, second = ran.err.splitlines()
    assert f"66 tokens are more than the 64 that {model} was" in first and "the pass begins" in second


def test_nothing_is_said_before_of_what_is_refused_or_within_windows(called: Program) -> None:
    long = ("--ids", listed(np.full(600, 5)))
    for command in ("forward", "attend", "embed", "generate"):
        ran = called(command, *long, "--model", str(FOLDER / "gpt2"), *(["--at", "1"] if command == "embed" else []))
        assert ran.code == 2 and len(ran.err.splitlines()) == 1
        ran = called(command, "--ids", listed(np.append(np.full(66, 5), 4000)), "--model", str(FOLDER / "llama"))
        assert ran.code == 2 and len(ran.err.splitlines()) == 1
    for option in ("--surprise", "--perplexity"):
        assert not called("forward", *long, "--model", str(FOLDER / "llama"), option).err
    assert not called("embed", *long, "--model", str(FOLDER / "llama"), "--at", "embedding").err


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
LONG = "b" * 66
RECORDS = [
    {"text": text, "target": "b", "label": label}
    for text, label in (("a", "x"), ("b" * 70, "y"), ("c", "x"), (LONG, "y"), ("d", "x"), ("e", "y"))
]
OF_SEVERAL = {
    "forward --target b --over records.jsonl": 70,
    "forward --lens --over records.jsonl": 70,
    "forward --surprise --window 68 --over records.jsonl": 68,
    "attend --over records.jsonl": 70,
    "probe records.jsonl": 70,
    f"embed a {LONG} --at 1": 66,
    f"embed a --with {LONG} --pool mean --at final": 66,
    f"attend abc --find c->a --control {LONG}ac": 68,
    f"diff a --against {LONG}": 66,
    f"circuit {LONG}a {LONG}c --target a --versus b --controls 1": 67,
    f"features layers.1 {LONG}": 66,
    f"forward a --score b --score {LONG}": 67,
    "forward a --steer-from long.txt short.txt@1": 66,
    "generate a --max-tokens 1 --steer-from long.txt short.txt@1": 66,
    "attend a --steer-from long.txt short.txt@1": 66,
    "forward --over few.jsonl --steer-from long.txt short.txt@1": 66,
}
"""Questions about several texts, and how many tokens the longest has."""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with the golden llama, whose context is 64, and a tokenizer of single letters."""
    shutil.copytree(FOLDER / "llama", tmp_path / "llama")
    vocabulary = {letter: index for index, letter in enumerate("abcdefgh")}
    made = {"model": {"type": "BPE", "vocab": vocabulary, "merges": []}, "pre_tokenizer": BYTES, "decoder": BYTES}
    (tmp_path / "llama" / "tokenizer.json").write_text(json.dumps({"version": "1.0", **made}))
    (tmp_path / "records.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, RECORDS[::2])))
    (tmp_path / "long.txt").write_text(f"{LONG}\nabc\n")
    (tmp_path / "short.txt").write_text("a\nb\n")
    random_dictionary(tmp_path, 36, "plain", "layers.1")
    return tmp_path


@pytest.mark.parametrize("words", OF_SEVERAL)
def test_of_several_texts_too_it_is_said_before_anything_is_computed(
    words: str, called: Program, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise UserError("the pass begins")

    monkeypatch.chdir(written)
    given = [*words.split(), "--model", "llama"]
    ran = called(*given, "--json")
    note = f"{OF_SEVERAL[words]} tokens are more than the 64 that llama was made for; the positions beyond that are "
    note += "computed all the same" + " (the longest of 2 such texts)" * ("records" in words)
    assert ran.code == 0, ran.err
    assert note in ran.json["notes"] and ran.err.count(note) == ran.err.count("made for") == 1
    monkeypatch.setattr(Model, "run", stopped)
    ran = called(*given)
    first, *_, last = ran.err.splitlines()
    assert first == f"llminspect: {note}" and "the pass begins" in last


@pytest.mark.parametrize("words", ["forward", "forward --perplexity", "generate --max-tokens 1", "attend"])
def test_what_is_noted_of_examples_is_noted_once_for_all_lines(
    words: str, called: Program, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written)
    given = [*words.split(), "--steer-from", "long.txt", "short.txt@1", "--lines", "--model", "llama"]
    ran = called(*given, stdin="ab\ncd\nef\n")
    assert ran.code == 0 and len(ran.out.splitlines()) == 3
    assert [line.partition(" tokens")[0] for line in ran.err.splitlines()] == ["llminspect: 66"]
    assert words.endswith("perplexity") or all(
        "66 tokens" in str(json.loads(line)["notes"]) for line in ran.out.splitlines()
    )


def test_of_several_texts_nothing_is_said_where_one_is_refused_or_windows_are_short(
    called: Program, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written)
    found = called("forward", "--surprise", "--over", "records.jsonl", "-m", "llama", "--json").json
    assert "notes" not in found
    assert {place["count"] for place in found["places"]} == {2}, "of the four of a single token there is no number"
    shutil.copy("llama/tokenizer.json", shutil.copytree(FOLDER / "gpt2", "gpt2"))
    for words in ("embed a --at 1 --with", "diff a --against", "features layers.1"):
        ran = called(*words.split(), "a" * 600, "-m", "gpt2")
        assert ran.code == 2 and len(ran.err.splitlines()) == 1, words
