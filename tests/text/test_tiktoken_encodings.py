"""OpenAI's encodings: the tables byte for byte, and ids equal to the tiktoken library's."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken.model import MODEL_TO_ENCODING
from tiktoken_ext import openai_public

from llminspect.errors import UsageError
from llminspect.files.encodings import rank_table
from llminspect.text.standalone import standalone_names, standalone_tokenizer
from llminspect.text.tiktoken_encodings import TIKTOKEN_NAMES, TiktokenTokenizer, _counted
from llminspect.text.tokenizer import utf8
from tools.pack_encodings import SHA256, as_published

if TYPE_CHECKING:
    import numpy as np

BASES = ("o200k_base", "cl100k_base", "p50k_base", "r50k_base")
# Python 3.11 knows Unicode 14; the regular expressions of both libraries know at least that.
KNOWN = st.characters(exclude_categories=("Cn", "Cs"))
TRICKY = st.text("aZéſK字ि ’'slLreEVvm19²½.,!/(\t\n\r\u00a0\u3000🙂\x1c\x85", max_size=40)
TEXTS = st.text(KNOWN) | TRICKY | st.lists(st.sampled_from(["the ", "I'LL", " \n", "  ", "2024", "naïve"])).map("".join)


@cache
def tokenizer(name: str) -> TiktokenTokenizer:
    return TiktokenTokenizer(name, rank_table)


@cache
def oracle(name: str) -> tiktoken.Encoding:
    """tiktoken with its own patterns and special tokens, and ranks parsed from the published form."""

    def parsed(*_: object, **__: object) -> dict[bytes, int]:
        table = {"gpt2": "r50k_base", "p50k_edit": "p50k_base", "o200k_harmony": "o200k_base"}.get(name, name)
        return {token: rank for rank, token in enumerate(rank_table(table)) if token}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", parsed)
        patch.setattr(openai_public, "data_gym_to_mergeable_bpe_ranks", parsed)
        return tiktoken.Encoding(**openai_public.ENCODING_CONSTRUCTORS[name]())


@pytest.mark.parametrize("name", SHA256)
def test_the_tables_are_those_that_tiktoken_pins(name: str) -> None:
    assert hashlib.sha256(as_published(rank_table(name))).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", TIKTOKEN_NAMES)
def test_patterns_sizes_and_special_tokens_are_tiktokens(name: str) -> None:
    ours, theirs = tokenizer(name), oracle(name)
    assert ours.special_tokens == theirs._special_tokens
    assert ours.vocabulary_size == theirs.n_vocab
    assert ours.patterns[0].replace(r"\Z", "$") == theirs._pat_str


@pytest.mark.parametrize("name", BASES)
@given(text=TEXTS)
def test_ids_of_short_texts_equal_tiktokens(name: str, text: str) -> None:
    expected = oracle(name).encode_ordinary(text)
    # A tokenizer that has built the library takes it from then on; this one never has.
    assert tokenizer(name).encode_ids(text) == expected
    assert [token.id for token in tokenizer(name).encode(text)] == expected


@pytest.mark.parametrize("name", BASES)
@settings(max_examples=25)
@given(text=st.lists(TEXTS, min_size=1).map("a b".join))
def test_ids_of_long_texts_equal_tiktokens(name: str, text: str) -> None:
    text *= 1 + 1000 // (len(text) + 1)
    long = TiktokenTokenizer(name, lambda table: tokenizer(table)._tokens)
    long.__dict__["ranks"], long.__dict__["library"] = tokenizer(name).ranks, oracle(name)
    long.LIBRARY_FROM, long.BLOCK = 0, 100
    expected = oracle(name).encode_ordinary(text)
    assert long.encode_ids(text) == expected
    assert long.count_plain(text) == len(expected)


def test_counting_needs_no_more_of_tiktoken_than_it_promises() -> None:
    class Promised:
        """A later version, with other insides."""

        _core_bpe = None

        def encode_to_numpy(self, text: str, disallowed_special: object) -> np.ndarray:
            return oracle("o200k_base").encode_to_numpy(text, disallowed_special=())

    text = "Alice gave Bob her book 語 🙂"
    expected = len(oracle("o200k_base").encode_ordinary(text))
    assert _counted(Promised(), text) == _counted(oracle("o200k_base"), text) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BASES)
@given(data=st.binary())
def test_arbitrary_bytes_come_back(name: str, data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert tokenizer(name).decode(tokenizer(name).encode_ids(text)) == data


@given(text=TEXTS)
def test_spans_cover_the_text(text: str) -> None:
    data, end = utf8(text), 0
    for token in tokenizer("o200k_base").encode(text):
        assert token.start == end
        end = token.end or 0
        assert data[token.start : end] == token.data
    assert end == len(data)


def test_special_tokens_in_the_text() -> None:
    harmony = tokenizer("o200k_harmony")
    assert harmony.encode_ids("<|start|>user<|end|>", "special") == [200006, 1428, 200007]
    assert harmony.encode_ids("<|start|>") == oracle("o200k_harmony").encode_ordinary("<|start|>")
    with pytest.raises(UsageError, match="at byte 1"):
        harmony.encode("a<|return|>", "error")


@pytest.mark.parametrize("model", [*sorted(MODEL_TO_ENCODING), "gpt-4o-2024-08-06", "gpt-oss-20b", "ft:gpt-4o:x"])
def test_openai_models_have_tiktokens_encodings(model: str) -> None:
    found = standalone_tokenizer(model, rank_table)
    assert found is not None
    assert found.name == tiktoken.encoding_name_for_model(model)


@pytest.mark.parametrize("name", ["smollm2", "gpt-j", "o200k", "", "org/gpt-4", "./gpt-4o"])
def test_other_names_are_none_of_these(name: str) -> None:
    assert standalone_tokenizer(name, rank_table) is None


def test_all_names_open() -> None:
    assert all(standalone_tokenizer(name, lambda _: [b"a"]) is not None for name in standalone_names())


@pytest.mark.parametrize("token_id", [-1, 200019, 199998])
def test_ids_that_are_no_token(token_id: int) -> None:
    with pytest.raises(UsageError, match=str(token_id)):
        tokenizer("o200k_base").decode([token_id])


@pytest.mark.parametrize("text", [" " * 1_000_000, "a" * 1_000_000, "A" * 300_000, "\n" * 300_000, " \n" * 300_000])
def test_hostile_runs_neither_crash_nor_take_long(text: str) -> None:
    encoding = TiktokenTokenizer("o200k_base", lambda table: tokenizer(table)._tokens)
    encoding.__dict__["ranks"] = tokenizer("o200k_base").ranks
    ids = encoding.encode_ids(text)
    assert encoding.decode(ids) == text.encode()
