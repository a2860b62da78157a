"""`--pair`: two texts together in an encoder, token by token and number by number those of transformers.

`pairs.npz` (tools/make_pairs.py) has what its tokenizer and its model make of two texts; `pairs.json` the tokenizers.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import llminspect
from llminspect import Capture
from llminspect.analysis.prompt import of_segments
from llminspect.errors import UsageError
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.from_huggingface import tokenizer_from_files
from tests.closeness import assert_close
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from tests.conftest import Program

with np.load(FOLDER / "pairs.npz") as file:
    RECORDED: dict[str, Array] = dict(file)
GIVEN = json.loads((FOLDER / "pairs.json").read_text())
FIRST, SECOND = GIVEN["texts"]
NAMES = sorted(GIVEN["tokenizers"])


def with_tokenizer(name: str, folder: Path) -> str:
    shutil.copytree(FOLDER / name, folder / name)
    (folder / name / "tokenizer.json").write_text(GIVEN["tokenizers"][name])
    return str(folder / name)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_is_the_reference_s(called: Program, tmp_path: Path, name: str) -> None:
    model, recorded = with_tokenizer(name, tmp_path), {key: RECORDED[f"{name}/{key}"] for key in ("ids", "segments")}
    segments = recorded["segments"] if name == "bert" else np.zeros_like(recorded["segments"])
    for command in ("forward", "attend"):
        path = tmp_path / f"{command}.npz"
        ran = called(command, FIRST, "--pair", SECOND, "--model", model, "--json", "--save", str(path))
        assert ran.code == 0, ran.err
        assert [token["id"] for token in ran.json["tokens"]] == recorded["ids"].tolist()
        assert [token["segment"] for token in ran.json["tokens"]] == segments.tolist()
        with np.load(path) as saved:
            for here, there in (("logits", "logits"), ("hidden", "hidden"), ("weights", "attentions")):
                if here in saved:
                    assert_close(saved[here], RECORDED[f"{name}/{there}"])
        assert ran.json["pair"] == SECOND
    found = llminspect.embed(FIRST, model=model, at="final", pair=SECOND)
    assert found.pair == SECOND
    assert_close(found.vectors, RECORDED[f"{name}/hidden"][-1])


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_those_of_the_template(called: Program, tmp_path: Path, name: str) -> None:
    model = with_tokenizer(name, tmp_path)
    cut = called("tokenize", FIRST, "--pair", SECOND, "--model", model, "--json").json
    assert [token["segment"] for token in cut["tokens"]] == RECORDED[f"{name}/segments"].tolist()
    assert (cut["text"], cut["pair"], cut["bytes"]) == (FIRST, SECOND, len(FIRST + SECOND))
    for token in cut["tokens"]:
        if token["start"] is not None:
            assert (SECOND if token.get("second") else FIRST)[token["start"] : token["end"]] == token["text"]
    ends = [
        max(token["end"] for token in cut["tokens"] if token["end"] and token.get("second") is two)
        for two in (None, True)
    ]
    assert ends == [len(FIRST), len(SECOND)]
    shown = called("tokenize", FIRST, "--pair", SECOND, "--model", model, COLUMNS="100").out
    row = next(line for line in shown.splitlines() if "w65" in line and "second text" in line)
    segment = next(token["segment"] for token in cut["tokens"] if token.get("second"))
    assert "segment" in shown
    assert row.split()[-3:] == [str(segment), "second", "text"]
    assert llminspect.encode(FIRST, model, pair=SECOND).ids == RECORDED[f"{name}/ids"].tolist()
    plain = llminspect.encode(FIRST, model, pair=SECOND, special=False)
    assert [token["special"] for token in plain.tokens if "special" in token] == []
    lines = called("encode", "--lines", "--pair", SECOND, "--model", model, stdin=f"{FIRST}\nw9\n").out
    assert [len(json.loads(line)["ids"]) for line in lines.splitlines()] == [len(cut["tokens"]), len(cut["tokens"]) - 3]


def test_the_segments_reach_the_embedding(tmp_path: Path) -> None:
    model = llminspect.open_model(with_tokenizer("bert", tmp_path))
    found = llminspect.attend(FIRST, model, pair=SECOND)
    assert found.n_layers == 3
    segments, kept = RECORDED["bert/segments"].tolist(), Capture("embedding.segment")
    of_segments(model, segments).run(RECORDED["bert/ids"], kept)
    np.testing.assert_array_equal(kept["embedding.segment"], np.asarray(model.params["segment.weight"])[segments])


def test_words_of_both_texts_are_found(called: Program, tmp_path: Path) -> None:
    given = ("attend", FIRST, "--pair", SECOND, "--model", with_tokenizer("bert", tmp_path))
    assert called(*given, "--query", "w35", "--json").json["query"]["index"] == 7
    assert "w35·1" in called(*given, "--layer", "0", "--head", "0").out
    assert "w14·0" in called(*given, "--layer", "0", "--head", "0").out


def test_berts_without_a_template_file() -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    of_vocabulary = tokenizer_from_files({"vocab.txt": "\n".join(words).encode()})
    pieces = [word if word[0] == "[" else f"▁{word}" for word in words]
    roles = {"cls": 2, "seperator": 3, "bos": 2, "eos": 3}
    metadata = {f"tokenizer.ggml.{role}_token_id": at for role, at in roles.items()}
    of_gguf = tokenizer_from_gguf({"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": pieces, **metadata})
    vocabulary = json.dumps({word: at for at, word in enumerate(["<s>", "</s>", "a", "b"])}).encode()
    of_merges = tokenizer_from_files({"vocab.json": vocabulary, "merges.txt": b""})
    for tokenizer in (of_vocabulary, of_gguf):
        tokens, segments, second = tokenizer.wrap_pair(tokenizer.encode("a"), tokenizer.encode("b b"))
        assert [token.id for token in tokens] == [2, 5, 3, 6, 6, 3]
        assert (segments, second) == ([0, 0, 0, 1, 1, 1], range(3, 5))
    tokens, segments, second = of_merges.wrap_pair(of_merges.encode("a"), of_merges.encode("b"))
    assert [token.id for token in tokens] == [0, 2, 1, 1, 3, 1]
    assert (segments, second) == ([0] * 6, range(4, 5))


@pytest.mark.parametrize("command", ["tokenize", "encode", "embed", "attend", "forward"])
def test_a_decoder_reads_one_text(called: Program, tmp_path: Path, command: str) -> None:
    ran = called(command, "a", "--pair", "b")
    assert ran.code == 2
    assert ran.err.startswith("llminspect: --pair: the tokenizer of smollm2 does not say")
    shutil.copytree(FOLDER / "llama", tmp_path / "llama")
    (tmp_path / "llama" / "tokenizer.json").write_text(GIVEN["tokenizers"]["bert"])
    ran = called(command, "w3", "--pair", "w4", "--model", str(tmp_path / "llama"))
    if command in ("embed", "attend", "forward"):
        assert ran.code == 2
        assert "is no encoder" in ran.err


def test_a_pair_is_one_text_and_another(called: Program) -> None:
    for more in (["--ids", "1,2"], ["--with", "c"], ["--chat"]):
        ran = called("embed", *([] if more[0] == "--ids" else ["a"]), "--pair", "b", *more, "--model", "minilm")
        assert ran.code == 2
        assert len(ran.err.splitlines()) == 1
    with pytest.raises(UsageError, match="pair say how a text becomes ids"):
        llminspect.encode([1, 2], "minilm", pair="b")
