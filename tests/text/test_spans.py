"""Spans of tokens: they tile the input, what is added has none of it, what is composed has all of its parts."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from llminspect.opening import open_tokenizer
from llminspect.text.from_huggingface import tokenizer_from_files
from llminspect.text.tokenizer import Token, Tokenizer, readable, utf8
from tests.text import corpus
from tests.text.test_other_algorithms import sentencepiece, wordpiece

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = st.sampled_from(
    "2_cats the_whale __ _ \n \t \u00a0 \u200b \x00 ▁ A 1851 <s> x 🙂 語 日本 é e\u0301 e\u0323\u0302 \u0301 각"
    " \u1100\u1161\u11a8 ﬁ İ ǅ ﷼ ½ ＡＢ \u0958".split(" ")
).map(lambda part: part.replace("_", " "))
TEXTS = st.lists(PARTS, max_size=10).map("".join) | st.text(max_size=20)


def changed(trained: tokenizers.Tokenizer, normalizer: object = None, cutter: object = None) -> tokenizers.Tokenizer:
    copy = tokenizers.Tokenizer.from_str(trained.to_str())
    if normalizer is not None:
        copy.normalizer = normalizer  # type: ignore[assignment]
    if cutter is not None:
        copy.pre_tokenizer = cutter  # type: ignore[assignment]
    return copy


MADE: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "Llama 2": corpus.sentencepiece_bpe,
    "Metaspace": lambda: changed(
        corpus.sentencepiece_bpe(), normalizers.Sequence([]), pre_tokenizers.Metaspace(prepend_scheme="first")
    ),
    "T5": corpus.unigram,
    "NFKC, Unigram": lambda: changed(
        corpus.unigram(), normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    ),
    "GPT-2": corpus.byte_level,
    "Qwen": lambda: changed(corpus.byte_level(), normalizers.NFC()),
    "RoBERTa": lambda: changed(corpus.byte_level(), None, pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "NFKD, lower": lambda: changed(
        corpus.byte_level(), normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()])
    ),
    "BERT": lambda: corpus.wordpiece(True),
    "BERT, cased": lambda: corpus.wordpiece(False),
}


@cache
def opened(kind: str) -> Tokenizer:
    return tokenizer_from_files({"tokenizer.json": MADE[kind]().to_str().encode()})


def spans(tokens: list[Token]) -> list[tuple[int, int]]:
    return [(token.start, token.end) for token in tokens if token.start is not None and token.end is not None]


def check_tiles(tokenizer: Tokenizer, text: str) -> None:
    """In order, without overlap; between them nothing but what is dropped."""
    data, places = utf8(text), spans(tokenizer.encode(text))
    ends = [0, *(end for _, end in places)]
    starts = [*(start for start, _ in places), len(data)]
    left = [data[end:start].decode("utf-8", "surrogateescape") for end, start in zip(ends, starts, strict=True)]
    assert all(start <= end for start, end in places)
    assert all(end <= start for end, start in zip(ends, starts, strict=True))
    if tokenizer.kind in ("WordPiece", "Unigram"):
        for character in "".join(left):
            becomes = tokenizers.normalizers.BertNormalizer().normalize_str(readable(character))
            assert not becomes.strip(), (text, places)
    else:
        assert not any(left), (text, places, left)


@pytest.mark.parametrize("kind", MADE)
@settings(max_examples=40)
@given(text=TEXTS)
def test_spans_tile_the_input(kind: str, text: str) -> None:
    check_tiles(opened(kind), text)


@cache
def named(name: str) -> Tokenizer:
    return open_tokenizer(name, offline=True)[0]


@pytest.mark.parametrize("name", ["minilm", "o200k_base", "characters"])
@settings(max_examples=40)
@given(text=TEXTS)
def test_spans_of_a_models_own_files(name: str, text: str) -> None:
    check_tiles(named(name), text)


@given(TEXTS)
def test_a_tokenizer_json_and_the_same_in_a_gguf_have_the_same_spans(text: str) -> None:
    assert spans(opened("Llama 2").encode(text)) == spans(sentencepiece().encode(text))


@settings(max_examples=100)
@given(text=TEXTS)
def test_so_have_berts_in_both_forms(text: str) -> None:
    for kind, lowercase in (("BERT", True), ("BERT, cased", False)):
        assert spans(opened(kind).encode(text)) == spans(wordpiece(lowercase).encode(text))


@pytest.mark.parametrize("kind", MADE)
@settings(max_examples=40)
@given(text=TEXTS)
def test_where_the_places_of_the_library_tile_they_are_the_spans(kind: str, text: str) -> None:
    library = MADE[kind]()
    if any(token.content in text for token in library.get_added_tokens_decoder().values()):
        return  # Which the library takes for the special token.
    offsets = library.encode(text, add_special_tokens=False).offsets
    if all(first[1] <= second[0] for first, second in pairwise(offsets)):
        byte_at = [len(text[:place].encode()) for place in range(len(text) + 1)]
        found = spans(opened(kind).encode(text))
        if kind == "BERT" and found:  # A mark in front of all is of the first token, and has no place in the library's.
            found[0] = max(found[0][0], byte_at[offsets[0][0]]), found[0][1]
        for (start, end), (first, last) in zip(found, offsets, strict=True):
            assert (start, end) == (byte_at[first], end)
            assert end >= byte_at[last]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Llama 2", "2 the", [(0, 0), (0, 1), (1, 5)]),
        ("Llama 2", "語é", [(0, 0), (0, 1), (1, 2), (2, 3), (3, 5)]),
        ("RoBERTa", "2e", [(0, 0), (0, 1), (1, 2)]),
        ("Qwen", "e\u0301x", [(0, 3), (3, 4)]),
        ("T5", "e\u0301", [(0, 0), (0, 1), (1, 3)]),
        ("BERT", "cafe\u0301 the", [(0, 6), (7, 10)]),
    ],
)
def test_what_is_added_and_what_is_composed(kind: str, text: str, expected: list[tuple[int, int]]) -> None:
    tokens = opened(kind).encode(text)
    assert spans(tokens) == expected, [token.data for token in tokens]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" \u0301a b", [(1, 4), (5, 6)]),
        ("\x01 \u0301 \u0302a", [(2, 8)]),
        ("a \u0301b", [(0, 4), (4, 5)]),
        ("a \u0301 b", [(0, 4), (5, 6)]),
        (".\u0301a", [(0, 3), (3, 4)]),
        ("\u0301", []),
    ],
)
def test_a_mark_with_no_letter_is_of_what_stands_before_it_or_of_the_first_token(
    text: str, expected: list[tuple[int, int]]
) -> None:
    for tokenizer in (opened("BERT"), wordpiece(True)):
        assert spans(tokenizer.encode(text)) == expected
