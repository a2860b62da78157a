"""Files of records and of texts from strangers: what is wrong with one is a line, the same from each command."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import llminspect
from llminspect.cli.over import records_from
from llminspect.errors import UsageError, UserError, json_fault
from llminspect.files import machine
from llminspect.files.source import LONGEST_TEXT, read_records, text_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Program

LONG = {"text": "a" * (LONGEST_TEXT + 1), "label": "x"}
WRONG = [
    (b'{"text": }', "line 0 (from 0): not JSON: Expecting value at character 9"),
    (b'\n\n{"text": "a", "traget": " b", "label": "x"}', "line 2 (from 0): there is no 'traget' in a record"),
    (b'{"text": 1' + b"0" * 5000 + b"}", "line 0 (from 0): not readable: a number has more than 4300 digits"),
    (b'{"text": "\xff"}', "line 0 (from 0): not UTF-8"),
    (b"[" * 100_000, "line 0 (from 0): nested too deeply"),
    (b'{"label": "x"}', "record 0 has no "),
    (json.dumps(LONG).encode(), "line 0 (from 0): its text has more than 1,048,576 letters"),
]
COMMANDS = (("forward", "--attribution", "--over"), ("attend", "--over"), ("probe",))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(("content", "message"), WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("piped", [False, True], ids=["file", "input"])
def test_a_wrong_record_is_one_line_and_one_code(
    called: Program, tmp_path: Path, command: tuple[str, ...], content: bytes, message: str, piped: bool
) -> None:
    (tmp_path / "r.jsonl").write_bytes(content)
    if piped:
        ran = called(*command, "-", "-q", "--model", "smollm2", stdin=content)
    else:
        ran = called(*command, str(tmp_path / "r.jsonl"), "-q", "--model", "smollm2")
    assert ran.code == 1 and message in ran.err, ran.err
    assert len(ran.err.splitlines()) == 1 and "sys." not in ran.err and "column" not in ran.err


def test_records_from_standard_input_are_those_of_the_file(called: Program, tmp_path: Path) -> None:
    content = b'{"text": "hello", "target": " world"}\n{"text": "world", "label": "x"}\n'
    (tmp_path / "r.jsonl").write_bytes(content)
    base = ("forward", "--target", "!", "--model", "toy", "--json", "--over")
    piped, named = called(*base, "-", stdin=content).json, called(*base, str(tmp_path / "r.jsonl")).json
    assert piped["over"] == {"count": 2, "file": "-"}
    assert piped["places"] == named["places"] != []
    assert called(*base[:-2], "--over", "-", stdin=content).out.startswith("Over 2 texts of standard input\n")


def test_a_terminal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(UsageError, match="standard input is a terminal"):
        records_from(Path("-"))


@pytest.mark.parametrize(
    "question", [llminspect.probe, lambda records, model: llminspect.over("attend", records, model)]
)
def test_python_takes_what_can_be_gone_through(question: Callable[..., Any]) -> None:
    """A generator as well as a list, and refuses what is none in the same words."""
    with pytest.raises(UserError, match=r"record 1: there is no 'txt' in a record"):
        question(({key: "a"} for key in ("text", "txt")), "smollm2")
    with pytest.raises(UserError, match=r"record 0: no dictionary"):
        question(iter(["a"]), "smollm2")
    with pytest.raises(UserError, match="holds no records"):
        question(iter(()), "smollm2")
    for none in (7, {"text": "a"}, b"a"):
        with pytest.raises(UserError, match="records are dictionaries"):
            question(none, "smollm2")


def test_over_a_generator_is_over_its_list() -> None:
    records = [{"text": "A cat sat."}, {"text": "cat A sat."}]
    found = [llminspect.over("attend", given, "toy-attention") for given in (records, iter(records))]
    assert repr(found[0].places) == repr(found[1].places) != "[]"  # Of one text nothing is spread: no number.


def test_a_wrong_option_names_the_function() -> None:
    with pytest.raises(TypeError, match=r"^forward\(\) has no option 'lenz'; is it 'lens'\?"):
        llminspect.over("forward", [{"text": "a"}], "toy", lenz=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\n\xff\xfe\x00bad\n", "line 1 (from 0): no text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "line 0 (from 0): no text in UTF-8"),
        (b"a\0b", "line 0 (from 0): no text in UTF-8"),
        (b"a\n" + b"b" * (LONGEST_TEXT + 1), "line 1 (from 0) has more than 1,048,576 letters"),
    ],
)
def test_a_file_of_texts_that_is_none(called: Program, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    model = ("-q", "--model", "smollm2")
    for ran in (
        called("forward", "A cat", "--steer-from", str(path), f"{path}@3*1", *model),
        called("generate", "A cat", "--steer-from", str(path), f"{path}@3*1", "--max-tokens", "1", *model),
        called("forward", "A cat", "--scores", str(path), *model),
        called("forward", "A cat", "--scores", "-", *model, stdin=content),
    ):
        assert ran.code == 1 and message in ran.err and len(ran.err.splitlines()) == 1, ran.err


def test_texts_in_utf_16_and_with_returns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("é\r\na".encode("utf-16"))
    assert list(text_lines(path)) == ["é", "a"]


def test_an_endless_file_is_refused() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return bytes(size)

    for read in (lambda: list(text_lines("-", Endless())), lambda: read_records(Path("-"), Endless())):  # type: ignore
        with pytest.raises(UserError, match="standard input is larger than 64 MB"):
            read()


def test_a_text_that_no_memory_holds_is_one_line(called: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system would end the process without a word."""
    monkeypatch.setattr(machine, "memory_bytes", lambda: 200_000)
    monkeypatch.setattr(machine, "MANY", 10)
    for command in (("forward",), ("attend",), ("generate", "--max-tokens=1"), ("embed", "--at", "final")):
        ran = called(*command, "a " * 200, "--model", "smollm2")
        assert ran.code == 1 and re.search(r"tokens take at least \d+ GB of memory", ran.err), ran.err
    monkeypatch.setattr(machine, "memory_bytes", lambda: None)
    assert called("embed", "a a a a a a a a a a a a", "--at", "final", "--model", "smollm2").code == 0


