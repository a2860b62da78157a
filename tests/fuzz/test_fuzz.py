"""A short run of the fuzzers, and whatever the long ones found; `python -m tests.fuzz` runs them for longer."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llminspect.text import chat_template
from tests.conftest import ROOT
from tests.fuzz.compare import OPENED, compared
from tests.fuzz.targets import READERS, TARGETS
from tests.fuzz.work import input_for, tried

if TYPE_CHECKING:
    from types import FrameType

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
INPUTS = 120
pytestmark = pytest.mark.filterwarnings("error")  # They would stand on standard error as well.


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.05)
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("found", CORPUS, ids=lambda path: path.name)
def test_what_was_found(found: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = TARGETS[found.name.partition(".")[0]]
    tried(target, tmp_path, found.read_bytes(), measure=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", TARGETS)
def test_a_model_or_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = TARGETS[name]
    accepted = [tried(target, tmp_path, input_for(target, name, 0, number))[0] for number in range(INPUTS)]
    assert True in accepted
    assert False in accepted
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_can_be_made_again(name: str) -> None:
    make = TARGETS[name]
    assert input_for(make, name, 0, 7) == input_for(make, name, 0, 7) != input_for(make, name, 1, 7)


def marked() -> set[tuple[str, str]]:
    """Every function of the package with the mark of a reader, by file and name."""
    found = set()
    for path in (ROOT / "llminspect").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("reader(" in ast.unparse(one) for one in node.decorator_list):
                found.add((path.relative_to(ROOT / "llminspect").as_posix(), node.name))
    return found


def test_every_reader_has_a_target() -> None:
    assert marked() == set(READERS)


@pytest.mark.parametrize("name", sorted(set(READERS.values())))
def test_a_target_comes_to_its_reader(name: str, tmp_path: Path) -> None:
    reached = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "llminspect/" in frame.f_code.co_filename:
            reached.add((frame.f_code.co_filename.rpartition("llminspect/")[2], frame.f_code.co_name))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        for number in range(5 if name != "gguf-model" else 40):
            tried(TARGETS[name], tmp_path, input_for(TARGETS[name], name, 0, number))
    finally:
        sys.setprofile(before)
    assert {place for place, target in {**READERS, **OF_A_READER}.items() if target == name} <= reached


STRICTER = {
    "gguf": ("no multiple of", "on the same bytes", "key that is empty or too long", "an empty dimension"),
    "safetensors": ("twice in its header", "no list of whole numbers", "larger than any memory"),
}
"""What is refused here and not by the format's own package: docs/security.md says why."""


@pytest.mark.parametrize("name", OPENED)
def test_it_differs_from_the_package_only_where_that_is_meant(name: str) -> None:
    for number, ours, its in compared(name, 0, 0, 2 * INPUTS):
        if ours is None and its is not None:
            assert (name, its.partition(":")[0]) in (("gguf", "UnicodeDecodeError"), ("gguf", "TimeoutError")), (
                number,
                its,
            )
        elif ours is not None and its is None:
            assert any(words in ours for words in STRICTER[name]), (number, ours)


PARSING = {"loads", "ZipFile", "literal_eval", "unpack_from", "genops", "decompressobj", "from_str"}
OF_A_READER = {  # Called by a function that is marked: see the target that reaches it.
    ("arguments/ranges.py", "_listed"): "ids",
    ("files/gguf_header.py", "array"): "gguf",
    ("files/gguf_header.py", "number"): "gguf",
    ("files/gguf_header.py", "read_header"): "gguf",
    ("files/gguf_header.py", "tensor"): "gguf",
    ("files/gguf_header.py", "value"): "gguf",
    ("files/source.py", "_object"): "records",
    ("files/safetensors.py", "_header"): "safetensors",
    ("files/torch_archive.py", "_parts"): "lens",
    ("text/character_map.py", "__init__"): "gguf-model",
    ("text/from_huggingface.py", "_json_object"): "tokenizer",
    ("text/huggingface.py", "_state"): "tokenizer",
    ("text/tokenizers_library.py", "library_of"): "tokenizer",
    ("analysis/ablation.py", "_corpus_read"): "means",
}
OTHERWISE_TESTED = {
    ("analysis/prompt.py", "_read_json"): "the user's file of tools: tests/text/test_chat.py",
    ("analysis/prompt.py", "template_options"): "the user's own words",
    ("cli/page_data.py", "_walk"): "what this program wrote a moment ago",
    ("files/hub_library.py", "_unpacked"): "tests/files/test_hub_attacked.py",
    ("files/npz.py", "write_npz"): "writes",
    ("files/pull.py", "_unpack"): "wheels, whose hash is known: tests/files/test_wheels.py",
    ("files/quant_iq.py", "grid"): "what the program comes with",
    ("files/quantized/bitsandbytes.py", "_four"): "tests/files/test_quantized_refused.py",
    ("files/unfinished.py", "read"): "what this program kept in its own cache",
    ("text/bounded_process.py", "_answer"): "what its own process answers",
    ("text/bounded_server.py", "serve_with"): "what its own process is sent",
    ("text/images.py", "_numbers"): "the user's images: tests/text",
    ("text/images.py", "_size"): "the user's images: tests/text",
    ("text/protected.py", "__init__"): "what the tokenizers library wrote",
    ("text/rank_files.py", "tokenizer_of_tekken"): "tests/text",
    ("text/tokenization_steps.py", "_maker"): "what the tokenizers library wrote",
    ("text/tokenizers_library.py", "without_pieces"): "what the tokenizers library wrote",
    ("text/tokenizer_sandbox.py", "_open"): "what was read as a tokenizer before",
}


def parsing() -> set[tuple[str, str]]:
    """Every function of the package that has no mark of a reader, and calls what makes something of bytes or text."""
    found = set()
    for path in (ROOT / "llminspect").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef) or any("reader(" in ast.unparse(d) for d in node.decorator_list):
                continue
            calls = {ast.unparse(each.func).rpartition(".")[2] for each in ast.walk(node) if isinstance(each, ast.Call)}
            if calls & PARSING:
                found.add((path.relative_to(ROOT / "llminspect").as_posix(), node.name))
    return found


def test_what_parses_is_marked_or_known() -> None:
    """A new reader without a mark is found here."""
    assert parsing() == OF_A_READER.keys() | OTHERWISE_TESTED.keys()
