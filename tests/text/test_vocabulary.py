"""Searching a vocabulary, and cutting a text to a number of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.errors import UsageError
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.standalone import ByteTokenizer
from llminspect.text.vocabulary import entries, longest, search, truncate
from tests.text.test_from_gguf import byte_level
from tests.text.test_steps import tokenizer


def texts(**conditions: object) -> list[str]:
    return [entry.text for entry in search(tokenizer("byte-level"), **conditions)]  # type: ignore[arg-type]


def test_searching() -> None:
    assert texts(glob="he*") == ["he", "hell", "hello"]
    assert texts(glob=" w*") == [" w", " wor", " world"]
    assert texts(glob="*ell*") == ["hell", "hello"]
    assert texts(special=True) == ["<|end|>"]
    assert texts(glob="[*") == ["["]
    assert [entry.text for entry in longest(search(tokenizer("byte-level")), 2)] == [" world", "hello"]


def test_tokens_that_no_text_reaches() -> None:
    # No merges lead to "whole".
    assert texts(unreachable=True) == ["whole"]


@pytest.mark.parametrize(
    "kind",
    ["sentencepiece", "unigram", "wordpiece", "json byte-level", "json sentencepiece", "json wordpiece", "bytes"],
)
def test_most_of_a_trained_vocabulary_can_be_reached(kind: str) -> None:
    every = list(entries(tokenizer(kind)))
    beyond = list(search(tokenizer(kind), unreachable=True))
    assert len(every) == tokenizer(kind).vocabulary_size
    assert len(beyond) <= 0.3 * len(every) if kind != "json sentencepiece" else len(beyond) < len(every)


def test_ids_that_are_left_out_are_no_entries() -> None:
    assert len(list(entries(tokenizer("o200k_base")))) == 200_000
    assert not [entry for entry in entries(tokenizer("o200k_base")) if not entry.data]


@given(st.text(), st.integers(0, 30), st.sampled_from(["start", "end"]))
def test_truncating_never_cuts_a_character(text: str, number: int, side: str) -> None:
    data = text.encode()
    kept = truncate(ByteTokenizer().encode(text), number, side)  # type: ignore[arg-type]
    left = b"".join(token.data for token in kept)
    assert len(kept) <= number
    assert left.decode() in text
    assert data.startswith(left) if side == "end" else data.endswith(left)
    # No more was taken off than one character.
    assert len(left) >= min(number, len(data)) - 3


def test_truncating_inside_a_character_when_asked() -> None:
    tokens = ByteTokenizer().encode("aé")
    assert [token.data for token in truncate(tokens, 2)] == [b"a"]
    assert [token.data for token in truncate(tokens, 2, inside_characters=True)] == [b"a", b"\xc3"]
    assert [token.data for token in truncate(tokens, 1, "start")] == []
    broken = tokenizer_from_gguf(byte_level()).encode("\udcff\udc80a")
    assert len(truncate(broken, 1)) == 1
    with pytest.raises(UsageError):
        truncate(tokens, -1)
