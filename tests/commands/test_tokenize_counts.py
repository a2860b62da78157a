"""`tokenize --count` and `--compare`: counts of texts, files, pipes and streams, side by side; where they part."""

from __future__ import annotations

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

import pytest

from llminspect.analysis.count import count as count_of_stream
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.commands.tokenize.view import render
from llminspect.errors import UsageError
from llminspect.opening import describe_model, open_tokenizer
from tests.bench.folder import write_tokenizer
from tests.commands.tokenizing import compared, drawn
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program


def test_count_is_a_bare_number(called: Program) -> None:
    assert called("tokenize", "Alice gave Bob her book", "--count").out == "5\n"
    document = called("tokenize", "Alice gave Bob her book", "--count", "--json").json
    assert_fits(document, "tokenize")
    assert (document["count"], document["characters"], document["bytes"]) == (5, 23, 23)
    assert "tokens" not in document


@pytest.mark.parametrize("text", ["", "a", "a b\n", "a\r\n", "\n", "a\n\n", "é 🙂\n", "ዪ" * 1000, "no newline\r"])
@pytest.mark.parametrize("model", ["smollm2", "o200k_base", "minilm", "bytes", "words"])
def test_a_count_is_the_number_of_the_tokens(called: Program, model: str, text: str) -> None:
    tokens = called("tokenize", "--json", "-m", model, stdin=text).json
    counted = called("tokenize", "--json", "--count", "-m", model, stdin=text).json
    assert [counted[key] for key in ("count", "characters", "bytes")] == [
        tokens[key] for key in ("count", "characters", "bytes")
    ]


