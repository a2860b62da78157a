"""`--target-language`: a translator of many languages is told which one to write, by its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

import llminspect
from llminspect.errors import UsageError
from llminspect.opening import open_model

if TYPE_CHECKING:
    from tests.conftest import Program

GOLDEN = Path(__file__).parents[1] / "golden"
SOURCE = [5, 9, 7]
SPELLED = {"m2m_100": ("__de__", "__fr__"), "mbart": ("de_DE", "fr_XX")}


def translator(folder: Path, kind: str, start: int | None = None) -> str:
    """A golden model with a vocabulary whose tokens 20 and 21 are languages."""
    shutil.copytree(GOLDEN / kind, folder)
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    named = dict(zip((20, 21), SPELLED[kind], strict=True))
    vocabulary = {named.get(index, f"w{index}"): index for index in range(size)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w3"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPELLED[kind]])
    tokenizer.save(str(folder / "tokenizer.json"))
    if start is not None:
        config = json.loads((folder / "config.json").read_text()) | {"decoder_start_token_id": start}
        (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def test_the_language_stands_after_the_start(tmp_path: Path, called: Program) -> None:
    name = translator(tmp_path / "it", "m2m_100")
    model, whole = open_model(name), {"ids": "5,9,7"}
    start: int = model.config.start_id  # type: ignore[attr-defined]
    for language in ("fr", "__fr__"):
        written = llminspect.generate(SOURCE, model, target_language=language, max_tokens=2)
        assert written.target_ids == [start, 21]
    expected = llminspect.forward(SOURCE, model, target_ids=[start, 21]).next
    assert llminspect.forward(SOURCE, model, target_language="fr").next == expected
    ran = called("attend", "--ids", whole["ids"], "--model", name, "--target-language", "de", "--json")
    assert [token["id"] for token in ran.json["tokens"]] == [start, 20]
    facts = llminspect.info(name).tokenizer
    assert facts is not None and facts.languages == ["de", "fr"]
    assert "de, fr" in called("info", name).out


def test_it_takes_the_place_of_a_start_that_is_a_language(tmp_path: Path) -> None:
    model = open_model(translator(tmp_path / "it", "mbart", start=20))
    assert llminspect.generate(SOURCE, model, target_language="fr_XX", max_tokens=1).target_ids == [21]


def test_what_cannot_be_meant_is_refused(tmp_path: Path, called: Program) -> None:
    model = open_model(translator(tmp_path / "it", "m2m_100"))
    with pytest.raises(UsageError, match="'xx' is none of the 2 languages") as error:
        llminspect.generate(SOURCE, model, target_language="xx")
    assert "de, fr" in str(error.value.hint)
    with pytest.raises(UsageError, match="puts a token in front"):
        llminspect.forward(SOURCE, model, target_language="fr", target_ids=[2])
    for kind, message in (("bart", "no tokens of languages"), ("gpt2", "no target")):
        for command in ("generate", "forward"):
            ran = called(command, "--ids", "5,9", "--model", str(GOLDEN / kind), "--target-language", "fr")
            assert (ran.code, message in ran.err) == (2, True), ran.err
