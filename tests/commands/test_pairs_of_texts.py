"""`--pair`: two texts together in an encoder, token by token and number by number those of transformers.

`pairs.npz` (tools/make_pairs.py) has what its tokenizer and its model make of two texts; `pairs.json` the tokenizers.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers, processors

import llminspect
from llminspect import Capture
from llminspect.analysis.prompt import of_segments
from llminspect.errors import UsageError
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.from_huggingface import tokenizer_from_files
from tests.closeness import assert_close
from tests.model.gguf_of import write
from tests.model.golden import FOLDER, Golden

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.text.tokenizer import Tokenizer
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


@pytest.mark.parametrize("pair", ["$A $B", "$A:0 $B:1", "$A:0 $B:0", "$A:1 $B:0", "$B:1 $A:0"])
@pytest.mark.parametrize("bare", [True, False], ids=["alone", "in a sequence"])
def test_a_template_without_special_tokens_is_followed(pair: str, bare: bool) -> None:
    library = Library(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    template = processors.TemplateProcessing(single="$A", pair=pair, special_tokens=[])
    library.post_processor = template if bare else processors.Sequence([template])
    tokenizer = tokenizer_from_files({"tokenizer.json": library.to_str().encode()})
    tokens, segments, _ = tokenizer.wrap_pair(tokenizer.encode("a b"), tokenizer.encode("b"))
    both = library.encode("a b", "b")
    assert [token.id for token in tokens] == both.ids
    assert segments == both.type_ids
    library.post_processor = None
    tokenizer = tokenizer_from_files({"tokenizer.json": library.to_str().encode()})
    with pytest.raises(UsageError, match="does not say how two texts stand together"):
        tokenizer.wrap_pair([], [])


@pytest.mark.parametrize("command", ["tokenize", "encode", "embed", "attend", "forward"])
def test_a_decoder_reads_one_text(called: Program, tmp_path: Path, command: str) -> None:
    ran = called(command, "a", "--pair", "b")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("llminspect: --pair: the tokenizer of smollm2 does not say")
    shutil.copytree(FOLDER / "llama", tmp_path / "llama")
    (tmp_path / "llama" / "tokenizer.json").write_text(GIVEN["tokenizers"]["bert"])
    ran = called(command, "w3", "--pair", "w4", "--model", str(tmp_path / "llama"))
    if command in ("embed", "attend", "forward"):
        assert ran.code == 2
        assert "is not an encoder" in ran.err


def test_a_pair_is_one_text_and_another(called: Program) -> None:
    for more in (["--ids", "1,2"], ["--with", "c"], ["--chat"]):
        ran = called("embed", *([] if more[0] == "--ids" else ["a"]), "--pair", "b", *more, "--model", "minilm")
        assert ran.code == 2
        assert len(ran.err.splitlines()) == 1
    with pytest.raises(UsageError, match="pair say how a text becomes ids"):
        llminspect.encode([1, 2], "minilm", pair="b")


SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
"""In the order of RoBERTa's and XLM-R's vocabularies."""


def byte_level() -> tuple[Library, dict[str, Any]]:
    tokens = [*SPECIAL, "a", "b", "Ġ", "ab"]
    library = Library(models.BPE({token: place for place, token in enumerate(tokens)}, [("a", "b")]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), False, False)
    return library, {"model": "gpt2", "pre": "roberta-bpe", "tokens": tokens, "merges": ["a b"]}


def unigram() -> tuple[Library, dict[str, Any]]:
    scores = {**dict.fromkeys(SPECIAL, 0.0), "▁a": -1.0, "▁b": -2.0, "▁": -3.0, "a": -4.0, "b": -4.5}
    library = Library(models.Unigram(list(scores.items()), unk_id=3))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return library, {"model": "t5", "tokens": list(scores), "scores": list(scores.values()), "unknown_token_id": 3}


@pytest.mark.parametrize("kind", [byte_level, unigram])
def test_gguf_encoders_that_are_not_wordpiece_read_pairs_as_the_reference(kind: Callable[[], Any]) -> None:
    library, keys = kind()
    roles = {
        "bos_token_id": 0,
        "eos_token_id": 2,
        "seperator_token_id": 2,
        "add_bos_token": True,
        "add_eos_token": True,
    }
    kinds = [3, 3, 3, 2, *[1] * (len(keys["tokens"]) - 4)]

    def opened(**more: Any) -> Tokenizer:
        metadata = {
            f"tokenizer.ggml.{key}": value for key, value in (keys | roles | {"token_type": kinds} | more).items()
        }
        return tokenizer_from_gguf({"general.architecture": "bert"} | metadata)

    wanted = library.encode("ab", "b a")
    for more in ({}, {"add_sep_token": True}, {"seperator_token_id": None}):
        tokenizer = opened(**more)
        tokens, segments, second = tokenizer.wrap_pair(tokenizer.encode("ab"), tokenizer.encode("b a"))
        assert [token.id for token in tokens] == wanted.ids
        assert segments == [0] * len(tokens)
        assert [index in second for index in range(len(tokens))] == [one == 1 for one in wanted.sequence_ids]
    single = opened(add_sep_token=False)
    tokens, _, _ = single.wrap_pair(single.encode("ab"), single.encode("b a"))
    assert len(tokens) == len(wanted.ids) - 1
    metadata = {f"tokenizer.ggml.{key}": value for key, value in (keys | roles).items()}
    decoder = tokenizer_from_gguf({"general.architecture": "llama"} | metadata)
    with pytest.raises(UsageError, match="does not say how two texts stand together"):
        decoder.wrap_pair([], [])


def test_a_gguf_reranker_scores_two_texts(tmp_path: Path, called: Program) -> None:
    library, keys = byte_level()

    def with_tokenizer(writer: Any) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(keys["pre"])
        writer.add_token_list([*keys["tokens"], *(f"<{place}>" for place in range(len(keys["tokens"]), 41))])
        writer.add_token_list = lambda tokens: None
        writer.add_token_merges(keys["merges"])
        for role, place in (("bos", 0), ("eos", 2), ("sep", 2)):
            getattr(writer, f"add_{role}_token_id")(place)
        writer.add_add_bos_token(True)
        writer.add_add_eos_token(True)

    write(Golden("roberta-sequence"), tmp_path / "m.gguf", with_tokenizer)
    document = called("forward", "ab", "--pair", "b a", "--model", str(tmp_path / "m.gguf"), "--json").json
    ids = library.encode("ab", "b a").ids
    assert [token["id"] for token in document["tokens"]] == ids
    model = llminspect.open_model(str(FOLDER / "roberta-sequence"))
    found = {label["label"]: label["logit"] for label in document["labels"]}
    assert_close([found[f"kind {number}"] for number in range(3)], model.label_scores(ids, model.run(ids).stream_TD))
