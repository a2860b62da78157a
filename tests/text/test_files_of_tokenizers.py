"""Tokenizers in the files that people have: SentencePiece's own, ranks, Mistral's tekken.json, vocab.json."""

from __future__ import annotations

import json
import shutil
import struct
from base64 import b64decode, b64encode
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import pytest
import tiktoken

from llminspect import encode
from llminspect.errors import ModelError
from llminspect.files.encodings import rank_table
from llminspect.text.from_huggingface import tokenizer_from_files
from llminspect.text.pretokenize import PRE_TOKENIZERS
from llminspect.text.tokenization_steps import tokenization_steps
from tests.conftest import ROOT
from tests.model.golden import FOLDER
from tests.text import corpus
from tests.text.test_spans import check_tiles

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.text.tokenizer import Tokenizer
    from tests.conftest import Program


@cache
def recorded() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "tests/golden/sentencepiece.json").read_text("utf-8"))
    return document


@pytest.mark.parametrize("name", ["llama", "gemma", "bpe", "t5", "unigram", "symbols, bpe", "symbols, unigram"])
def test_sentencepieces_own_file_gives_its_ids(name: str) -> None:
    model = recorded()["models"][name]
    tokenizer = tokenizer_from_files({"tokenizer.model": b64decode(model["model"])})
    for text, ids in zip(recorded()["texts"], model["ids"], strict=True):
        assert tokenizer.encode_ids(text) == ids, text
        assert [token.id for token in tokenizer.encode(text)] == ids
        assert tokenizer.count(text) == len(ids)
        if name in ("llama", "gemma", "symbols, bpe"):
            check_tiles(tokenizer, text)
            assert tokenizer.decode(ids) == text.encode() or name == "symbols, bpe"
    assert (tokenizer.bos_id, tokenizer.end_id, tokenizer.prefix_ids) == (1, 2, ())
    if "symbols" in name:
        words = tokenization_steps(tokenizer, "a，b").words
        assert [(word.text, word.special) for word in words] == [("▁a", False), (",", True), ("b", False)]
        assert [token_id for word in words for token_id in word.ids] == tokenizer.encode_ids("a，b")


