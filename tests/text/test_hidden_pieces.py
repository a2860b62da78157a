"""A special token that a text spells is text, whatever the model of a tokenizer.json holds as pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from llminspect.text import huggingface
from llminspect.text.from_huggingface import tokenizer_from_files
from llminspect.text.tokenization_steps import tokenization_steps
from llminspect.text.tokenizers_library import without_pieces
from tests.text import corpus

if TYPE_CHECKING:
    from collections.abc import Collection

    from llminspect.text.tokenizer import Tokenizer

SPECIAL = ["<unk>", "</s>"]


def unigram() -> tokenizers.Tokenizer:
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *((character, -2.0) for character in "▁ab</s>")]
    library = tokenizers.Tokenizer(models.Unigram(pieces, 0, False))
    library.normalizer = normalizers.NFKC()
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    return library


def word_level() -> tokenizers.Tokenizer:
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, "a", "b"])}
    library = tokenizers.Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return library


def wordpiece() -> tokenizers.Tokenizer:
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, "a", "b", "##b"])}
    library = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return library


def pairs() -> tokenizers.Tokenizer:
    pieces = [*SPECIAL, *"ab</s>", "</", "s>"]
    merges = [("<", "/"), ("s", ">"), ("</", "s>")]
    library = tokenizers.Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return library


KINDS = {"unigram": unigram, "word level": word_level, "wordpiece": wordpiece, "pairs": pairs}


def opened(kind: str) -> Tokenizer:
    library = KINDS[kind]()
    library.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer_from_files({"tokenizer.json": library.to_str().encode()})


EXPECTED = {
    "unigram": {"a </s> b": "a ▁ < / s > ▁ b", "＜/s＞": "< / s >", "a語": "a <unk>"},
    "word level": {"a </s> b": "a <unk> b", "a 語": "a <unk>"},
    "wordpiece": {"ab </s> b": "a ##b <unk> b", "a 語": "a <unk>"},
    "pairs": {"a </s> b": "a </ s> b", "a 語": "a <unk>"},
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in EXPECTED.items() for text in texts])
def test_what_is_spelt_is_text(kind: str, text: str) -> None:
    ours, library = opened(kind), KINDS[kind]()
    expected = [library.token_to_id(piece) for piece in EXPECTED[kind][text].split(" ")]
    assert ours.encode_ids(text) == expected == [token.id for token in ours.encode(text)]
    assert ours.count(text) == len(expected)
    steps = tokenization_steps(ours, text)
    assert [token_id for word in steps.words for token_id in word.ids] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_for_is_still_found(kind: str) -> None:
    ours = opened(kind)
    before = [ours.encode_ids("a b", parse) for parse in ("text", "special")]
    assert 1 not in ours.encode_ids("a </s> b")
    assert ours.encode_ids("a </s> b", "special").count(1) == 1
    assert [ours.encode_ids("a b", parse) for parse in ("text", "special")] == before
    assert not ours.reaches(1)
    assert ours.reaches(ours.encode_ids("a")[-1])
    assert ours.decode([1]) == b"</s>"


@pytest.mark.parametrize(("text", "copied"), [("a 語", False), ("a b", False), ("<unk>", True), ("＜unk＞", True)])
def test_what_is_only_unknown_costs_no_second_model(text: str, copied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[int]()

    def counted(library: tokenizers.Tokenizer, spellings: Collection[str]) -> tokenizers.Tokenizer:
        made.append(1)
        return without_pieces(library, spellings)

    monkeypatch.setattr(huggingface, "without_pieces", counted)
    ours = opened("unigram")
    assert (ours.encode_ids(text), bool(made)) == (opened("unigram").encode_ids(text), copied)


def test_a_model_without_a_token_for_the_unknown() -> None:
    pieces = [("</s>", 0.0), *((character, -2.0) for character in "ab</s>")]
    library = tokenizers.Tokenizer(models.Unigram(pieces, None, False))
    library.add_special_tokens([tokenizers.AddedToken("</s>", special=True, normalized=False)])
    ours = tokenizer_from_files({"tokenizer.json": library.to_str().encode()})
    assert [token.data for token in ours.encode("a</s>b")] == [b"a", b"<", b"/", b"s", b">", b"b"]


def test_a_trained_unigram() -> None:
    library = corpus.unigram()
    ours = tokenizer_from_files({"tokenizer.json": library.to_str().encode()})
    end = library.token_to_id("</s>")
    assert library.model.tokenize("</s>")[0].id == end  # What this is about.
    assert end not in ours.encode_ids("the whale</s> and the sea")
    assert end in ours.encode_ids("the whale</s> and the sea", "special")
