"""A vocabulary with more rows than its tokenizer has ids: a row without a token is shown as its number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.drawn import make

if TYPE_CHECKING:
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(params=["by bytes", "by words"])
def few_tokens(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A model of 131 rows, of which three have a token; the library would leave the others out of a text of words."""
    folder = tmp_path / "few"
    shutil.copytree(GOLDEN / "llama", folder)
    make(folder)
    vocabulary = {"a": 0, "b": 1, "c": 2}
    if request.param == "by bytes":
        step = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
        document = {"model": {"type": "BPE", "vocab": vocabulary, "merges": []}, "pre_tokenizer": step, "decoder": step}
    else:
        words = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "a"}
        document = {"model": words, "pre_tokenizer": {"type": "Whitespace"}}
    (folder / "tokenizer.json").write_text(json.dumps({**document, "added_tokens": []}), "utf-8")
    return str(folder)


def test_what_is_written_shows_a_row_without_a_token_by_its_number(few_tokens: str, called: Program) -> None:
    words = ("generate", "--model", few_tokens, "--ids", "0", "--max-tokens", "3")
    document = called(*words, "--json").json
    names = [f"#{token_id}" for token_id in document["ids"]]
    assert min(document["ids"]) > 2
    assert [step["text"] for step in called(*words, "--json", "--steps").json["steps"]] == names
    assert document["completion"].replace(" ", "") == "".join(names)
    assert called(*words, "--stream").out.strip() == document["completion"].strip()
    shown = called(*words, "--steps").out
    assert all(name in shown for name in names)
    for more in (("--beams", "2"), ("--beams", "2", "--tree", "2"), ("--watch",), ("--lookup", "2")):
        assert names[0] in called(*words, *more).out


@pytest.mark.parametrize("command", ["forward", "attend", "embed", "generate"])
def test_a_row_without_a_token_is_read_as_others_are(few_tokens: str, called: Program, command: str) -> None:
    more = {"generate": ["--max-tokens", "1"], "embed": ["--at", "1"], "attend": ["--layer", "2", "--head", "5"]}
    ran = called(command, "--model", few_tokens, "--ids", "0,115", *more.get(command, ()))
    assert ran.code == 0
    assert "#115" in ran.out


def test_a_walk_goes_through_such_rows(few_tokens: str, called: Program) -> None:
    ran = called("walk", "a", "--model", few_tokens, "--no-pause")
    assert ran.code == 0
    assert "#" in ran.out


@pytest.mark.parametrize("command", [("tokenize",), ("tokenize", "--count"), ("encode",), ("encode", "--decode")])
def test_a_tokenizer_alone_refuses_ids_that_it_has_not(few_tokens: str, called: Program, command: tuple[str]) -> None:
    ran = called(*command, "--model", few_tokens, "--ids", "0,115")
    assert ran.code == 2
    assert "115 is outside the vocabulary" in ran.err
