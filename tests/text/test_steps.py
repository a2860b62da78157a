"""The steps lead to the tokens, for every algorithm, and are bounded."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llminspect.files.encodings import rank_table
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.standalone import SIMPLE, standalone_tokenizer
from llminspect.text.tokenization_steps import tokenization_steps
from llminspect.text.tokenizer import utf8
from tests.text import corpus
from tests.text.test_from_gguf import byte_level
from tests.text.test_from_huggingface import opened
from tests.text.test_other_algorithms import sentencepiece, unigram, wordpiece

if TYPE_CHECKING:
    from llminspect.text.tokenizer import Tokenizer

PARTS = [
    *corpus.CORPUS.split(),
    "  ",
    "🙂",
    "语",
    "é",
    "\udcff",
    "a\udc80b",
    "<unk>",
    "</s>",
    "a</s>b",
    "[SEP]",
    "[UNK]",
]
TEXTS = st.lists(st.sampled_from(PARTS)).map(" ".join) | st.text(max_size=30)


@cache
def tokenizer(kind: str) -> Tokenizer:
    if kind.startswith("json "):
        return opened(kind.removeprefix("json "))
    if kind == "byte-level":
        return tokenizer_from_gguf(byte_level())
    if kind == "sentencepiece":
        return sentencepiece()
    if kind == "unigram":
        return unigram()
    if kind == "wordpiece":
        return wordpiece(True)
    found = standalone_tokenizer(kind, rank_table)
    assert found is not None
    return found


ALL = ("byte-level", "sentencepiece", "unigram", "wordpiece", "r50k_base", "characters")
JSON = ("json byte-level", "json sentencepiece", "json unigram", "json wordpiece")


@pytest.mark.parametrize("kind", [*ALL, *JSON])
@settings(max_examples=50)
@given(text=TEXTS)
def test_the_steps_lead_to_the_tokens(kind: str, text: str) -> None:
    steps = tokenization_steps(tokenizer(kind), text, most_words=1000)
    assert [token_id for word in steps.words for token_id in word.ids] == tokenizer(kind).encode_ids(text)
    for word in steps.words:
        assert 0 <= word.start <= word.end <= len(utf8(text))
        if word.merges:
            assert len(word.merges[-1].parts) <= len(word.ids)
        if word.path:
            assert "".join(step.text for step in word.path) == word.text


def test_each_merge_with_its_rank() -> None:
    steps = tokenization_steps(tokenizer("byte-level"), "hello world")
    assert [word.text for word in steps.words] == ["hello", " world"]
    assert [(m.left, m.right, m.rank, m.parts) for m in steps.words[0].merges] == [
        ("h", "e", 0, ["he", "l", "l", "o"]),
        ("l", "l", 1, ["he", "ll", "o"]),
        ("he", "ll", 2, ["hell", "o"]),
        ("hell", "o", 3, ["hello"]),
    ]
    assert steps.normalised is None


def test_longest_match_of_wordpiece() -> None:
    known, unknown = tokenization_steps(tokenizer("wordpiece"), "Whaless whalex").words
    assert known.text == "whaless"
    assert [(match.tried, match.found) for match in known.matches] == [
        (["whaless", "whales"], "whales"),
        (["##s"], "##s"),
    ]
    assert [(match.tried, match.found) for match in unknown.matches] == [
        (["whalex", "whale"], "whale"),
        (["##x"], None),
    ]
    assert unknown.tokens == ["[UNK]"]


def test_a_character_in_bytes_is_shown_as_bytes() -> None:
    word = tokenization_steps(tokenizer("r50k_base"), "🙂").words[0]
    assert word.symbols == ["<F0>", "<9F>", "<99>", "<82>"]
    assert word.merges[-1].parts == ["<F0><9F>", "<99><82>"]


def test_special_tokens_are_words_of_their_own() -> None:
    steps = tokenization_steps(tokenizer("byte-level"), "he<|end|>", "special")
    assert [(word.text, word.special, word.start) for word in steps.words] == [("he", False, 0), ("<|end|>", True, 2)]


@pytest.mark.parametrize("kind", [*ALL[:-1], *JSON])
def test_what_is_left_out_is_counted(kind: str) -> None:
    steps = tokenization_steps(tokenizer(kind), "the whale " * 500, most_words=3)
    assert len(steps.words) == 3
    assert steps.words_left_out >= 997
    long = tokenization_steps(tokenizer(kind), "ab" * 50_000)
    assert all(len(word.merges) + len(word.path) + len(word.matches) <= 60 for word in long.words)


def test_words_have_only_their_tokens() -> None:
    words = SIMPLE["words"]()
    assert [word.tokens for word in tokenization_steps(words, "a cat").words] == [["a"], ["cat"]]
