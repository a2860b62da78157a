"""SentencePiece BPE, Unigram and WordPiece from GGUF metadata, against the `tokenizers` library."""

from __future__ import annotations

import struct
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.errors import ModelError
from llminspect.text.character_map import CharacterMap
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.sentencepiece import Pieces
from llminspect.text.tokenizer import utf8
from llminspect.text.unigram import Unigram
from tests.text import corpus

if TYPE_CHECKING:
    from llminspect.text.tokenizer import Tokenizer

# The library's tables are of an old Unicode: characters that have been the same since 3.2.
KNOWN = st.characters(exclude_categories=("Cn", "Cs")).filter(
    lambda character: unicodedata.category(character) == unicodedata.ucd_3_2_0.category(character)
)
WORDS = st.sampled_from([*corpus.CORPUS.split(), "  ", "\n", "Whale-ship", "x", "🙂", "語", "ﬁ", "e\u0301", "İ", "가"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join) | st.text(KNOWN, max_size=20) | st.text("theraгшц ▁", max_size=30)


@cache
def sentencepiece(space_prefix: bool = True) -> Tokenizer:
    trained = corpus.sentencepiece_bpe()
    tokens = corpus.tokens_in_order(trained)
    merges = {left + right: i for i, (left, right) in enumerate(corpus.state(trained)["model"]["merges"])}
    return tokenizer_from_gguf(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": tokens,
            # What no merge makes is never made by merging: a score below that of every merge.
            "tokenizer.ggml.scores": [-float(merges.get(token, 10_000)) for token in tokens],
            "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259),
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.ggml.add_space_prefix": space_prefix,
        }
    )


@cache
def unigram() -> Tokenizer:
    vocabulary = corpus.state(corpus.unigram())["model"]["vocab"]
    return tokenizer_from_gguf(
        {
            "tokenizer.ggml.model": "t5",
            "tokenizer.ggml.tokens": [token for token, _ in vocabulary],
            "tokenizer.ggml.scores": [score for _, score in vocabulary],
            "tokenizer.ggml.token_type": [3, 3, 2] + [1] * (len(vocabulary) - 3),
            "tokenizer.ggml.eos_token_id": 1,
            "tokenizer.ggml.unknown_token_id": 2,
            "tokenizer.ggml.remove_extra_whitespaces": True,
        }
    )


@cache
def wordpiece(lowercase: bool) -> Tokenizer:
    tokens = corpus.tokens_in_order(corpus.wordpiece(lowercase))
    spellings = [
        token if token.startswith("[") and len(token) > 1 else token[2:] if token.startswith("##") else "▁" + token
        for token in tokens
    ]
    return tokenizer_from_gguf(
        {
            "tokenizer.ggml.model": "bert",
            "tokenizer.ggml.tokens": spellings,
            "tokenizer.ggml.token_type": [3] * 5 + [1] * (len(tokens) - 5),
            "tokenizer.ggml.cls_token_id": 2,
            "tokenizer.ggml.seperator_token_id": 3,
            "tokenizer.ggml.unknown_token_id": 1,
        }
    )


@given(TEXTS)
def test_sentencepiece_ids_equal_the_library(text: str) -> None:
    if text:  # The library puts no ▁ in front of nothing.
        assert sentencepiece().encode_ids(text) == corpus.sentencepiece_bpe().encode(text).ids


@given(TEXTS)
def test_unigram_ids_equal_the_library(text: str) -> None:
    text = text.replace("▁", "")
    one_space_each = " ".join(word for word in text.split(" ") if word)
    assert unigram().encode_ids(text) == corpus.unigram().encode(one_space_each).ids


@pytest.mark.parametrize("lowercase", [True, False])
@given(text=TEXTS)
def test_wordpiece_ids_equal_the_library(lowercase: bool, text: str) -> None:
    expected = corpus.wordpiece(lowercase).encode(text, add_special_tokens=False).ids
    assert wordpiece(lowercase).encode_ids(text) == expected


@pytest.mark.parametrize("lowercase", [True, False])
def test_wordpiece_gives_the_text_that_the_library_gives(lowercase: bool) -> None:
    ids = wordpiece(lowercase).encode_ids(corpus.CORPUS + "?! (a, b)")
    expected = corpus.wordpiece(lowercase).decode(ids, skip_special_tokens=False)
    assert wordpiece(lowercase).decode(ids).decode() == expected


@pytest.mark.parametrize("make", [sentencepiece, unigram, lambda: wordpiece(True), lambda: wordpiece(False)])
@given(text=TEXTS)
def test_spans_are_in_order_and_of_the_input(make: object, text: str) -> None:
    tokenizer: Tokenizer = make()  # type: ignore[operator]
    tokens = tokenizer.encode(text)
    assert [token.id for token in tokens] == tokenizer.encode_ids(text)
    end = 0
    for token in tokens:
        assert token.start is not None
        assert token.end is not None
        assert end <= token.start <= token.end
        end = token.end
    assert end <= len(utf8(text))