def test_a_long_file_is_counted_in_processes(called: Program, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("".join(f"line {number}: Alice gave Bob her book  {number**3}\r\n\n" for number in range(70_000)))
    alone = called("tokenize", "--count", "--json", "-m", "o200k_base", "--workers", "1", "--file", str(path)).json
    shared = called("tokenize", "--count", "--json", "-m", "o200k_base", "--workers", "2", "--file", str(path)).json
    tokenizer, _ = open_tokenizer("o200k_base")
    text = path.read_bytes().decode().removesuffix("\n")
    assert alone["count"] == shared["count"] == len(tokenizer.encode_ids(text))
    assert shared["characters"] == shared["bytes"] == len(text)


def test_counts_side_by_side(called: Program, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Alice gave, Bob\n")
    for given in (("--file", str(path)), ("Alice gave, Bob",)):
        document = called("tokenize", *given, "--count", "-c", "bytes", "-c", "letters", "-c", "gpt2", "--json").json
        assert_fits(document, "tokenize")
        assert [model.get("count") for model in document["models"]] == [15, None, 4]
        assert "','" in document["models"][1]["error"]
    assert called("tokenize", "a, b", "--count", "-m", "letters").code == 2


def test_counts_side_by_side_of_a_long_pipe(called: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llminspect.files.source.HELD", 100)  # Kept on disk from there.
    text = "".join(f"{number}, Alice gave Bob her book\n" for number in range(3000))
    document = called("tokenize", "--count", "-c", "bytes", "-c", "o200k_base", "--json", stdin=text).json
    tokenizer, _ = open_tokenizer("o200k_base")
    expected = [len(text) - 1, len(tokenizer.encode_ids(text.removesuffix("\n")))]
    assert [model["count"] for model in document["models"]] == expected


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes")
def test_a_named_pipe_is_read_once_for_all_tokenizers(called: Program, tmp_path: Path) -> None:
    path, done = tmp_path / "pipe", Event()
    os.mkfifo(path)

    def write() -> None:
        path.write_text("Alice gave, Bob\n")
        while not done.wait(0.05):  # Whoever reads a second time finds nothing, and does not wait for ever.
            with suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    with ThreadPoolExecutor() as pool:
        pool.submit(write)
        try:
            ran = called("tokenize", "--file", str(path), "--count", "-c", "bytes", "-c", "gpt2", "--json")
        finally:
            done.set()
    assert [model["count"] for model in ran.json["models"]] == [15, 4]


def test_a_stream_is_counted_without_a_command_line() -> None:
    text = "[CLS] Alice gave Bob her book. \U0001f642\n"
    tokenizer, _ = open_tokenizer("minilm", offline=True)
    options = TokenizeOptions(cost="$2")
    for drop, counted in ((True, text.removesuffix("\n")), (False, text)):
        stream = io.BytesIO(text.encode())
        result = count_of_stream(tokenizer, stream, SourceOptions(), options, drop_final_newline=drop)
        assert result.count == len(tokenizer.wrap(tokenizer.encode(counted)))
        assert (result.characters, result.bytes) == (len(counted), len(counted.encode()))
        assert result.cost is not None and result.cost.total == result.count * 2e-6


@pytest.mark.parametrize("text", ["[CLS] hi", "[CLS][SEP]", "hi [CLS]", "[SEP] hi", "hi"])
@pytest.mark.parametrize("options", [(), ("--no-special",), ("--parse", "special")])
def test_a_prefix_that_the_text_spells_is_counted_once(called: Program, text: str, options: tuple[str, ...]) -> None:
    tokens = called("tokenize", text, "-m", "minilm", "--json", *options).json["tokens"]
    assert called("tokenize", text, "-m", "minilm", "--count", *options).out == f"{len(tokens)}\n"


def test_compare_counts_what_they_share_and_where_they_part() -> None:
    result = compared("Alice gave", "smollm2", "o200k_base", "words")
    assert [(model.model, model.count) for model in result.models] == [("smollm2", 2), ("o200k_base", 2), ("words", 2)]
    assert result.models[0].characters_per_token == 5
    assert result.shared is not None
    # words: [0, 5) and [6, 10); the others [0, 5) and [5, 10).
    assert result.shared.spans == [(0, 5)]
    assert (result.shared.cuts, result.shared.cuts_of_any) == (1, 2)
    assert result.same_ids is False
    assert result.parting is not None
    assert (result.parting.index, result.parting.byte, result.parting.models) == (0, 0, ("smollm2", "o200k_base"))


def test_the_first_parting_is_found_whichever_tokenizer_parts() -> None:
    # gpt2 and r50k_base are one encoding; p50k_base differs from it in runs of spaces only.
    assert compared("a  b", "gpt2", "r50k_base").same_ids is True
    result = compared("one two   three", "gpt2", "r50k_base", "p50k_base")
    assert result.parting is not None
    assert (result.parting.index, result.parting.byte) == (2, 7)
    assert result.parting.models == ("gpt2", "p50k_base")
    # A text that ends sooner in one of them parts where it ends.
    ended = compared("ab", "bytes", "characters", "bytes")
    assert ended.same_ids is True
    assert compared("é", "characters", "bytes").parting is not None


def test_a_gguf_and_a_tokenizer_json_of_the_same_model_are_compared_over_a_file(
    called: Program, tmp_path: Path
) -> None:
    located = describe_model("smollm2", offline=True).located
    assert located is not None
    write_tokenizer(located, tmp_path)
    file, text = tmp_path / "text.txt", "In 1984 café €5 🙂.\nLooking at 12 345 books.\n"
    file.write_text(text, encoding="utf-8")
    same, other = tmp_path / "tokenizer.json", tmp_path / "other.json"
    words = ["tokenize", "--file", str(file), "--json", "--compare", "smollm2", "--compare"]
    agreed = json.loads(called(*words, str(same)).out)
    assert agreed["same_ids"] is True
    assert "parting" not in agreed
    spoiled = json.loads(same.read_text("utf-8"))
    spoiled["model"]["merges"] = [pair for pair in spoiled["model"]["merges"] if "".join(pair) != "Ġbooks"]
    other.write_text(json.dumps(spoiled), encoding="utf-8")
    parted = json.loads(called(*words, str(other)).out)
    assert parted["same_ids"] is False
    place = len(text[: text.index(" books")].encode())
    assert (parted["parting"]["byte"], parted["parting"]["models"]) == (place, ["smollm2", str(other)])


def test_a_tokenizer_that_cannot_take_the_text_says_so() -> None:
    result = compared("a, b", "letters", "bytes")
    assert result.models[0].error is not None
    assert "','" in result.models[0].error
    assert result.models[1].count == 4
    with pytest.raises(UsageError):
        compared("a, b", "letters")


def test_compare_names_those_that_were_asked_for(called: Program) -> None:
    document = called("tokenize", "hi", "--compare", "bytes", "--compare", "gpt2", "--json").json
    assert_fits(document, "tokenize")
    assert [model["model"] for model in document["models"]] == ["bytes", "gpt2"]
    assert [model["count"] for model in document["models"]] == [2, 1]
    beside = called("tokenize", "hi", "--compare", "bytes", "--json").json
    assert [model["model"] for model in beside["models"]] == ["smollm2", "bytes"]
    named = called("tokenize", "hi", "-m", "letters", "-c", "bytes", "-c", "gpt2", "--json", "--count").json
    assert [model["model"] for model in named["models"]] == ["letters", "bytes", "gpt2"]
    assert "tokens" not in named["models"][0]


def test_strips_stand_over_the_same_text() -> None:
    lines = drawn(render(compared("Bob 12345 naïve", "smollm2", "o200k_base")), 80).splitlines()
    first, second = (
        next(line for line in lines if line.startswith(name) and "│" in line) for name in ("smollm2", "o200k_base")
    )
    for char in "Bo12345ïe":
        assert first.index(char, 12) == second.index(char, 12)
    assert first[12:] == "Bob│·│1│2│3│4│5│·na│ï ve"
    assert second[12:] == "Bob│·│1 2 3│4 5│·na ï│ve"
