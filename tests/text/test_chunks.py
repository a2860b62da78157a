"""Counting in blocks equals counting the whole, wherever the blocks end."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llminspect.errors import UsageError
from llminspect.files.encodings import rank_table
from llminspect.text.chunks import WORDS, blocks, count_stream
from llminspect.text.from_huggingface import tokenizer_from_files
from llminspect.text.pretokenize import PRE_TOKENIZERS, cuts_before_spaces, pretokenize
from llminspect.text.standalone import standalone_tokenizer
from tests.text import corpus
from tests.text.test_from_gguf import byte_level
from tests.text.test_steps import tokenizer

if TYPE_CHECKING:
    from llminspect.text.special_tokens import Parse
    from llminspect.text.tokenizer import Tokenizer

# What a cut could go wrong at: spaces of all kinds, digits, line breaks, combining marks, contractions, CJK.
PARTS = [
    *["a", "Bc", "é", "e\u0301", "हिन्दी", "日本。", "語、", "중국어", "'s", "'LL", "1", "2345", "½", "²", "ʰ", "."],
    *[
        "!",
        "$",
        "//",
        "。",
        "…",
        "<br>",
        "<|end|>",
        "▁",
        " ",
        "  ",
        "   ",
        "\t",
        "\n",
        "\r\n",
        "\n\n",
        "\u00a0",
        "\u3000",
    ],
    *["\u0301", "\u200d", "🙂", "\udcff", "\x1c", "\x85", " a", " \u0301", "a b c", "x\ny", "ſ", "K"],
    *[",", "7,", "a,b", "\r", "1\r", "か、", "が\u3099", "゛、", "ヺ。", "゠，", "٣,", "<s>", "<s> a", "<|end|> b"],
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)
CUTTING = sorted(name for name, patterns in PRE_TOKENIZERS.items() if cuts_before_spaces(patterns))
DIFFERENT = sorted({PRE_TOKENIZERS[name]: name for name in CUTTING}.values())
KINDS = (
    "byte-level",
    "sentencepiece",
    "unigram",
    "wordpiece",
    "o200k_base",
    "cl100k_base",
    "r50k_base",
    "bytes",
    "words",
)


@pytest.mark.parametrize("kind", [*KINDS, "json byte-level", "json wordpiece", "json sentencepiece"])
@settings(max_examples=100)
@given(text=TEXTS, block=st.integers(1, 50))
def test_a_stream_counts_as_the_whole(kind: str, text: str, block: int) -> None:
    ours = tokenizer(kind)
    data = text.encode("utf-8", "surrogateescape")
    whole = data.decode("utf-8", "surrogateescape")
    assert count_stream(lambda: ours, io.BytesIO(data), workers=1, block=block) == len(ours.encode_ids(whole))
    assert ours.count(whole) == len(ours.encode_ids(whole))


@pytest.mark.parametrize("name", DIFFERENT)
@settings(max_examples=50)
@given(text=TEXTS, size=st.integers(1, 30))
def test_every_pre_tokenizer_cuts_where_blocks_are_cut(name: str, text: str, size: int) -> None:
    parts = [piece for block in blocks(text, size, WORDS) for piece in pretokenize(block, PRE_TOKENIZERS[name])]
    assert parts == pretokenize(text, PRE_TOKENIZERS[name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_space_begins_a_piece_after_every_kind_of_character(name: str) -> None:
    kinds = "a1.!$\x01ʰ\u0301🙂日²½。アह\u093f\u200d\u0483\ue000"
    for last in kinds:
        for rest in ["", " ", *kinds]:
            pieces = pretokenize(f"a{last} {rest}", PRE_TOKENIZERS[name])
            assert 2 in {len("".join(pieces[:count])) for count in range(len(pieces))}, pieces


def test_which_pre_tokenizers_hold_spaces_in_their_pieces() -> None:
    assert set(PRE_TOKENIZERS) - set(CUTTING) == {
        "superbpe",
        "exaone-moe",
        "deepseek-coder",
        "deepseek-llm",
        "bloom",
        "poro-chat",
        "gpt3-finnish",
        "viking",
    }


@pytest.mark.parametrize("kind", ["byte-level", "sentencepiece", "unigram", "json byte-level"])
@given(text=TEXTS, block=st.integers(1, 50), parse=st.sampled_from(["special", "text"]))
def test_special_tokens_are_counted_whole(kind: str, text: str, block: int, parse: str) -> None:
    ours = tokenizer(kind)
    data = text.encode("utf-8", "surrogateescape")
    whole = data.decode("utf-8", "surrogateescape")
    counted = count_stream(lambda: ours, io.BytesIO(data), workers=1, block=block, parse=parse)  # type: ignore[arg-type]
    assert counted == len(ours.encode_ids(whole, parse))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "rest"), [(b"a b\n", b"a b"), (b"a b\r\n", b"a b"), (b"a\n\n", b"a\n"), (b"a ", b"a ")]
)
def test_one_final_newline_is_dropped(text: bytes, rest: bytes) -> None:
    ours = tokenizer("bytes")
    for block in (1, 3, 100):
        dropped = count_stream(lambda: ours, io.BytesIO(text), workers=1, block=block, drop_final_newline=True)
        assert dropped == len(rest)


def small() -> Tokenizer:
    from llminspect.text.from_gguf import tokenizer_from_gguf

    return tokenizer_from_gguf(byte_level())


def test_processes_count_as_one_does_and_tell_how_far_they_are() -> None:
    data = ("hello world, 12 naïve whales 🙂\n" * 170_000).encode()
    positions: list[int] = []
    assert count_stream(small, io.BytesIO(data), workers=2, progress=positions.append) == 170_000 * len(
        small().encode_ids("hello world, 12 naïve whales 🙂\n")
    )
    assert positions == sorted(positions)
    assert positions[-1] == len(data)


def test_a_tokenizer_that_pickles_by_name() -> None:
    make = partial(standalone_tokenizer, "o200k_base", rank_table)
    data = b"the whale and the sea " * 200_000
    assert count_stream(make, io.BytesIO(data), workers=2) == 5 * 200_000 + 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "data", "parse"), [("letters", "é".encode(), "text"), ("o200k_base", b"<|endoftext|>", "error")]
)
def test_what_cannot_be_counted_is_named_by_its_place_in_the_whole(name: str, data: bytes, parse: Parse) -> None:
    front = b"whale and sea " * 1000
    make = partial(standalone_tokenizer, name, rank_table)
    with pytest.raises(UsageError, match=f"byte {len(front)}"):
        count_stream(make, io.BytesIO(front + data), workers=1, parse=parse, block=64)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["o200k_base", "r50k_base", "byte-level", "wordpiece", "json wordpiece"])
def test_tables_and_json_without_spaces_are_cut(kind: str) -> None:
    table = b"12,345,6\r\n7,89,10\r\n" * 500 + b'{"a":1,"b":[2,3]}\n' * 500

    class Small(io.BytesIO):
        longest = 0

        def read(self, size: int | None = -1) -> bytes:
            self.longest = max(self.longest, size or 0)
            return super().read(size)

    stream, ours = Small(table), tokenizer(kind)
    assert count_stream(lambda: ours, stream, workers=1, block=64) == len(ours.encode_ids(table.decode()))
    assert stream.longest == 64


def test_a_token_that_takes_the_spaces_after_it_is_not_parted_from_them() -> None:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Library

    library = Library.from_str(corpus.byte_level().to_str())
    library.add_special_tokens([AddedToken("<|user|>", rstrip=True, special=True, normalized=False)])
    ours = tokenizer_from_files({"tokenizer.json": library.to_str().encode()})
    text = "<|user|> hello <|user|>  there " * 20
    for block in (8, 9, 31, 40):
        counted = count_stream(lambda: ours, io.BytesIO(text.encode()), workers=1, block=block, parse="special")
        assert counted == len(ours.encode_ids(text, "special")) == len(library.encode(text).ids)


@pytest.mark.parametrize("kind", ["sentencepiece", "unigram"])
def test_after_a_special_token_the_text_begins_anew(kind: str) -> None:
    ours, end = tokenizer(kind), {"sentencepiece": "<s>", "unigram": "</s>"}[kind]
    text = f"the whale{end} Bob read {end} twice" * 3
    for block in range(1, 40):
        counted = count_stream(lambda: ours, io.BytesIO(text.encode()), workers=1, block=block, parse="special")
        assert counted == len(ours.encode_ids(text, "special"))
