"""Words, characters, bytes, letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.errors import UsageError
from llminspect.text.standalone import SIMPLE
from llminspect.text.tokenizer import Tokenizer, canonical, utf8


def named(name: str) -> Tokenizer:
    return SIMPLE[name]()


def test_letter_code() -> None:
    letters = named("letters")
    assert letters.encode_ids("HI") == [8, 9]
    assert letters.encode_ids("a z") == [1, 0, 26]
    assert letters.decode([8, 9, 0, 26]) == b"HI Z"


@pytest.mark.parametrize("text", ["H,I", "é", "ı", "1", "a\n"])
def test_letter_code_has_no_number_for_other_characters(text: str) -> None:
    with pytest.raises(UsageError, match="no number"):
        named("letters").encode(text)


def test_words_are_numbered_as_they_are_met() -> None:
    words = named("words")
    tokens = words.encode("the cat, the हिन्दी don't")
    assert [token.text for token in tokens] == ["the", "cat", ",", "the", "हिन्दी", "don't"]
    assert [token.id for token in tokens] == [0, 1, 2, 0, 3, 4]
    assert words.vocabulary_size == 5
    assert words.decode([1, 0]) == b"cat the"


@given(st.text(alphabet=st.characters(codec=None)))
def test_characters_and_bytes_give_every_text_back(text: str) -> None:
    for name in ("characters", "bytes"):
        tokenizer = named(name)
        tokens = tokenizer.encode(text)
        assert tokenizer.decode([token.id for token in tokens]) == utf8(text)
        assert tokenizer.encode_ids(text) == [token.id for token in tokens]


@given(st.binary())
def test_arbitrary_bytes_come_back(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for name in ("characters", "bytes"):
        assert named(name).decode(named(name).encode_ids(text)) == data


def test_a_surrogate_that_stands_for_no_byte_is_no_character() -> None:
    assert utf8("a\ud800b") == "a\ufffdb".encode()
    assert canonical("\udcc3\udca9") == "é"


@given(st.text())
def test_spans_are_of_the_input(text: str) -> None:
    data = utf8(text)
    for name in ("words", "characters", "bytes"):
        for token in named(name).encode(text):
            assert data[token.start : token.end] == token.data


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("token_id", [-1, 0x110000])
def test_an_id_outside_the_vocabulary(name: str, token_id: int) -> None:
    with pytest.raises(UsageError, match="outside the vocabulary"):
        named(name).decode([token_id])
