"""Standard output that is not UTF-8, and texts as Windows programs write them: every command, no traceback."""

from __future__ import annotations

import codecs
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from llminspect import commands
from llminspect.__main__ import run
from llminspect.cli.code_page import nearest
from llminspect.files.marks import MARKS, Unmarked, unmarked, unmarked_lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

CODE_PAGES = ("cp1252", "cp932", "ascii", "latin-1", "cp437", "utf-16")
TEXT = "naïve 🙂 猫 \u202e é\u0301"
TOY = ("A cat", "-m", "toy-attention")
MOODS = "moods.jsonl"
"""A file of texts, each with a label that no code page of these has."""
CALLS: dict[str, tuple[tuple[str, ...], ...]] = {
    "tokenize": (
        (TEXT, "-m", "bytes", "--steps"),
        (TEXT, "-c", "bytes", "-c", "characters"),
        (TEXT, "--count", "--cost", "2€", "-m", "bytes"),
        ("--file", "/nowhere/猫"),
    ),
    "encode": ((TEXT, "-m", "bytes", "--one-hot"), ("--search", "*at*", "-m", "toy-attention")),
    "embed": ((*TOY, "--nearest", "2", "--similarity"), (*TOY, "--project", "pca")),
    "attend": (TOY, (*TOY, "--query", "cat"), (*TOY, "--color", "always")),
    "forward": (TOY, (*TOY, "--lens"), (*TOY, "--ablate", "0.0")),
    "generate": ((*TOY, "--max-tokens", "2"), (*TOY, "--max-tokens", "2", "--stream")),
    "walk": (TOY,),
    "explore": (TOY,),
    "diff": ((*TOY, "--against", "A sat"),),
    "head": (("0.0", "--model", "toy-attention"),),
    "neuron": (("0.0", "--model", "toy"), ("0.1", "--model", "tests/golden/llama")),
    "features": (("tests/golden/dictionaries/toy", "world", "-m", "toy"), ("/nowhere/猫", "world", "-m", "toy")),
    "probe": ((MOODS, "-m", "toy-attention"), ("/nowhere/猫.jsonl",)),
    "circuit": (("Mr Toad met Mrs Hen. Mr", "Mrs Toad met Mr Hen. Mr", "-m", "toy-induction"), ("猫", "猫", "--ids")),
    "models": ((),),
    "pull": (("名前", "--offline"),),
    "info": (("toy",), ("toy-attention", "--tensors")),
    "verify": (("toy",),),
    "cache": ((),),
    "schema": (("tokenize",),),
    "mcp": (("--seconds", "0"),),
    "help": ((), ("head",)),
}


def written(code_page: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """The exit code and what was written, read as that code page, in which it has to be."""
    streams: Any = [io.TextIOWrapper(io.BytesIO(), encoding=code_page, newline="\n") for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", streams[0])
        patched.setattr(sys, "stderr", streams[1])
        try:
            code = run(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode(code_page) for stream in streams)
    return code, out, err


def timeless(document: str) -> dict[str, Any]:
    """What hangs on no clock."""
    return {key: value for key, value in json.loads(document).items() if key != "layers"}


@pytest.mark.parametrize("name", commands.names())
def test_every_command_writes_in_every_code_page(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if name == "cache":
        monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path))
    moods = tmp_path / MOODS
    if name == "probe":
        texts = [
            {"text": text, "label": "猫🙂"[i % 2]} for i, text in enumerate(["A cat", "sat", "cat A", "A sat"] * 2)
        ]
        moods.write_text("\n".join(map(json.dumps, texts)))
    for arguments in CALLS[name]:
        drawn = (name, *(str(moods) if argument == MOODS else argument for argument in arguments))
        as_json = drawn if name == "schema" or "--stream" in drawn else (*drawn, "--json")
        expected, document = written("utf-8", drawn, monkeypatch), written("utf-8", as_json, monkeypatch)
        for code_page in CODE_PAGES:
            code, out, err = written(code_page, drawn, monkeypatch)
            assert code == expected[0], err
            assert out.count("\n") == expected[1].count("\n")
            assert "Traceback" not in err
            if as_json is not drawn:
                assert timeless(written(code_page, as_json, monkeypatch)[1]) == timeless(document[1])


def test_columns_stay_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    _, out, _ = written("ascii", ("tokenize", TEXT, "-m", "o200k_base"), monkeypatch)
    rows = [line for line in out.splitlines() if line.count("|") == 5]
    assert len(rows) > 8
    assert len({tuple(at for at, char in enumerate(row) if char == "|") for row in rows}) == 1
    assert 'part of "??"' in out  # The cat is two cells wide.


def test_a_picture_takes_what_the_code_page_has() -> None:
    assert "".join(nearest(char, "cp437") for char in "▉▋→…") == "█▌>."
    assert "".join(nearest(char, "ascii") for char in "█▌→│░ᵀ猫\u0301") == "#=>|.T??"
    assert nearest("ć", "latin-1") == "?"


def test_lines_of_json_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for code_page in CODE_PAGES:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("🙂\n猫\n".encode())))
        _, out, _ = written(code_page, ("tokenize", "--lines", "-m", "bytes"), monkeypatch)
        assert [json.loads(line)["text"] for line in out.splitlines()] == ["🙂", "猫"]
        assert out.isascii()


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_mark_is_dropped_however_the_bytes_come(mark: bytes, size: int) -> None:
    text = "naïve 🙂\r\n\nè"
    data = mark + text.encode(MARKS[mark])
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    taken = Unmarked()
    assert b"".join([taken.feed(piece) for piece in pieces] + [taken.feed(b"", final=True)]) == text.encode()
    assert list(unmarked_lines(pieces)) == ["naïve 🙂", "", "è"]


