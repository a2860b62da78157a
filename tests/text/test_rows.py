"""A tokenizer beside an embedding of another size."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import tokenizers

from llminspect import open_model
from llminspect.errors import ModelError
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in ("config.json", "model.safetensors"):
        shutil.copy(FOLDER / "llama" / file, tmp_path)
    return tmp_path


def with_ids(rows: int, more: int) -> tokenizers.Tokenizer:
    """Words as tokens, as many as there are rows and some `more`."""
    words = {f"w{i}": i for i in range(rows + more - 1)} | {"<unk>": rows + more - 1}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made


@pytest.mark.parametrize("more", [-3, 0, 1, 40])
def test_more_ids_than_rows_are_refused_at_opening(folder: Path, called: Program, more: int) -> None:
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    with_ids(rows, more).save(str(folder / "tokenizer.json"))
    if more <= 0:
        assert open_model(str(folder)).tokenizer is not None
        return
    with pytest.raises(ModelError, match=f"{rows + more} ids, and the model's embedding a row for {rows} of them"):
        open_model(str(folder))
    ran = called("embed", "--analogy", "w1 - w2 + w3", "--model", str(folder))
    assert (ran.code, ran.err.count("\n"), ran.out) == (3, 1, "")


def test_special_tokens_that_the_model_lacks_are_left_out_with_a_note(folder: Path, called: Program) -> None:
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    made = with_ids(rows, 0)
    made.add_special_tokens(["<image>"])
    made.save(str(folder / "tokenizer.json"))
    ran = called("forward", "w1 w2", "--model", str(folder), "--json")
    assert ran.code == 0
    assert "<image>" in ran.err
    assert "<image>" in ran.json["notes"][0]
    assert called("forward", "<image>", "--parse", "special", "--model", str(folder)).code == 2
