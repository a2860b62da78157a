"""Tokenizers read from GGUF metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.errors import ModelError, UsageError
from llminspect.text.bpe import BYTE_ALPHABET
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.tokenization_steps import tokenization_steps

if TYPE_CHECKING:
    from llminspect.text.tokenizer import Tokenizer

MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d", "Ġwor ld"]


def byte_level(**changes: Any) -> dict[str, Any]:
    tokens = ["<|end|>", *BYTE_ALPHABET, *(merge.replace(" ", "") for merge in MERGES), "<br>", "whole"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] + [1] * (len(tokens) - 3) + [4, 1],
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        **changes,
    }


def texts_of(tokenizer: Tokenizer, text: str, parse: Any = "text") -> list[str]:
    return [token.text for token in tokenizer.encode(text, parse)]


def test_several_tokens_may_end_a_text() -> None:
    tokenizer = tokenizer_from_gguf(byte_level(**{"tokenizer.ggml.eos_token_ids": [0, 5, 9, 100_000]}))
    assert tokenizer.eos_ids == {0, 5, 9}


def test_merges_and_spans() -> None:
    tokenizer = tokenizer_from_gguf(byte_level())
    assert texts_of(tokenizer, "hello world") == ["hello", " world"]
    assert [(token.start, token.end) for token in tokenizer.encode("hello world")] == [(0, 5), (5, 11)]


@given(st.binary())
def test_all_256_bytes_make_it_lossless(data: bytes) -> None:
    tokenizer = tokenizer_from_gguf(byte_level())
    text = data.decode("utf-8", "surrogateescape")
    assert tokenizer.lossless
    assert tokenizer.decode(tokenizer.encode_ids(text)) == data
    assert tokenizer.encode_ids(text) == [token.id for token in tokenizer.encode(text)]


def test_a_byte_without_a_token_is_dropped_and_said_to_be() -> None:
    metadata = byte_level()
    place = metadata["tokenizer.ggml.tokens"].index("!")
    metadata["tokenizer.ggml.tokens"][place] = "gone"
    tokenizer = tokenizer_from_gguf(metadata)
    assert not tokenizer.lossless
    assert "(21)" in tokenizer.loss
    assert [(token.text, token.start) for token in tokenizer.encode("he!!a")] == [("he", 0), ("a", 4)]


def test_specials_in_the_text_follow_parse() -> None:
    tokenizer = tokenizer_from_gguf(byte_level())
    assert texts_of(tokenizer, "he<|end|>", "special") == ["he", "<|end|>"]
    assert tokenizer.encode("he<|end|>", "special")[1].special
    assert len(tokenizer.encode("he<|end|>")) == 8
    with pytest.raises(UsageError, match="at byte 2"):
        tokenizer.encode("he<|end|>", "error")


def test_user_defined_tokens_are_tokens_always() -> None:
    tokenizer = tokenizer_from_gguf(byte_level())
    for parse in ("text", "special", "error"):
        assert texts_of(tokenizer, "he<br>he", parse) == ["he", "<br>", "he"]


def test_vocabularies_of_whole_words() -> None:
    assert texts_of(tokenizer_from_gguf(byte_level()), "whole") != ["whole"]
    assert texts_of(tokenizer_from_gguf(byte_level(**{"tokenizer.ggml.pre": "llama-bpe"})), "whole") == ["whole"]


@pytest.mark.parametrize(
    ("pre", "whole", "bos"),
    [
        *(("llama-bpe", True, True), ("tekken", True, True), ("youtu", True, False), ("glm4", True, False)),
        *(("glm5", True, False), ("minicpm5", True, False), ("granite-embed-multi-97m", True, False)),
        *(("chameleon", False, True), ("gpt-4o", False, False), ("chatglm-bpe", False, False)),
    ],
)
def test_each_flag_of_a_pre_tokenizer_is_its_own(pre: str, whole: bool, bos: bool) -> None:
    tokenizer = tokenizer_from_gguf(byte_level(**{"tokenizer.ggml.pre": pre}))
    assert (texts_of(tokenizer, "whole") == ["whole"]) == whole
    assert tokenizer.prefix_ids == (0,) * bos
    without = tokenizer_from_gguf(byte_level(**{"tokenizer.ggml.pre": pre, "tokenizer.ggml.add_bos_token": False}))
    assert without.prefix_ids == ()


def test_a_file_that_does_not_say_how_text_is_cut() -> None:
    metadata = byte_level()
    assert tokenizer_from_gguf(metadata).note == ""
    del metadata["tokenizer.ggml.pre"]
    unsure = tokenizer_from_gguf(metadata)
    assert "guess" in unsure.note
    named = tokenizer_from_gguf(byte_level(**{"tokenizer.ggml.pre": "default"}))
    assert (named.note, named.encode_ids("he said 1234")) == ("", unsure.encode_ids("he said 1234"))


def of_characters(**changes: Any) -> dict[str, Any]:
    merges = ["a b", "▁ ab", "\n \n", "ab ▁"]
    tokens = ["<bos>", *(f"<0x{value:02X}>" for value in range(256)), *"ab▁\n", "ab", "▁ab", "\n\n", "\n\n\n", "B"]
    return {
        "tokenizer.ggml.model": "gemma4",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] + [6] * 256 + [1] * (len(tokens) - 257),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        **changes,
    }


@pytest.mark.parametrize(
    ("model", "pre", "breaks", "bos"),
    [
        ("gemma4", None, ["\n\n\n"], True),  # Whatever the file says.
        ("gpt2", "granite-embed-multi-311m", ["\n\n\n"], False),
        ("gpt2", "sarvam-moe", ["\n\n", "\n"], False),
    ],
)
def test_merges_of_characters(model: str, pre: str | None, breaks: list[str], bos: bool) -> None:
    tokenizer = tokenizer_from_gguf(of_characters(**{"tokenizer.ggml.model": model, "tokenizer.ggml.pre": pre}))
    assert tokenizer.prefix_ids == (0,) * bos
    tokens = tokenizer.encode("ab ab\n\n\né")
    assert [token.text for token in tokens[:2]] == ["ab", " ab"]
    assert [token.text for token in tokens[2:-2]] == breaks
    assert [(token.data, token.start, token.end) for token in tokens[-2:]] == [(b"\xc3", 8, 9), (b"\xa9", 9, 10)]
    assert tokenizer.decode(tokenizer.encode_ids("ab ab\n\n\né")) == "ab ab\n\n\né".encode()


def test_the_steps_of_characters() -> None:
    words = tokenization_steps(tokenizer_from_gguf(of_characters()), "ab ab\n\n").words
    assert [[merge.parts for merge in word.merges] for word in words] == [
        [["ab"]],
        [["▁", "ab"], ["▁ab"]],
        [],
    ]


def test_words_of_characters() -> None:
    metadata = of_characters(**{"tokenizer.ggml.model": "whitespace", "tokenizer.ggml.pre": "whitespace"})
    tokenizer = tokenizer_from_gguf(metadata)
    spans = [(token.text, token.start, token.end) for token in tokenizer.encode("ab \n B")]
    assert spans == [("ab", 0, 2), ("B", 5, 6)]
    lower = tokenizer_from_gguf({**metadata, "tokenizer.ggml.normalizer.lowercase": True})
    assert [token.text for token in lower.encode("AB")] == ["ab"]


def test_what_stands_around_a_text() -> None:
    plain = tokenizer_from_gguf(byte_level())
    assert (plain.prefix_ids, plain.suffix_ids, plain.eos_ids) == ((), (), frozenset({0}))
    wrapped = tokenizer_from_gguf(byte_level(**{"tokenizer.ggml.add_bos_token": True}))
    assert [token.id for token in wrapped.wrap(wrapped.encode("he"))] == [0, 257]
    assert [token.id for token in wrapped.wrap(wrapped.encode("<|end|>he", "special"))] == [0, 257]


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer.ggml.model": "rwkv"},
        {"tokenizer.ggml.model": None},
        {"tokenizer.ggml.tokens": []},
        {"tokenizer.ggml.merges": None},
        {"tokenizer.ggml.pre": "nonesuch"},
        {"tokenizer.ggml.token_type": [1]},
    ],
)
def test_a_file_that_makes_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        tokenizer_from_gguf(byte_level(**changes))
