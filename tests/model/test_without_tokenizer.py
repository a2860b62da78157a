"""A folder without a tokenizer that can be read: ids work, and text gets one line that says what would do."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

BESIDE = {
    "nothing": (),
    "settings alone": ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json"),
    "Marian's": ("vocab.json", "source.spm", "target.spm"),
}


@pytest.mark.parametrize("files", BESIDE.values(), ids=BESIDE)
def test_ids_work_and_text_says_why_not(files: tuple[str, ...], called: Program, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(FOLDER / "llama" / name, tmp_path / name)
    for name in files:
        (tmp_path / name).write_text("{}")
    model = ("--model", str(tmp_path))
    assert called("forward", "--ids", "1,2,3", *model, "--json").json["next"]
    assert "tokenizer" not in called("info", str(tmp_path), "--json").json
    for command in ("forward", "tokenize"):
        ran = called(command, "hello", *model)
        assert ran.code in (2, 3)
        assert len(ran.err.splitlines()) == 1
        assert "without a tokenizer: no tokenizer.json, tekken.json, vocab.json" in ran.err


@pytest.mark.parametrize("file", ["tokenizer.model", "tekken.json", "qwen.tiktoken"])
def test_ids_work_beside_a_tokenizer_that_cannot_be_read(file: str, called: Program, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(FOLDER / "llama" / name, tmp_path / name)
    (tmp_path / file).write_text("{}")
    model = ("--model", str(tmp_path))
    assert called("forward", "--ids", "1,2,3", *model, "--json").json["next"]
    assert (called("forward", "hello", *model).code, called("tokenize", "hello", *model).code) == (2, 3)
