"""`tokenize --count` of files and folders, by line, and against a budget and a price table."""

from __future__ import annotations

import codecs
import io
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from llminspect import count_files, tokenize
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.commands.tokenize.view import render
from llminspect.errors import UsageError, UserError
from llminspect.files.prices import price_table
from llminspect.text import chunks
from tests.files.test_walk import tree
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

TEXTS = {
    "our-code/a.py": "def a():\n    return 'Alice gave Bob her book'\n",
    "our-code/deep/b.py": "print('naïve 🙂')\r\n",
    "our-code/deep/deeper/c.py": "x = 1\n" * 50,
    "our-code/out.log": "left out",
    "our-code/.gitignore": "*.log\n",
    "book/page.md": "# A page\n\nWith words.\n",
    "book/empty.md": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tree(tmp_path, TEXTS)
    (tmp_path / "book" / "nul.png").write_bytes(b"PNG\0")
    (tmp_path / "book" / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    (tmp_path / "book" / "windows.txt").write_bytes(codecs.BOM_UTF16_LE + "Grüße".encode("utf-16-le"))
    return tmp_path


def drawn(result: Any, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width).print(render(result))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("model", ["o200k_base", "minilm"])
def test_each_file_counts_as_it_does_alone(called: Program, folder: Path, model: str) -> None:
    document = called("tokenize", "--count", "--json", "-m", model, "--file", str(folder)).json
    assert_fits(document, "tokenize")
    relative = {os.path.relpath(file["path"], folder): file for file in document["files"]}
    assert list(relative) == sorted([*TEXTS.keys() - {"our-code/out.log"}, "book/windows.txt"])
    for name, file in relative.items():
        alone = called("tokenize", "--count", "--json", "-m", model, "--file", str(folder / name)).json
        assert (file["count"], file["bytes"]) == (alone["count"], alone["bytes"])
    assert document["total"] == sum(file["count"] for file in document["files"])
    assert {os.path.relpath(entry["path"], folder): entry["reason"] for entry in document["skipped"]} == {
        "book/latin.txt": "not UTF-8",
        "book/nul.png": "binary",
    }
    sums = {os.path.relpath(entry["path"], folder): entry for entry in document["folders"]}
    assert sums["."]["count"] == document["total"] and sums["."]["files"] == document["file_count"] == 7
    assert (
        sums["our-code/deep"]["count"]
        == relative["our-code/deep/b.py"]["count"] + relative["our-code/deep/deeper/c.py"]["count"]
    )


def test_words_after_file_are_more_files(called: Program, folder: Path) -> None:
    names = [str(folder / name) for name in ("our-code/a.py", "book", "our-code/deep/b.py")]
    document = called("tokenize", "--count", "--json", "-m", "bytes", "--file", *names).json
    assert [os.path.basename(file["path"]) for file in document["files"]] == [
        *("a.py", "empty.md", "page.md", "windows.txt", "b.py")
    ]
    assert [os.path.basename(entry["path"]) for entry in document["folders"]] == ["book"]
    assert called("tokenize", "Alice", "gave", "Bob").code == 2
    assert "in quotes" in called("tokenize", "Alice", "gave").err


def test_processes_count_what_one_counts(called: Program, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llminspect.analysis.count_files.ALONE_BELOW", 1)
    monkeypatch.setattr("llminspect.analysis.count_files.BLOCK", 64)
    (folder / "big.txt").write_text("".join(f"line {number}, Alice\n" for number in range(500)))
    (folder / "late.bin").write_bytes(b"words " * 100 + b"\xff")
    arguments = ["tokenize", "--count", "--json", "-m", "o200k_base", "--file", str(folder), "--workers"]
    alone, shared = called(*arguments, "1").json, called(*arguments, "2").json
    assert alone == shared
    assert str(folder / "late.bin") in [entry["path"] for entry in alone["skipped"]]
    whole = tokenize((folder / "big.txt").read_text().removesuffix("\n"), "o200k_base", count=True).count
    assert {file["path"]: file["count"] for file in alone["files"]}[str(folder / "big.txt")] == whole
    assert chunks.BLOCK == 1 << 20


def test_a_table_of_folders_and_the_largest_files(folder: Path) -> None:
    result = count_files(folder, "bytes", top_files=2, cost="2 EUR")
    assert [os.path.basename(file.path) for file in result.files] == ["c.py", "a.py"]
    assert result.left_out == result.file_count - 2
    for width in (60, 80, 160):
        lines = drawn(result, width)
        assert max(map(len, lines)) <= width
    rows = [found.groups() for line in lines if (found := re.match(r"(.*?) +([\d,]+) +[\d.]+%", line))]
    files = [file.count for file in result.files]
    book = next(entry.count for entry in result.folders if entry.path.endswith("book"))
    rest = result.total - book - sum(files)
    assert [(name.removeprefix(str(folder)), int(count)) for name, count in rows] == [
        *(("all", result.total), ("/", result.total), ("  our-code/", result.total - book)),
        *(("    deep/", 299 + rest - 5), ("      deeper/", 299), ("        c.py", 299), ("      … 1 more", rest - 5)),
        *(("    a.py", files[1]), ("    … 1 more", 5), ("  book/ (3)", book)),
    ]
    assert "2 not counted" in " ".join(lines) and "nul.png (binary)" in " ".join(lines)


@pytest.mark.parametrize(
    ("data", "remark"),
    [
        (b"PNG\0", "binary"),
        ("Grüße".encode("latin-1"), "not UTF-8"),
        ("é".encode() * 900, None),
        (b"a" * 1023 + "é".encode(), None),
    ],
)
def test_one_file_that_is_no_text_is_counted_with_a_note(
    called: Program, tmp_path: Path, data: bytes, remark: str | None
) -> None:
    (tmp_path / "x").write_bytes(data)
    done = called("tokenize", "--count", "-m", "bytes", "--file", str(tmp_path / "x"))
    assert done.out == f"{len(data)}\n"
    assert (remark in done.err) if remark else not done.err


def test_a_budget_ends_with_exit_code_4(called: Program, folder: Path) -> None:
    total = count_files(folder, "bytes").total
    arguments = ["tokenize", "--count", "-m", "bytes", "--file", str(folder), "--budget"]
    assert called(*arguments, str(total)).code == 0
    over = called(*arguments, str(total - 10), "--json")
    assert (over.code, over.err) == (
        4,
        f"llminspect: all files: {total} tokens, 10 over the {total - 10} that are allowed\n",
    )
    assert over.json["budget"] == {"allowed": total - 10, "within": False, "over": 10}
    single = called("tokenize", "Alice", "--count", "-m", "bytes", "--budget", "3")
    assert (single.code, single.out) == (4, "5\n") and "2 over the 3" in single.err
    each = called(*arguments[:-1], "--max-tokens-allowed", "298", "--quiet")
    assert each.code == 4 and "c.py: 299 tokens, 1 over" in each.err


def test_lines_by_what_they_cost(called: Program) -> None:
    text = "short\na much longer line of words\r\n\nshort"
    document = called("tokenize", text, "--count", "--by-line", "--json", "-m", "o200k_base").json
    assert_fits(document, "tokenize")
    lines = document["lines"]
    assert lines[0]["line"] == 1 and lines[0]["text"] == "a much longer line of words"
    assert sum(line["count"] for line in lines) == document["count"]
    assert lines[-1]["cumulative"] == pytest.approx(1)
    assert [line["count"] for line in lines] == sorted((line["count"] for line in lines), reverse=True)
    assert lines[0]["share"] == pytest.approx(lines[0]["count"] / document["count"])
    out = called("tokenize", text, "--count", "--by-line", "-m", "o200k_base", COLUMNS="60").out
    assert max(map(len, out.splitlines())) <= 60 and "so far" in out
    added = tokenize("one\ntwo", "minilm", count=True, by_line=True)
    assert added.lines is not None
    assert added.count == 4 and [line.count for line in added.lines] == [1, 1]


def test_prices_by_name(called: Program, tmp_path: Path) -> None:
    table = price_table()
    assert table["gpt-4o"].price == 2.5 and table["gpt-4o"].date == "2026-08-05"
    document = called("tokenize", "Alice gave Bob", "--count", "-m", "gpt-4o", "--cost", "model", "--json").json
    assert document["cost"] == {
        "price": 2.5,
        "total": pytest.approx(7.5e-6),
        "currency": "USD",
        "model": "gpt-4o",
        "date": "2026-08-05",
        "source": "https://www.llm-prices.com",
    }
    compared = called("tokenize", "a", "-c", "gpt-4o", "-c", "gpt-4.1", "--cost", "model", "--json", "--count").json
    assert [model["cost"]["price"] for model in compared["models"]] == [2.5, 2.0]
    for wrong in ("gpt-9", "model"):
        refused = called("tokenize", "a", "--count", "--cost", wrong)
        assert refused.code == 2 and " names, such as gpt-" in refused.err and refused.err.count("gpt") < 6
    assert table["claude-opus-4-5"].price == 5 and table["gemini-2.5-pro-200k"].price == 2.5
    mine = tmp_path / "prices.json"
    mine.write_text('{"currency": "€", "models": {"m": {"price": 3, "date": "2026-10-01"}}}')
    priced = tokenize("Alice", "bytes", count=True, cost="m", prices=str(mine))
    assert priced.cost is not None
    assert (priced.cost.total, priced.cost.currency, priced.cost.date) == (pytest.approx(1.5e-5), "€", "2026-10-01")
    for cost, hint in (("gpt-4o", "one of 1 names, such as m"), ("2.5", "needs no --prices")):
        with pytest.raises(UsageError, match="nor a name in") as caught:
            _ = TokenizeOptions(cost=cost, prices=mine).price
        assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("model", "cost", "why"),
    [
        ("gpt-4o", "gpt-4.1", None),
        ("o200k_harmony", "gpt-5.4-272k", None),
        ("gpt-4o", "2.5", None),
        ("cl100k_base", "gpt-4o", "gpt-4o counts in o200k_base, not in the tokens of cl100k_base"),
        ("smollm2", "gpt-4o", "gpt-4o counts in o200k_base, not in the tokens of smollm2"),
        (
            "gpt-4o",
            "claude-opus-4-5",
            "the tokenizer of claude-opus-4-5 is not published; the tokens are those of o200k_base",
        ),
        ("bytes", "mistral-nemo", "exact only if mistral-nemo has the tokenizer of bytes"),
    ],
)
def test_a_price_for_other_tokens_is_an_estimate(
    called: Program, tmp_path: Path, model: str, cost: str, why: str | None
) -> None:
    ran = called("tokenize", "a", "--count", "-m", model, "--cost", cost, "--json")
    assert_fits(ran.json, "tokenize")
    assert ran.json["cost"].get("estimate") == why
    (tmp_path / "a.txt").write_text("Alice")
    files = called("tokenize", "--count", "--file", str(tmp_path), "-m", model, "--cost", cost, COLUMNS="300").out
    assert ("an estimate: " in files) == (why is not None) and (why or "") in files
    beside = called("tokenize", "a", "--count", "-m", model, "-c", "letters", "-c", "words", "--cost", cost, "--json")
    assert f"{model}: the cost is an estimate: {why}" in beside.json.get("notes", []) or why is None


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", '{"models": {}}', '{"models": {"a": -1}}', '{"models": {"a": "2"}}'),
        *('{"models": {"a": true}}', '{"models": {"a": {"cost": 2}}}', '{"date": 3, "models": {"a": 2}}'),
        '{"models": {"a": 1, "a": 2}}',
    ],
)
def test_what_is_no_price_table(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(UserError, match="is no table of prices"):
        price_table(path)


def test_what_is_of_one_text_is_refused(called: Program, folder: Path) -> None:
    files = ["tokenize", "--count", "-m", "bytes", "--file", str(folder)]
    for options in (["--by-line"], ["--compare", "words"], ["--chat"], ["--lines"], ["--ids", "1"]):
        refused = called(*files, *options)
        assert refused.code == 2 and len(refused.err.splitlines()) == 1, options
    assert called("tokenize", "a", "--count", "--top-files", "3").code == 2
    with pytest.raises(UsageError, match="is for one text"):
        count_files(folder, "bytes", chat=True)
    with pytest.raises(UserError, match="cannot read"):
        count_files([folder / "nothing"], "bytes")
