"""Tokenizers from strangers that would fill the memory or take for ever: refused in one line, or ended in time."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

from llminspect.errors import ModelError
from llminspect.text import guarded_library
from llminspect.text.character_map import CharacterMap
from llminspect.text.from_huggingface import tokenizer_from_files
from llminspect.text.tokenization_steps import tokenization_steps
from llminspect.text.tokenizer_bounds import check_growth, is_quick, may_take_long, sections
from llminspect.text.tokenizers_library import in_one_line
from llminspect.text.unigram import lengths_by_start
from tests.text import corpus

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.text.tokenizer import Tokenizer

NESTED = "(a+)+$"
"""Doubles its time with each a of a text that goes on otherwise."""


def opened(text: str) -> Tokenizer:
    return tokenizer_from_files({"tokenizer.json": text.encode()})


def written(**parts: Any) -> str:
    return json.dumps({**corpus.state(corpus.sentencepiece_bpe()), **parts})


def replaced(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def in_turn(*steps: dict[str, Any], name: str = "normalizers") -> dict[str, Any]:
    return {"type": "Sequence", name: list(steps)}


SPELLING = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GROWING = replaced({"String": "a"}, "a" * 60)
BLOB = (4).to_bytes(4, "little") + bytes(4) + b"x" * 5000 + b"\0"
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
SPECIAL = {"SpecialToken": {"id": "<s>", "type_id": 0}}


def template(pieces: list[Any], ids: int = 1) -> dict[str, Any]:
    known = {"<s>": {"id": "<s>", "ids": [1] * ids, "tokens": ["<s>"] * ids}}
    return {"type": "TemplateProcessing", "single": pieces, "pair": pieces, "special_tokens": known}


@pytest.mark.parametrize(
    "parts",
    [
        {"normalizer": in_turn(*[GROWING] * 4)},
        {"normalizer": in_turn(in_turn(GROWING), in_turn(in_turn(GROWING)))},
        {"normalizer": {"normalizers": [{"pattern": {"String": "a"}, "content": "a" * 60}] * 4}},
        {"normalizer": {"prepend": "a" * 2000}},
        {"normalizer": in_turn(*[replaced({"String": ""}, "ab")] * 9)},
        {"normalizer": in_turn(*[replaced({"Regex": "."}, "ab")] * 9)},
        {"normalizer": {"type": "Prepend", "prepend": "a" * 2000}},
        {"normalizer": in_turn(*[{"type": "Prepend", "prepend": "a" * 500}] * 3)},
        {"normalizer": in_turn({"type": "Prepend", "prepend": "a" * 30}, GROWING)},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(BLOB).decode()}},
        {"pre_tokenizer": in_turn(*[SPELLING] * 5, name="pretokenizers")},
        {"pre_tokenizer": {"pretokenizers": [{key: SPELLING[key] for key in SPELLING if key != "type"}] * 5}},
        {"pre_tokenizer": in_turn(*[{"type": "Metaspace", "replacement": "_"}] * 100, name="pretokenizers")},
        {"normalizer": GROWING, "pre_tokenizer": SPELLING},
        {"decoder": in_turn(*[GROWING] * 4, name="decoders")},
        {"post_processor": template([TEXT, *[SPECIAL] * 600])},
        {"post_processor": template([TEXT, SPECIAL], 100_000)},
        {"post_processor": {"type": "Sequence", "processors": [template([TEXT] * 10)] * 9}},
    ],
)
def test_growth_is_refused_before_anything_grows(parts: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="are allowed"):
        opened(written(**parts))


def test_a_part_is_found_wherever_it_stands() -> None:
    growing = json.dumps(in_turn(*[GROWING] * 4))
    plain = written()
    model_first = '{"model": {"type": "BPE", "vocab": {"decoder": 0}, "merges": []}, '
    for text in (
        plain[:-1] + f', "normalizer": {growing}}}',
        plain[:-1] + f', "normali\\u007aer": {growing}}}',
        f'{model_first}"normalizer": {growing}}}',
        f'{{"normalizer": {growing}, ' + plain[1:],
    ):
        with pytest.raises(ModelError, match="are allowed"):
            opened(text)
    assert sections(model_first + '"x": 1}') == []  # A token called "decoder" is no part.
    for text in ("", "[]", '{"a"', '{"a": }', '{"normalizer": ' + "[" * 100_000):
        with pytest.raises(ModelError, match="not a JSON object"):
            sections(text)


def test_a_map_of_characters_in_a_gguf_is_bounded_as_well() -> None:
    with pytest.raises(ModelError, match="into a long text"):
        CharacterMap(BLOB)


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece_bpe", "unigram"])
def test_what_models_do_stays_as_it_is(kind: str) -> None:
    make: Callable[[], tokenizers.Tokenizer] = getattr(corpus, kind)
    parts = sections(make().to_str())
    check_growth(parts)
    assert not may_take_long(parts)


@pytest.mark.parametrize(
    ("pattern", "quick"),
    [
        (r"\s+", True),
        (" {2,}", True),
        (r"\p{N}{1,3}", True),
        (r"[^\r\n\p{L}]", True),
        (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", True),
        (NESTED, False),
        ("a*a*a*$", False),
        ("(a|aa)+", False),
        (r"\s+$", False),
        ("a{1000}", False),
        (r"(.)\1", False),
    ],
)
def test_which_patterns_are_quick(pattern: str, quick: bool) -> None:
    assert is_quick(pattern) is quick


def guarded(pattern: str) -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer.from_str(corpus.byte_level().to_str())
    library.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(pattern), "b")])
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"(?:\w|')+|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return library


def test_an_unknown_pattern_gives_what_the_library_gives() -> None:
    library = guarded("(x|y)+z")
    tokenizer = opened(library.to_str())
    assert isinstance(tokenizer.library, guarded_library.Guarded)  # type: ignore[attr-defined]
    for text in (corpus.CORPUS, "xyxyz!", "<|endoftext|>", ""):
        assert tokenizer.encode_ids(text) == library_ids(library, text)
        assert [token.id for token in tokenizer.encode(text)] == library_ids(library, text)
    assert tokenizer.encode("a<|endoftext|>", "special")[-1].special
    assert tokenizer.decode(tokenizer.encode_ids("Alice xyz")) == b"Alice b"
    assert [step.text for step in tokenization_steps(tokenizer, "Bob xyz").words] == ["Bob", " ", "b"]


def library_ids(library: tokenizers.Tokenizer, text: str) -> list[int]:
    library.encode_special_tokens = True
    return library.encode(text, add_special_tokens=False).ids


def test_a_pattern_that_takes_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    tokenizer = opened(guarded(NESTED).to_str())
    assert tokenizer.encode_ids("aab")
    monkeypatch.setattr(guarded_library, "SECONDS", 0.3)
    with pytest.raises(ModelError) as caught:
        tokenizer.encode("aaaaaaaaaaaaaaaaaaaaaaa c " * 50)
    assert "fails on this text: it runs for more than 0.3" in caught.value.message
    assert "\n" not in caught.value.message
    monkeypatch.undo()
    assert tokenizer.encode_ids("aab")
    assert capfd.readouterr().err == ""


def test_very_many_steps_and_very_long_pieces_run_where_they_can_be_ended() -> None:
    steps = normalizers.Sequence([normalizers.NFC()] * 101)
    for kind in ("byte_level", "unigram"):
        library: tokenizers.Tokenizer = getattr(corpus, kind)()
        whole = corpus.state(library)
        if kind == "unigram":
            whole["model"]["vocab"].append(["a" * 1001, -1.0])
        else:
            library.normalizer = steps
            whole["normalizer"] = corpus.state(library)["normalizer"]
        tokenizer = opened(json.dumps(whole))
        assert isinstance(tokenizer.library, guarded_library.Guarded)  # type: ignore[attr-defined]
        assert tokenizer.encode_ids("Alice") == library_ids(library, "Alice")
    with pytest.raises(ModelError, match="a piece of it has 1,001 characters"):
        lengths_by_start(["a", "b" * 1001])


def test_a_word_that_takes_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = corpus.state(corpus.wordpiece(True))
    whole["model"]["max_input_chars_per_word"] = 10**9
    tokenizer = opened(json.dumps(whole))
    assert tokenizer.encode_ids("alice")
    monkeypatch.setattr(guarded_library, "SECONDS", 0.3)
    with pytest.raises(ModelError, match="it runs for more than"):
        tokenizer.encode("a" * 20_000 + "й")
    with pytest.raises(ModelError, match="it runs for more than"):  # As --steps and a search of tokens have it read.
        tokenizer.word_ids("a" * 20_000 + "й")  # type: ignore[attr-defined]


def test_opening_that_takes_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    text = guarded("x").to_str().replace('"Regex":"x"', f'"Regex":"{NESTED}"')
    state = json.loads(text)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    state["added_tokens"].append({"id": 900, "content": "aaaaaaaaaaaaaaaaaaaaaaa c " * 500, **flags})
    monkeypatch.setattr(guarded_library, "SECONDS", 0.3)
    with pytest.raises(ModelError, match="cannot be read: it runs for more than"):
        opened(json.dumps(state))


def test_what_a_library_writes_while_it_panics_is_not_seen(capfd: Any) -> None:
    def panics() -> None:
        os.write(2, b"thread panicked at")
        raise ValueError("no\nway")

    with pytest.raises(ModelError, match="it fails: no way"):
        in_one_line(panics, "it fails")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