WORDS = "a " * 30
TOO_LONG: dict[str, tuple[str, ...]] = {
    "forward": ("forward", WORDS),
    "forward --score": ("forward", WORDS, "--score", " b"),
    "forward --lens": ("forward", WORDS, "--lens"),
    "forward --patch": ("forward", "a", "--patch", WORDS),
    "attend": ("attend", WORDS),
    "embed": ("embed", WORDS),
    "embed --compare": ("embed", "a", WORDS, "--at", "final"),
    "generate": ("generate", WORDS, "--max-tokens", "1"),
    "generate --beams": ("generate", WORDS, "--max-tokens", "1", "--beams", "2"),
    "generate --tree": ("generate", WORDS, "--max-tokens", "1", "--tree", "1"),
    "diff": ("diff", WORDS, "--against", "a"),
    "diff, the other": ("diff", "a", "--against", WORDS),
    "walk": ("walk", WORDS, "--no-pause"),
    "circuit": ("circuit", WORDS, WORDS + "a"),
    "head --corpus": ("head", "0.0", "--corpus", "{file}", "--length", "500"),
    "neuron --corpus": ("neuron", "0.0", "--corpus", "{file}", "--length", "500"),
    "verify": ("verify", "--ids", ",".join(["5"] * 60)),
}


@pytest.mark.parametrize("what", TOO_LONG)
def test_a_text_that_would_never_end_is_one_line(
    what: str, called: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text("a " * 600)
    monkeypatch.setattr("llminspect.analysis.lengths.TIMES_BEYOND", 0)
    monkeypatch.setattr("llminspect.analysis.lengths.ALWAYS", 10)
    words = [word.format(file=tmp_path / "long.txt") for word in TOO_LONG[what]]
    ran = called(*words, "--model", "smollm2")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1), ran
    assert re.search(r"10 (are the most|tokens are the most) that are computed with smollm2", ran.err), ran.err


@pytest.mark.parametrize("text", ["{", '{"a": 1' + "0" * 5000 + "}", "[" * 100_000, "nope"])
def test_nothing_of_python_is_in_what_is_wrong_with_json(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as raised:
        json.loads(text)
    assert not re.search(r"sys\.|column|line \d|recursion|str\(", json_fault(raised.value))
