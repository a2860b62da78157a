"""`--lines` on many cores writes what one core writes, in order."""

from __future__ import annotations

import io
import sys
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.cli import stream as _lines
from llminspect.cli.stream import Batch, Lines
from llminspect.commands.tokenize import fast_lines
from tests.conftest import ROOT
from tests.hostile.terminal import PROGRESS, Session, shown
from tests.schemas import assert_fits
from tests.text import corpus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

HOSTILE = [
    *[b"", b"Alice gave Bob her book", b"crlf\r", b"\r", b"two\r\r", b"nul \x00 in it", b"no utf8 \xff\xfe"],
    *[b"\xed\xa0\x80", b"<|im_end|> special <|im_start|>user", b"<|endoftext|>", b"[CLS] hi [SEP]"],
    *["a\u2028b\x0b\x0c\x1c\x85 c".encode(), "🙂 e\u0301 ዪ".encode(), b"x" * 3000, b"long " * 5000, b"\x1b[31mred"],
    *[b"1,2,3", b"none", b"-1", b"99999999", b'[{"role":"user","content":"hi"}]'],
    *[b'[{"role":"user","content":"\\ud800"}]', b'{"ids":[1,2]}', b"the end"],
]
PARTS = [b"a", b"\n", b"\r", b"\r\n", b"\xff", b"bc", b"\x0b"]

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is much: processes from the first byte on, and a few lines for each."""
    monkeypatch.setattr(_lines, "LONG", 1)
    monkeypatch.setattr(_lines, "BATCH", 64)


@given(data=st.lists(st.sampled_from(PARTS)).map(b"".join), size=st.integers(1, 9))
def test_batches_hold_the_lines_that_a_file_has(data: bytes, size: int) -> None:
    lines = Lines(io.BytesIO(data))
    lines.size = size
    batches: list[Batch] = []
    while not lines.ended:
        batch = lines.take()
        batches += [] if batch is None else [batch]
    assert b"".join(batch.data for batch in batches) == data
    assert all(batch.data.endswith(b"\n") for batch in batches[:-1])
    expected = [
        line.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r" if line.endswith(b"\n") else "")
        for line in io.BytesIO(data)
    ]
    assert [line for batch in batches for line in batch.lines()] == list(enumerate(expected))


@pytest.mark.usefixtures("tiny", "workers_first")
@pytest.mark.parametrize(
    "arguments",
    [
        ["tokenize"],
        ["tokenize", "--count", "--cost", "$2.5", "--digits", "3"],
        ["tokenize", "--max-tokens-allowed", "5", "-m", "minilm"],
        ["tokenize", "--count", "--parse", "error"],
        ["tokenize", "--parse", "special", "--truncate", "3", "--side", "start"],
        ["tokenize", "--chat", "--system", "be brief"],
        ["tokenize", "-c", "o200k_base", "-c", "letters", "-c", "minilm", "--max-tokens-allowed", "9"],
        ["tokenize", "-m", "letters", "-c", "letters"],
        ["tokenize", "--ids", "-"],
        ["tokenize", "-m", "words"],
        ["encode", "--no-special", "-m", "minilm"],
        ["encode", "--decode"],
        ["encode", "--ids", "-", "--decode"],
        ["encode", "-m", "words"],
    ],
    ids=" ".join,
)
def test_processes_write_what_one_writes(arguments: list[str], called: Program, pools: list[int]) -> None:
    data = b"\n".join(HOSTILE)
    alone = called(*arguments, "--lines", "--workers", "1", stdin=data)
    assert pools == []
    assert alone.raw.count(b"\n") == len(HOSTILE)
    shared = called(*arguments, "--lines", "--workers", "2", stdin=data)
    assert pools == ([] if "words" in arguments else [2])  # It learns as it goes, so it stays in one process.
    assert (shared.code, shared.raw, shared.err) == (alone.code, alone.raw, alone.err)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many workers were started each time."""
    from llminspect import processes

    started: list[int] = []

    def in_order(tasks: Any, here: Any, make: Any, workers: int, before: Any = processes.in_order) -> Any:
        started.append(workers)
        return before(tasks, here, make, workers)

    monkeypatch.setattr(processes, "in_order", in_order)
    return started


@pytest.mark.usefixtures("workers_first")
def test_only_long_input_is_shared(
    called: Program, pools: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lines, "LONG", 10_000)
    path = tmp_path / "lines.txt"
    for count, expected in ((1000, []), (5000, [3, 3])):
        path.write_bytes(b"Alice\r\n" * count)
        for place in (["--file", str(path)], []):
            ran = called("encode", "--lines", "-m", "bytes", "--workers", "3", *place, stdin=path.read_bytes())
            documents = [orjson.loads(line) for line in ran.raw.splitlines()]
            assert [document["line"] for document in documents] == list(range(count))
            assert {document["text"] for document in documents} == {"Alice"}
        assert pools == expected


