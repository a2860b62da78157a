"""Tokenizers from Hugging Face's files, against the `tokenizers` library used plainly."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from llminspect.errors import ModelError, UsageError
from llminspect.text.from_huggingface import tokenizer_from_files
from llminspect.text.tokenizer import Tokenizer, utf8
from tests.text import corpus

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.lists(st.sampled_from([*corpus.CORPUS.split(), "  ", "🙂", "语", "é"])).map(" ".join) | st.text(max_size=30)
TRAINED: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "byte-level": corpus.byte_level,
    "sentencepiece": corpus.sentencepiece_bpe,
    "unigram": corpus.unigram,
    "wordpiece": lambda: corpus.wordpiece(True),
}


@cache
def opened(kind: str) -> Tokenizer:
    return tokenizer_from_files({"tokenizer.json": TRAINED[kind]().to_str().encode()})


@pytest.mark.parametrize("kind", TRAINED)
@given(text=TEXTS)
def test_ids_equal_the_librarys_and_spans_are_in_order(kind: str, text: str) -> None:
    tokenizer = opened(kind)
    expected = TRAINED[kind]().encode(text, add_special_tokens=False).ids
    tokens = tokenizer.encode(text)
    assert tokenizer.encode_ids(text) == expected == [token.id for token in tokens]
    end = 0
    for token in tokens:
        assert token.start is not None
        assert token.end is not None
        assert end <= token.start <= token.end
        end = token.end
    assert end <= len(utf8(text))


@given(TEXTS)
def test_byte_level_text_comes_back_and_is_covered(text: str) -> None:
    tokens = opened("byte-level").encode(text)
    assert opened("byte-level").decode(token.id for token in tokens) == utf8(text)
    assert b"".join(utf8(text)[token.start : token.end] for token in tokens) == utf8(text)


def test_kinds_and_what_stands_around() -> None:
    assert {kind: opened(kind).kind for kind in TRAINED} == {
        "byte-level": "byte-level BPE",
        "sentencepiece": "BPE",
        "unigram": "Unigram",
        "wordpiece": "WordPiece",
    }
    assert (opened("wordpiece").prefix_ids, opened("wordpiece").suffix_ids) == ((2,), (3,))
    assert (opened("byte-level").prefix_ids, opened("byte-level").suffix_ids) == ((), ())


def test_padding_and_truncation_are_not_the_tokenizers_business() -> None:
    trained = tokenizers.Tokenizer.from_str(corpus.wordpiece(True).to_str())
    trained.enable_padding(length=64)
    trained.enable_truncation(4)
    tokenizer = tokenizer_from_files({"tokenizer.json": trained.to_str().encode()})
    assert (tokenizer.prefix_ids, tokenizer.suffix_ids) == ((2,), (3,))
    assert tokenizer.encode_ids(corpus.CORPUS) == opened("wordpiece").encode_ids(corpus.CORPUS)


def test_special_tokens_in_the_text_follow_parse() -> None:
    tokenizer = opened("byte-level")
    text = "Bob<|endoftext|>"
    assert tokenizer.encode_ids(text, "special")[-1] == 0
    assert tokenizer.encode(text, "special")[-1].special
    assert 0 not in tokenizer.encode_ids(text)
    assert tokenizer.decode(tokenizer.encode_ids(text)) == text.encode()
    with pytest.raises(UsageError, match="at byte 3"):
        tokenizer.encode(text, "error")
    assert 3 not in opened("wordpiece").encode_ids("the [SEP]")


def test_spans_where_tokens_are_parts_of_a_character() -> None:
    tokens = opened("sentencepiece").encode("Bob 語!")
    assert [(token.data, token.start, token.end) for token in tokens[:5]] == [
        (b" Bob", 0, 3),
        (b" ", 3, 4),
        *((bytes([value]), 4 + i, 5 + i) for i, value in enumerate("語".encode())),
    ]


def test_arbitrary_bytes_are_shown_as_unknown_and_spans_hold() -> None:
    tokens = opened("byte-level").encode("a\udcffb")
    assert [(token.start, token.end) for token in tokens][-1] == (2, 3)
    assert "not UTF-8" in opened("byte-level").loss


@pytest.mark.parametrize("kind", TRAINED)
def test_an_id_outside_the_vocabulary(kind: str) -> None:
    for token_id in (-1, 10_000):
        with pytest.raises(UsageError, match="outside the vocabulary"):
            opened(kind).decode([token_id])


def test_only_vocab_and_merges() -> None:
    trained = corpus.byte_level()
    model = corpus.state(trained)["model"]
    tokenizer = tokenizer_from_files(
        {
            "vocab.json": json.dumps(model["vocab"]).encode(),
            "merges.txt": ("#version: 0.2\n" + "\n".join(" ".join(merge) for merge in model["merges"]) + "\n").encode(),
        }
    )
    assert tokenizer.encode_ids(corpus.CORPUS) == trained.encode(corpus.CORPUS).ids
    assert tokenizer.special_tokens == {"<|endoftext|>": 0}
    assert tokenizer.eos_ids == {0}


@pytest.mark.parametrize("lowercase", [True, False])
def test_only_a_vocabulary(lowercase: bool) -> None:
    trained = corpus.wordpiece(lowercase)
    tokenizer = tokenizer_from_files({"vocab.txt": "\n".join(corpus.tokens_in_order(trained)).encode()})
    tokens = tokenizer.wrap(tokenizer.encode(corpus.CORPUS))
    assert [token.id for token in tokens] == trained.encode(corpus.CORPUS).ids
    assert tokenizer.mask_id == 4
    assert tokenizer.decode([token.id for token in tokenizer.encode("the whale")]) == b"the whale"


def test_dropout_of_training_drops_nothing() -> None:
    """Else every run would give other ids."""
    document = json.loads(corpus.byte_level().to_str())
    document["model"]["dropout"] = 0.9
    tokenizer = tokenizer_from_files({"tokenizer.json": json.dumps(document).encode()})
    assert tokenizer.encode_ids(corpus.CORPUS) == corpus.byte_level().encode(corpus.CORPUS).ids


def test_roles_and_the_chat_template() -> None:
    files = {
        "tokenizer.json": corpus.byte_level().to_str().encode(),
        "tokenizer_config.json": json.dumps(
            {
                "bos_token": {"content": "<|endoftext|>"},
                "eos_token": "<|endoftext|>",
                "chat_template": [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}],
            }
        ).encode(),
        "generation_config.json": b'{"eos_token_id": [7, 0]}',
    }
    tokenizer = tokenizer_from_files(files)
    assert (tokenizer.bos_id, tokenizer.chat_template) == (0, "D")
    assert tokenizer.eos_ids == {0, 7}
    assert tokenizer_from_files({**files, "chat_template.jinja": b"J"}).chat_template == "J"


PANIC = json.dumps(
    {
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, "ab": 2},
            "merges": [["a", "b"]],
            "continuing_subword_prefix": "a long one",
        }
    }
).encode()
"""The library's Rust code panics at this one."""


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"tokenizer.model": b"\x0a"},
        {"tokenizer.json": b""},
        {"tokenizer.json": b"\xff\xfe"},
        {"tokenizer.json": b'{"model": {"type": "BPE", "vocab": {}, "merges": ["a b"]}}'},
        {"tokenizer.json": b"{}", "tokenizer_config.json": b"[1]"},
        {"vocab.json": b"[]", "merges.txt": b""},
        {"vocab.json": b'{"a": 0}', "merges.txt": b"a b"},
        {"vocab.txt": b"a\nb"},
        {"tokenizer.json": PANIC},
    ],
)
def test_files_that_make_no_sense(files: dict[str, bytes], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError):
        tokenizer_from_files(files)
    assert capfd.readouterr().err == ""