def test_what_stands_around_a_text_of_sentencepiece() -> None:
    files = {"tokenizer.model": b64decode(recorded()["models"]["llama"]["model"])}

    def ends(family: str = "", **settings: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        made = tokenizer_from_files({**files, "tokenizer_config.json": json.dumps(settings).encode()}, "m", family)
        return made.prefix_ids, made.suffix_ids

    assert ends() == ends(tokenizer_class="LlamaTokenizer", add_bos_token=False) == ((), ())
    assert ends(tokenizer_class="LlamaTokenizerFast") == ends("mistral") == ((1,), ())
    assert ends("t5") == ((), (2,))
    size = tokenizer_from_files(files).vocabulary_size
    t5 = tokenizer_from_files(files, "m", "t5")
    assert (t5.vocabulary_size, t5.special_tokens["<extra_id_0>"]) == (size + 100, size + 99)
    added = {"added_tokens_decoder": {str(size + 1): {"content": "<|x|>", "special": True}}}
    more = tokenizer_from_files({**files, "tokenizer_config.json": json.dumps(added).encode()})
    assert more.encode_ids("<|x|>", "special") == [size + 1]
    assert more.decode([size + 1]) == b"<|x|>"


def tekken(count: int = 300, size: int = 300, **config: Any) -> bytes:
    tokens = [bytes([value]) for value in range(256)] + [b"th", b"the", b" the", b"in", b"ing"]
    document = {
        "config": {
            "pattern": PRE_TOKENIZERS["tekken"][0],
            "default_num_special_tokens": 20,
            "default_vocab_size": size,
            **config,
        },
        "vocab": [{"rank": i, "token_bytes": b64encode(token).decode()} for i, token in enumerate(tokens[:count])],
    }
    return json.dumps(document).encode()


def test_tekken_puts_special_tokens_first() -> None:
    tokenizer = tokenizer_from_files({"tekken.json": tekken()})
    library = tiktoken.Encoding(
        "tekken",
        pat_str=PRE_TOKENIZERS["tekken"][0].replace(r"\Z", "$"),
        mergeable_ranks={token: i for i, token in enumerate(token for token in tokenizer_tokens(tokenizer) if token)},
        special_tokens={},
    )
    for text in [corpus.CORPUS, "thing ING the\n\n  12 é🙂"]:
        assert tokenizer.encode_ids(text) == [i + 20 for i in library.encode_ordinary(text)]
        assert tokenizer.decode(tokenizer.encode_ids(text)) == text.encode()
    assert tokenizer.encode_ids("<s>[INST]</s>", "special") == [1, 3, 2]
    assert (tokenizer.prefix_ids, tokenizer.end_id, set(tokenizer.eos_ids)) == ((1,), 2, {2})
    assert tokenizer_from_files({"tekken.json": tekken(size=278)}).vocabulary_size == 278


def tokenizer_tokens(tokenizer: Tokenizer) -> list[bytes]:
    return [tokenizer.token_bytes(i) for i in range(20, tokenizer.vocabulary_size)]


def ranks(tokens: list[bytes]) -> bytes:
    return b"".join(b64encode(token) + f" {i}\n".encode() for i, token in enumerate(tokens) if token)


def test_ranks_of_a_known_name_and_of_none() -> None:
    table = rank_table("cl100k_base")
    known = tokenizer_from_files({"cl100k_base.tiktoken": ranks(table)})
    text = "Hello  world\n\n1234567 it's <|endoftext|> 🙂"
    library = tiktoken.Encoding(
        "c",
        pat_str=known.patterns[0].replace(r"\Z", "$"),  # type: ignore[attr-defined]
        mergeable_ranks={token: i for i, token in enumerate(table) if token},
        special_tokens={},
    )
    assert known.encode_ids(text) == library.encode_ordinary(text)
    assert (known.note, known.special_tokens["<|endoftext|>"]) == ("", 100257)
    unknown = tokenizer_from_files({"mine.tiktoken": ranks(table[:1000])})
    assert "guess" in unknown.note
    assert unknown.special_tokens == {}
    qwen = tokenizer_from_files({"qwen.tiktoken": ranks(table[:1000])})
    text = "ga\u0301n 각 \u0344q\u0323\u0307"
    tokens = qwen.encode(text)
    assert [token.id for token in tokens] == qwen.encode_ids(normalize("NFC", text)) == qwen.encode_ids(text)
    assert b"".join(token.data for token in tokens) == normalize("NFC", text).encode()
    borders = [token.start for token in tokens] + [tokens[-1].end]
    assert borders == sorted(borders, key=lambda border: border or 0)
    assert (borders[0], borders[-1]) == (0, len(text.encode()))
    assert all(token.end == following.start for token, following in pairwise(tokens))
    assert qwen.encode("xa\u0301y")[-1].start == 4
    assert (qwen.special_tokens["<|im_end|>"], len(qwen.encode_ids("123"))) == (1002, 3)
    others = [b"\xff\xff" + i.to_bytes(4, "big") for i in range(128_000 - len(table))]
    llama = tokenizer_from_files({"tokenizer.model": ranks([*(token or b"\xff\xff" for token in table), *others])})
    assert (llama.prefix_ids, llama.special_tokens["<|eot_id|>"], llama.vocabulary_size) == ((128000,), 128009, 128256)


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer.model": b""},
        {"tokenizer.model": b"\x0a\x05\x0a\x03abc\x0a"},
        {"tokenizer.model": b"\x0a" + b"\xff" * 12},
        {"x.tiktoken": b"YQ== x\n"},
        {"x.tiktoken": b"YQ== 0\n"},
        {"x.tiktoken": b"YQ== 99999999999\n"},
        {"tekken.json": b"[]"},
        {"tekken.json": b"{"},
        {"tekken.json": tekken(count=200)},
        {"tekken.json": tekken(pattern="(a+)+$")},
        {"tekken.json": tekken(size=10)},
    ],
)
def test_files_that_make_no_sense(files: dict[str, bytes]) -> None:
    with pytest.raises(ModelError):
        tokenizer_from_files(files)


