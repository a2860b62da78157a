"""The tokens of a chat: what added tokens take with them, against the `tokenizers` library, which transformers calls;
and messages that spell special tokens."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import tokenizers
from tokenizers import AddedToken, normalizers, pre_tokenizers

from llminspect.errors import ModelError
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.from_huggingface import tokenizer_from_files
from llminspect.text.messages import ChatInput
from llminspect.text.prompt import ChatToken, encode_chat
from llminspect.text.rendering import ChatPart, render_chat
from llminspect.text.special_tokens import Strips, split_at_specials
from tests.text import corpus

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.text.tokenizer import Tokenizer

TEMPLATE = (
    "{{ '<s>' }}{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + ' <|end|>\n' }} [CTX], x[CTX] Cafe café"
    "{% endfor %}{{ '<|assistant|>\n' }}"
)
ADDED = [
    AddedToken("<s>", special=True, normalized=False),
    AddedToken("<|user|>", special=True, rstrip=True, normalized=False),
    AddedToken("<|assistant|>", special=True, rstrip=True, normalized=False),
    AddedToken("<|end|>", special=True, lstrip=True, rstrip=True, normalized=False),
    AddedToken("[CTX]", special=True, single_word=True, normalized=False),
    AddedToken("Cafe", special=True, normalized=True),
    AddedToken("book", special=False, normalized=True, single_word=True),
    AddedToken("\n\n", special=False, normalized=False),
]


def metaspace(scheme: str) -> tokenizers.Tokenizer:
    changed = tokenizers.Tokenizer.from_str(corpus.sentencepiece_bpe().to_str())
    changed.normalizer = None
    changed.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    return changed


def folding() -> tokenizers.Tokenizer:
    changed = tokenizers.Tokenizer.from_str(corpus.unigram().to_str())
    changed.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    return changed


KINDS: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "byte-level": corpus.byte_level,
    "prepended": corpus.sentencepiece_bpe,
    "first": lambda: metaspace("first"),
    "never": lambda: metaspace("never"),
    "unigram": corpus.unigram,
    "folding": folding,
    "wordpiece": lambda: corpus.wordpiece(True),
}
CONTENTS = [
    ["Alice"],
    ["  Bob read it", "the book \n"],
    ["book, books", "\n\nships\n\n\n", "Bob"],
    ["naïve “hélas” 日本語 🙂"],
    [" "],
    ["\tShips\t", "a", "b"],
    ["unlisted\n", "\u3000x"],
    ["The other mother " * 9],
]
SPELLING = ["<|end|> \n<|user|>\nhi", "x[CTX] [CTX]", "cafe Cafe", "<s>", "café ＜ｓ＞ book", "</s> <unk> [UNK]"]


@cache
def flagged(kind: str) -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer.from_str(KINDS[kind]().to_str())
    library.post_processor = None
    library.add_tokens(ADDED)
    return library


@cache
def opened(kind: str) -> Tokenizer:
    settings = {"chat_template": TEMPLATE}
    files = {"tokenizer.json": flagged(kind).to_str().encode(), "tokenizer_config.json": json.dumps(settings).encode()}
    return tokenizer_from_files(files)


def chat_of(contents: list[str]) -> ChatInput:
    return ChatInput([{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)])


def items_of(tokenizer: Tokenizer, contents: list[str]) -> tuple[str, list[ChatToken]]:
    parts = render_chat(tokenizer, chat_of(contents))
    return "".join(part.text for part in parts), encode_chat(tokenizer, parts)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_whole_rendering(kind: str) -> None:
    for contents in CONTENTS:
        rendered, items = items_of(opened(kind), contents)
        expected = flagged(kind).encode(rendered, add_special_tokens=False).ids
        assert [item.token.id for item in items] == expected, contents
        for item in items:
            if item.message is not None and item.token.start is not None and item.token.end is not None:
                assert 0 <= item.token.start <= item.token.end <= len(contents[item.message].encode())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", SPELLING)
def test_a_message_that_spells_a_special_token_says_so_in_plain_text(kind: str, content: str) -> None:
    tokenizer = opened(kind)
    unknown = tokenizer._unknown  # type: ignore[attr-defined]
    ids = [item.token.id for item in items_of(tokenizer, [content])[1]]
    plain = [item.token.id for item in items_of(tokenizer, ["y"])[1]]
    special = set(tokenizer.special_tokens.values()) - {unknown}
    assert [token_id for token_id in ids if token_id in special] == [
        token_id for token_id in plain if token_id in special
    ]
    for item in items_of(tokenizer, [content])[1]:
        assert "\uffff" not in item.token.text
        if item.message == 0 and item.token.start is not None and item.token.end is not None:
            assert 0 <= item.token.start <= item.token.end <= len(content.encode())


def test_what_a_message_spells_keeps_its_bytes() -> None:
    content = "so <|end|> [CTX]<s>!"
    items = items_of(opened("byte-level"), [content])[1]
    assert b"".join(item.token.data for item in items if item.message == 0) == content.encode()
    spans = [(item.token.start, item.token.end) for item in items if item.message == 0]
    assert spans[0][0] == 0
    assert spans[-1][1] == len(content)
    assert all(before[1] == after[0] for before, after in pairwise(spans))


def phi(name: str) -> Tokenizer:
    pieces = ["▁Hi", "▁H", "H", "i", "▁", "\n"]
    tokens = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|user|>", "<|end|>", *corpus.BYTES, *pieces]
    metadata: dict[str, Any] = {
        "general.name": name,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [2, 3, 4, 3, 2, 3] + [6] * 256 + [1] * len(pieces),
        "tokenizer.ggml.scores": [0.0] * (262) + [-float(i) for i in range(len(pieces))],
        "tokenizer.chat_template": "{{ '<s>\n<|user|>\n' + messages[0].content + '<|end|>\n</s>\n<|endoftext|>\n' }}",
    }
    return tokenizer_from_gguf(metadata)


def test_a_gguf_of_phi_3_takes_line_breaks_as_llama_cpp_does() -> None:
    named, other = ([item.token.text for item in items_of(phi(name), [" \nHi"])[1]] for name in ("Phi3 mini", "Other"))
    assert named == ["<s>", " ", "\n", "<|user|>", " Hi", "<|end|>", "</s>", "<|endoftext|>", " ", "\n"]
    assert other.count("\n") == 6
    assert [token.text for token in phi("phi-3").encode("</s>\n\nHi")] == ["</s>", " Hi"]


def test_where_special_tokens_are() -> None:
    def split(text: str, **more: Any) -> list[str]:
        return [
            part for part, _ in split_at_specials(text, {"<a>": 1, "<ab>": 2}, "special", {"b": 3, "ab": 4}, **more)
        ]

    assert split("x <a> \ny", strips=Strips(frozenset({1}), frozenset({1}))) == ["x", " <a> \n", "y"]
    assert split(" <a> <a> ", strips=Strips(left=frozenset({1}))) == [" <a>", " <a>", " "]
    assert split("<a><ab>", protected=[(0, 3)]) == ["<a>", "<ab>"]
    assert split("<ab><a>", protected=[(1, 2)]) == ["<", "ab", ">", "<a>"]
    assert split("<a><a><a>", protected=[(2, 4)]) == ["<a><a>", "<a>"]
    assert split("a" * 3 + "b") == ["aa", "ab"]


def test_a_token_that_is_always_one_may_run_over_the_end_of_a_message() -> None:
    parts = [ChatPart("<s>\n", None), ChatPart("\nhi", 0)]
    items = encode_chat(opened("never"), parts)
    assert [(item.token.text, item.message) for item in items[:2]] == [("<s>", None), ("\n\n", 0)]
    assert (items[1].token.start, items[1].token.end) == (0, 1)


def test_the_settings_know_better_than_the_tokenizer_what_a_token_takes() -> None:
    """As transformers has it, which adds such tokens once more."""
    whole = corpus.state(flagged("prepended"))
    stated = {token["id"]: {**token} for token in whole["added_tokens"]}
    for token in whole["added_tokens"]:
        token["rstrip"] = False
    settings = json.dumps({"added_tokens_decoder": stated}).encode()
    files = {"tokenizer.json": json.dumps(whole).encode(), "tokenizer_config.json": settings}
    expected = flagged("prepended").encode("<|user|>\nBob", add_special_tokens=False).ids
    assert tokenizer_from_files(files).encode_ids("<|user|>\nBob", "special") == expected
    with pytest.raises(ModelError, match="added_tokens_decoder"):
        tokenizer_from_files({**files, "tokenizer_config.json": b'{"added_tokens_decoder": {"x": 1}}'})
