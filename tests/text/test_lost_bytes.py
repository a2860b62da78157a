"""Bytes that do not reach the model: every command that reads a text says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from llminspect import forward
from llminspect.analysis.prompt import chat_prompt
from llminspect.opening import open_tokenizer
from llminspect.text.bpe import BYTE_ALPHABET, ByteLevelBPE
from llminspect.text.from_huggingface import tokenizer_from_files
from llminspect.text.lost_bytes import ByteTally, lost_bytes, stray_bytes
from llminspect.text.messages import ChatInput
from llminspect.text.pretokenize import patterns_named
from tests.schemas import assert_fits
from tests.text import corpus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

LOST = "1 byte (ff) of the text is not UTF-8; the tokenizer does not keep it, so the model does not see it"
KEPT = "2 bytes (e9, ff) of the text are not UTF-8; the tokenizer keeps them"
LACKING = "the vocabulary has no token for 2 bytes (04, 06) of the text, so the model does not see them"


@pytest.mark.parametrize(
    "command", ["tokenize", "encode", "embed", "attend", "forward", "generate --max-tokens 1", "tokenize --count"]
)
def test_every_command_says_what_is_lost(called: Program, tmp_path: Path, command: str) -> None:
    path = tmp_path / "text"
    for data, expected in ((b"abc \xff", LOST), (b"a\x04b\x06", LACKING), (b"abc", None)):
        path.write_bytes(data)
        ran = called(*command.split(), "--file", str(path), "--json")
        assert_fits(ran.json, command.split()[0])
        assert ran.json.get("notes") == (None if expected is None else [expected])
        assert ran.err.count(expected or "of the text") == (expected is not None)


@pytest.mark.parametrize("options", [[], ["--count"], ["--count", "--workers", "1"]])
def test_each_line_says_it(called: Program, options: list[str]) -> None:
    lines = called("tokenize", "--lines", *options, stdin=b"ok\nabc \xff\na\x04b\x06\nok\n").out.splitlines()
    assert [json.loads(line).get("notes") for line in lines] == [None, [LOST], [LACKING], None]


def test_side_by_side_and_in_files(called: Program, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc \xff\xe9")
    given = ("--file", str(tmp_path / "a.txt"), "-c", "bytes", "-c", "o200k_base", "--json")
    for options in ((), ("--count",)):
        assert called("tokenize", *given, *options).json["notes"] == [f"bytes: {KEPT}", f"o200k_base: {KEPT}"]
    (tmp_path / "a.txt").write_bytes(b"a\x04b")
    (tmp_path / "b.txt").write_bytes(b"\x06")
    assert called("tokenize", "--count", "--file", str(tmp_path), "--json").json["notes"] == [LACKING]


def test_what_lies_far_from_the_start_is_seen(called: Program) -> None:
    text = b"Alice gave Bob her book\n" * 20_000 + b"\xe9" + b" Alice" * 30_000 + b"\xff"
    assert called("tokenize", "--count", "-m", "o200k_base", "--json", stdin=text).json["notes"] == [KEPT]


def test_in_python_and_in_chats() -> None:
    assert forward("abc \udcff").notes == [LOST]
    tokenizer, _ = open_tokenizer("smollm2")
    chat = ChatInput([{"role": "user", "content": "\udcff"}, {"role": "user", "content": "a\x04"}])
    assert [note.partition(" of the text")[0] for note in chat_prompt(chat, tokenizer, None).notes] == [
        "1 byte (ff)",
        "the vocabulary has no token for 1 byte (04)",
    ]


def test_what_each_kind_of_tokenizer_keeps() -> None:
    bpe = ByteLevelBPE("m", [c for c in BYTE_ALPHABET if c != "a"], [], patterns_named("gpt-2"), {}, {})
    assert (bpe.missing_bytes, bpe.lossless) == (b"a", False)
    assert lost_bytes(bpe, ["abba", "b"]) == [
        "the vocabulary has no token for 2 bytes (61) of the text, so the model does not see them"
    ]
    assert lost_bytes(bpe, ["b\udce9\udcff"]) == [KEPT]
    library = tokenizer_from_files({"tokenizer.json": corpus.byte_level().to_str().encode()})
    assert library.missing_bytes == b""
    assert lost_bytes(library, ["\udcff"]) == [LOST]
    # A byte that is in the spelling of U+FFFD, which the library is given in its place.
    assert "does not keep" in lost_bytes(library, ["\udcef"])[0]
    fallback = tokenizer_from_files({"tokenizer.json": corpus.sentencepiece_bpe().to_str().encode()})
    assert "does not keep" in lost_bytes(fallback, ["\udcbf"])[0]


def test_parts_of_a_text_are_counted_together() -> None:
    tally = ByteTally(b"x")
    for part in ("ax", "\udcff", "é\udc80\udcff", "\ud800x"):
        tally.add(part)
    assert tally.stray == {0xFF: 2, 0x80: 1}
    assert tally.lacking == {ord("x"): 2}
    assert stray_bytes("é\ud800") == b""