def written(pieces: list[tuple[str, float, int]]) -> bytes:
    """A SentencePiece model by hand: BPE, without normalization."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    parts = [
        field(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + bytes([3 << 3, kind])
        for piece, score, kind in pieces
    ]
    return b"".join(field(1, part) for part in parts) + field(2, b"\x18\x02") + field(3, b"\x20\x00")


def test_files_alone_and_in_a_models_folder(called: Program, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(FOLDER / "llama" / name, tmp_path / name)
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("▁", -1.0, 1), ("a", -2.0, 1), ("▁a", -1.0, 1)]
    (tmp_path / "tokenizer.model").write_bytes(written(pieces))
    assert called("forward", "a a", "--model", str(tmp_path), "--json").json["provenance"]["ids"] == [1, 5, 5]
    named = called("encode", "a a", "--model", str(tmp_path / "tokenizer.model"), "--json").json
    assert named["ids"] == [5, 5]
    for file, data in {"tokenizer.model.v1": written(pieces), "tekken_2409.json": tekken()}.items():
        (tmp_path / "alone").mkdir(exist_ok=True)
        (tmp_path / "alone" / file).write_bytes(data)
        assert called("tokenize", "a a", "-m", str(tmp_path / "alone" / file), "--json").json["tokens"]
    shutil.rmtree(tmp_path / "alone")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "mine.tiktoken").write_bytes(ranks([bytes([value]) for value in range(256)]))
    for place in (tmp_path / "alone", tmp_path / "alone" / "mine.tiktoken"):
        ran = called("tokenize", "a a", "-m", str(place), "--json")
        assert [token["id"] for token in ran.json["tokens"]] == [97, 32, 97]
        assert "guess" in ran.err
        assert encode("a a", str(place)).notes == ran.json["notes"]


def test_vocab_and_merges_are_named_by_either(called: Program, tmp_path: Path) -> None:
    model = corpus.state(corpus.byte_level())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tmp_path / "merges.txt").write_text("\n".join(" ".join(merge) for merge in model["merges"]))
    expected = corpus.byte_level().encode("Bob's book").ids
    for name in ("", "vocab.json", "merges.txt"):
        assert called("encode", "Bob's book", "-m", str(tmp_path / name), "--json").json["ids"] == expected


def test_qwens_vocabulary_is_cut_its_own_way() -> None:
    model = corpus.state(corpus.byte_level())["model"]
    size = len(model["vocab"])
    files = {
        "vocab.json": json.dumps(model["vocab"]).encode(),
        "merges.txt": "\n".join(" ".join(merge) for merge in model["merges"]).encode(),
        "tokenizer_config.json": json.dumps(
            {
                "tokenizer_class": "Qwen2Tokenizer",
                "added_tokens_decoder": {str(size): {"content": "<|im_end|>", "special": True}},
            }
        ).encode(),
    }
    tokenizer = tokenizer_from_files(files)
    assert tokenizer.encode_ids("<|im_end|>", "special") == [size]
    assert [token.text for token in tokenizer.encode(" 185")] == [" ", "1", "8", "5"]
    assert tokenizer.encode_ids("e\u0301") == tokenizer.encode_ids("é")
    for wrong in (
        {"added_tokens.json": json.dumps({"<a>": size + 5}).encode()},
        {"vocab.json": json.dumps({**model["vocab"], "the</w>": size}).encode()},
    ):
        with pytest.raises(ModelError):
            tokenizer_from_files({**files, **wrong})


@pytest.mark.parametrize("name", ["albert", "xlnet", "xlm-roberta"])
def test_sentencepiece_by_the_rules_of_a_family(name: str) -> None:
    """What the classes of transformers 5.24 give of the same file."""
    document = json.loads((ROOT / "tests/golden/sentencepiece_families.json").read_text("utf-8"))
    stored = document["models"][name]
    made = tokenizer_from_files({stored["file"]: b64decode(stored["model"])}, name, name)
    for text, ids in zip(document["texts"], stored["ids"], strict=True):
        assert [token.id for token in made.wrap(made.encode(text, "special"))] == ids, text
    tokens, segments, _ = made.wrap_pair(made.encode(document["texts"][0]), made.encode(document["texts"][1]))
    assert [token.id for token in tokens] == stored["pair"]
    assert segments == (stored["segments"] or segments)


def test_sentencepiece_by_rules_that_are_not_known_is_refused() -> None:
    with pytest.raises(ModelError, match="rules by which mbart reads"):
        tokenizer_from_files({"spiece.model": b64decode(recorded()["models"]["unigram"]["model"])}, "m", "mbart")
