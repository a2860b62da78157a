"""Tokenizers read from GGUF metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.analysis.prompt import chat_prompt
from llminspect.errors import ModelError, UsageError
from llminspect.text.bpe import BYTE_ALPHABET
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.messages import ChatInput
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


def longest_match(*words: bytes) -> dict[str, Any]:
    """As the converter writes RWKV's file: what Python writes between the quotes of `b"…"`."""
    tokens = [
        "<s>",
        *(repr(bytes([byte]))[2:-1] for byte in range(256)),
        *(repr(word)[2:-1] for word in words),
        "[PAD]",
    ]
    return {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, *[1] * (len(tokens) - 2), 5],
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.eot_token_id": 257,
        "tokenizer.chat_template": "rwkv-world",
    }


def test_the_longest_token_at_each_place() -> None:
    words = (b"\n\n", b"ab", b"abcd", b"bc", "中文".encode(), "中".encode()[:2], b"'\"\\", b"<s", b"[PAD")
    tokenizer = tokenizer_from_gguf(longest_match(*words))
    assert [token.data for token in tokenizer.encode("abcab\n\n\n中文中'\"\\")] == [
        *(b"ab", b"c", b"ab", b"\n\n", b"\n", "中文".encode(), "中".encode()[:2], "中".encode()[2:], b"'\"\\"),
    ]
    assert texts_of(tokenizer, "<s>[PAD]") == ["<s", ">", "[PAD", "]"]
    assert tokenizer.encode_ids("<s>", "special") == [0]
    assert tokenizer.eos_ids == {0, 257}
    assert tokenizer.prefix_ids == ()
    chat = chat_prompt(ChatInput([{"role": "user", "content": " ab "}]), tokenizer, None)
    assert b"".join(token.data for token in chat.tokens) == b"User: ab\n\nAssistant:"
    without = longest_match()
    without["tokenizer.ggml.tokens"][7] = "gone"
    with pytest.raises(ModelError, match="256 single bytes 1 have no token"):
        tokenizer_from_gguf(without)


@given(st.binary(), st.lists(st.binary(min_size=1, max_size=4), unique=True, max_size=8))
def test_the_longest_match_is_lossless(data: bytes, words: list[bytes]) -> None:
    tokenizer = tokenizer_from_gguf(longest_match(*(word for word in words if len(word) > 1)))
    text = data.decode("utf-8", "surrogateescape")
    assert tokenizer.decode(tokenizer.encode_ids(text)) == data


PLAMO_WORDS = {
    "a": -1.0,
    "ab": -2.00004,
    "b": -1.0,
    "bc": -1.5,
    "c": -1.5,
    "中": -3.0,
    "abc": -2.5,
    "x": -3000.0,
    "  ": -1,
}


def plamo() -> dict[str, Any]:
    tokens = ["<|plamo:bos|>", *(f"<0x{byte:02X}>" for byte in range(256)), *PLAMO_WORDS]
    return {
        "tokenizer.ggml.model": "plamo2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * 257 + list(PLAMO_WORDS.values()),
        "tokenizer.ggml.token_type": [3, *[6] * 256, *[1] * len(PLAMO_WORDS)],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
    }


def best_cut(text: str) -> tuple[int, tuple[int, ...], list[bytes]]:
    """By trying all: the least cost in whole ten-thousandths, then the longest token first; what is left in bytes."""
    if not text:
        return 0, (), []
    ways = []
    for size in range(1, len(text) + 1):
        score = PLAMO_WORDS.get(text[:size], -9000.0)
        if score > -2000:
            cost, sizes, pieces = best_cut(text[size:])
            ways.append((cost - round(score * 10_000), (-size, *sizes), [text[:size].encode(), *pieces]))
    cost, sizes, pieces = best_cut(text[1:])
    data = text[0].encode("utf-8", "surrogateescape")
    ways.append((cost + 10_000_000, (0, *sizes), [*(bytes([byte]) for byte in data), *pieces]))
    return min(ways)


@given(st.text("abcx中é \udcff\ufeff", max_size=9))
def test_plamo_takes_the_best_cut_from_the_end(text: str) -> None:
    tokens = PLAMO.encode_plain(text, 0)
    assert [token.data for token in tokens] == best_cut(text)[2]


PLAMO = tokenizer_from_gguf(plamo())


def test_plamo_needs_a_score_for_each_token_and_a_token_for_each_byte() -> None:
    assert PLAMO.encode_ids("abc") == [PLAMO.vocabulary_size - 3]  # As good as a, bc: the longer one is first.
    assert PLAMO.encode_ids("<|plamo:bos|>", "special") == [0]
    assert PLAMO.prefix_ids == (0,)
    for key, value, message in (
        ("tokenizer.ggml.scores", [1.0], "a score for each token"),
        ("tokenizer.ggml.token_type", [3, *[1] * (255 + 1 + len(PLAMO_WORDS))], "256 single bytes 256 have no token"),
    ):
        with pytest.raises(ModelError, match=message):
            tokenizer_from_gguf({**plamo(), key: value})


def test_dna_between_its_tags_has_six_bases_a_token() -> None:
    metadata = byte_level()
    metadata["tokenizer.ggml.model"] = "hybriddna"
    metadata["tokenizer.ggml.tokens"] += ["<dna>", "</dna>", "<oov>", "ACGTAC\ue000", "GTAAAA\ue000"]
    metadata["tokenizer.ggml.token_type"] += [1] * 5
    tokenizer = tokenizer_from_gguf(metadata)
    tokens = tokenizer.encode("hello<dna>acgtacACGNACgt</dna> world<dna>GTA")
    expected = ["hello", "<dna>", "ACGTAC", "<oov>", "GTAAAA", "</dna>", " world", "<dna>", "GTAAAA"]
    assert [token.text for token in tokens] == expected
    assert [token.start for token in tokens] == [0, 5, 10, 16, 22, 24, 30, 36, 41]
    assert tokens[-1].end == 44
    assert tokenizer.encode_ids("<dna>ACGTAC</dna>") == [metadata["tokenizer.ggml.tokens"].index(text) for text in (
        "<dna>", "ACGTAC\ue000", "</dna>"
    )]  # fmt: skip
    del metadata["tokenizer.ggml.tokens"][-3:], metadata["tokenizer.ggml.token_type"][-3:]
    assert "<dna>" not in texts_of(tokenizer_from_gguf(metadata), "<dna>A")