@linux
def test_a_bar_on_the_terminal_where_the_documents_go_elsewhere(tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_bytes(b"Alice gave Bob her book\n" * 20_000)
    program = tmp_path / "shown.py"
    program.write_text(
        "import os, sys\nfrom llminspect.__main__ import run\nfrom llminspect.cli import stream as _lines\n"
        "if __name__ == '__main__':\n    _lines.MOMENT = 1000\n"
        "    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)\n    sys.exit(run(sys.argv[2:]))\n"
    )
    out = tmp_path / "out.json"
    arguments = ["tokenize", "--lines", "--count", "-m", "bytes", "--file", str(text), "--workers", "1"]
    session = Session([str(out), *arguments], {}, [str(program)])
    assert session.finish() == 0
    assert "tokenize" in shown(session.raw, PROGRESS)
    assert b"kB" in session.raw
    assert out.read_bytes().count(b"\n") == 20_000
    quiet = Session([str(out), *arguments, "--quiet"], {}, [str(program)])
    assert quiet.finish() == 0
    assert quiet.raw == b""


def written(model: str, folder: Path) -> str:
    """A tokenizer's file: SentencePiece's own, or one that puts a BOS in front and an EOS after."""
    if model == "sentencepiece":
        recorded = orjson.loads((ROOT / "tests/golden/sentencepiece.json").read_bytes())["models"]["llama"]["model"]
        path = folder / "tokenizer.model"
        path.write_bytes(b64decode(recorded))
        return str(path)
    if model != "around":
        return model
    document = orjson.loads(corpus.byte_level().to_str())
    special = {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}
    end = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
    single = [end, {"Sequence": {"id": "A", "type_id": 0}}, end]
    template = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special}
    document["post_processor"] = template
    path = folder / "tokenizer.json"
    path.write_bytes(orjson.dumps(document))
    return str(path)


@pytest.mark.parametrize(
    ("model", "many"),
    [
        *((model, 0) for model in ("o200k_base", "smollm2", "minilm", "sentencepiece", "around")),
        *((model, 1 << 30) for model in ("o200k_base", "smollm2")),  # By our own code: the others have one way.
    ],
)
def test_the_fast_way_writes_what_the_usual_way_writes(
    called: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, many: int
) -> None:
    model = written(model, tmp_path)
    monkeypatch.setattr(fast_lines, "MANY", many)
    monkeypatch.setattr(fast_lines, "HELD", 20_000)  # Forgotten now and then.
    source = (ROOT / "llminspect" / "cli" / "stream.py").read_bytes().splitlines()
    data = b"\n".join([b"first", *HOSTILE, b"100 % %b %d", *source, *HOSTILE, b"x" * 20_000, b"", b""])
    made: list[object] = []
    fast = fast_lines.FastLines.__call__

    def noted(self: Any, *arguments: Any) -> object:
        made.append(fast(self, *arguments))
        return made[-1]

    monkeypatch.setattr(fast_lines.FastLines, "__call__", noted)
    ran = called("tokenize", "--lines", "-m", model, stdin=data)
    assert sum(document is None for document in made) < 20 < len(made) - 300
    monkeypatch.setattr(fast_lines, "fast_lines", lambda *_: None)
    usual = called("tokenize", "--lines", "-m", model, stdin=data)
    assert (ran.code, ran.raw, ran.err) == (usual.code, usual.raw, usual.err)


@pytest.mark.parametrize("model", ["o200k_base", "minilm", "letters"])
def test_counts_of_lines_leave_out_what_repeats(called: Program, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    data = b"\n".join([b"Alice gave, Bob", *HOSTILE, b"Alice"])
    arguments = ["tokenize", "--lines", "--count", "-m", model]
    ran = called(*arguments, stdin=data)
    monkeypatch.setattr(fast_lines, "fast_lines", lambda *_: None)
    assert ran.raw == called(*arguments, stdin=data).raw
    first, *others = [orjson.loads(line) for line in ran.raw.splitlines()]
    for document in (first, *others):
        assert_fits(document, "tokenize")
    assert first["provenance"]["options"] == {"lines": True, "count": True}  # Also where it could not be done.
    assert ("error" in first) == (model == "letters")
    assert next(other["provenance"] for other in others if "error" not in other) == {"line": 0}
    whole = [orjson.loads(line) for line in called("tokenize", "--lines", "-m", model, stdin=data).raw.splitlines()]
    assert [other.get("count") for other in others] == [other.get("count") for other in whole[1:]]