def test_each_mark_says_how_its_text_is_written() -> None:
    for size, marks in ((2, (b"\xff\xfe", b"\xfe\xff")), (4, (b"\xff\xfe\0\0", b"\0\0\xfe\xff"))):
        for mark, order in zip(marks, ("little", "big"), strict=True):
            assert unmarked(mark + ord("猫").to_bytes(size, order)).decode() == "猫"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [b"", b"\xef", b"\xef\xbb", b"\xff", b"\xfe", b"a\xff\xfeb", b"\xef\xbba", b"\x00\x00"]
)
def test_what_is_no_mark_stays(data: bytes) -> None:
    taken = Unmarked()
    assert b"".join(taken.feed(data[at : at + 1]) for at in range(len(data))) + taken.feed(b"", True) == data


MESSAGES = '[{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Grüße"}]'


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("tokenize", "--json"), "Grüße 🙂\r\n"),
        (("tokenize", "--count", "--json"), "Grüße 🙂\r\n"),
        (("tokenize", "--count", "--json", "-c", "bytes"), "Grüße 🙂\r\n"),
        (("tokenize", "--lines"), "Grüße\r\n🙂\r\n"),
        (("tokenize", "--lines", "--save"), "Grüße\r\n🙂\r\n"),
        (("tokenize", "--chat", "--json"), MESSAGES),
        (("encode", "--ids", "-", "--json"), "1, 2\r\n"),
        (("encode", "--ids", "-", "--decode"), '{"ids": [504, 3575]}'),
        (("encode", "--ids", "-", "--lines"), "1 2\n3\n"),
    ],
)
def test_a_mark_in_front_changes_nothing(
    called: Program, tmp_path: Path, mark: bytes, arguments: tuple[str, ...], text: str
) -> None:
    path = tmp_path / "text.txt"
    if arguments[-1] == "--save":  # Which goes another way through the lines.
        arguments = (*arguments, str(tmp_path / "saved.json"))
    plain = called(*arguments, stdin=text)
    marked = mark + text.encode(MARKS[mark])
    assert (plain.code, plain.raw) == (0, called(*arguments, stdin=marked).raw)
    if "--ids" not in arguments:
        path.write_bytes(marked)
        counted = called(*arguments, "--file", str(path))
        documents = [[orjson.loads(line) for line in raw.splitlines()] for raw in (plain.raw, counted.raw)]
        for document in documents[1]:
            document["provenance"]["options"].pop("file")
        assert documents[0] == documents[1]


def test_a_mark_given_as_a_text_is_a_character(called: Program) -> None:
    assert called("tokenize", "\ufeffa", "--count", "-m", "bytes").out == "4\n"
    assert called("tokenize", "\ufeffa", "--json", "-m", "bytes").json["count"] == 4