@pytest.mark.parametrize("space_prefix", [True, False])
@given(text=st.text())
def test_sentencepiece_gives_text_back(space_prefix: bool, text: str) -> None:
    tokenizer = sentencepiece(space_prefix)
    assert tokenizer.decode(tokenizer.encode_ids(text)) == utf8(text).replace("▁".encode(), b" ")


def test_spans_of_sentencepiece() -> None:
    tokens = sentencepiece().encode("Bob 語語")
    assert [(token.data, token.start, token.end) for token in tokens] == [
        (b" Bob", 0, 3),
        (b" ", 3, 4),
        *((bytes([value]), 4 + i, 5 + i) for i, value in enumerate("語語".encode())),
    ]


def test_a_control_token_cannot_be_made_by_merging() -> None:
    assert 1 not in sentencepiece().encode_ids("<s>")
    assert sentencepiece().encode_ids("<s>", "special") == [1]


def test_what_stands_around_a_text() -> None:
    assert (sentencepiece().prefix_ids, sentencepiece().suffix_ids) == ((1,), ())
    assert (unigram().prefix_ids, unigram().suffix_ids) == ((), (1,))
    assert (wordpiece(True).prefix_ids, wordpiece(True).suffix_ids) == ((2,), (3,))


def test_spans_of_wordpiece_point_into_the_text_as_given() -> None:
    tokens = wordpiece(True).encode("Hélas, CAFÉ")
    text = "Hélas, CAFÉ".encode()
    assert b"".join(text[token.start : token.end] for token in tokens).decode() == "Hélas,CAFÉ"


def test_words_of_100_000_letters_and_text_of_many_words_are_quick() -> None:
    for tokenizer in (sentencepiece(), unigram(), wordpiece(True)):
        tokenizer.encode_ids("ab" * 50_000)
        tokenizer.encode_ids("the whale " * 50_000)


def test_unigram_takes_the_most_probable_path_not_the_longest_pieces() -> None:
    scores = {"<unk>": 0.0, "ab": -1.0, "abc": -5.0, "cd": -1.0, "d": -5.0}
    pieces = Pieces(list(scores), list(scores.values()), {"<unk>": 0}, {}, {}, 0, space_prefix=False)
    tokenizer = Unigram("u", pieces, remove_extra_spaces=False)
    assert [(text, total) for text, _, total in tokenizer.best_path("abcd")] == [("ab", -1.0), ("cd", -2.0)]
    assert tokenizer.segment("xyab") == ["xy", "ab"]
    assert tokenizer.ids_plain("xyab") == [0, 1]


def charsmap() -> CharacterMap:
    """A trie by hand: "A" becomes "a", "AB" becomes "x y"."""
    units = [0] * 512
    units[0] = 1 << 10  # Children of the root at 1 ^ label.
    at_a = 1 ^ ord("A")
    units[at_a] = ord("A") | 0x100 | ((at_a ^ 256) << 10)  # Its leaf at 256, its children at 256 ^ label.
    units[256] = 0 | 1 << 31
    at_b = 256 ^ ord("B")
    units[at_b] = ord("B") | 0x100 | ((at_b ^ 400) << 10)
    units[400] = 2 | 1 << 31
    return CharacterMap(struct.pack("<I512I", 2048, *units) + b"a\0x y\0")


def test_the_map_of_characters_takes_the_longest_match() -> None:
    characters = charsmap()
    assert [characters.longest(text, 0) for text in ("A", "AB", "AC", "B")] == [
        (1, "a"),
        (2, "x y"),
        (1, "a"),
        (1, None),
    ]
    tokens = ["<unk>", "▁", "a", "x", "y", "▁y"]
    tokenizer = Unigram("u", Pieces(tokens, [0.0, -2, -2, -2, -2, -2], {}, {}, {}, 0), True, characters)
    found = tokenizer.encode("  AAB  ")
    assert [(token.text, token.start, token.end) for token in found] == [
        (" ", 2, 2),
        ("a", 2, 3),
        ("x", 3, 5),
        (" y", 5, 5),
    ]


@pytest.mark.parametrize("blob", [b"", b"\x08\0\0\0", b"\0\0\0\0abc", struct.pack("<II", 4, 0xFFFFFFFF)])
def test_a_damaged_map_is_refused_or_harmless(blob: bytes) -> None:
    try:
        characters = CharacterMap(blob)
    except ModelError:
        return
    assert characters.longest("añ", 0) == (1, None)
