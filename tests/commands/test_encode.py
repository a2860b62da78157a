"""`encode`: text to ids, one-hot rows, and ids back to exactly the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.schemas import assert_fits

if TYPE_CHECKING:
    from tests.conftest import Program


def test_ids_and_one_hot_rows(called: Program) -> None:
    document = called("encode", "hello !", "--model", "toy", "--one-hot", "--json").json
    assert_fits(document, "encode")
    assert document["ids"] == [0, 2]
    assert document["one_hot"] == [[1, 0, 0], [0, 0, 1]]
    assert "one_hot" not in called("encode", "hello", "--model", "toy", "--json").json
    assert "0 1 0" in called("encode", "world", "--model", "toy", "--one-hot").out


def test_a_large_vocabulary_is_one_hot_as_well(called: Program) -> None:
    row = called("encode", "Alice", "--one-hot", "--json").json["one_hot"][0]
    assert (len(row), row[7356], sum(row)) == (49152, 1, 1)
    assert "0 … 0 (7,356 zeros) 1 0 … 0 (41,795 zeros)" in called("encode", "Alice", "--one-hot").out


def test_letters(called: Program) -> None:
    assert called("encode", "HI", "--letters").out == "8 9\n"
    assert called("encode", "--decode", "8 9", "--letters").out == "HI"
    refused = called("encode", "a, b", "--letters")
    assert refused.code == 2
    assert "','" in refused.err


def test_in_a_pipe_ids_are_bare_and_long_lists_stay_one_line(called: Program) -> None:
    ran = called("encode", "Alice gave Bob her book " * 40)
    assert len(ran.out.splitlines()) == 1
    assert len(ran.out.split()) == 201


@pytest.mark.parametrize("model", ["smollm2", "o200k_base", "gpt2", "bytes", "characters"])
@pytest.mark.parametrize("text", ["Alice gave\tBob  \n\n é 🙂👍🏽 12345", "42", "[1, 2]", "\n"])
def test_there_and_back_through_a_pipe(called: Program, model: str, text: str) -> None:
    for form in ((), ("--json",)):
        ids = called("encode", text, "--model", model, *form)
        back = called("encode", "--decode", "--model", model, stdin=ids.raw)
        assert back.raw == text.encode()


def test_bytes_that_are_no_text_come_back(called: Program) -> None:
    data = bytes(range(1, 256))
    ids = called("encode", "--model", "o200k_base", stdin=data)
    assert called("encode", "--decode", "--model", "o200k_base", stdin=ids.raw).raw == data


def test_the_document_of_tokenize_can_be_decoded(called: Program) -> None:
    document = called("tokenize", "Alice gave", "--json")
    assert called("encode", "--ids", "-", "--decode", stdin=document.raw).out == "Alice gave"


def test_ids_that_are_not_whole_characters_show_their_bytes(called: Program) -> None:
    document = called("encode", "--ids", "10813,235", "--decode", "--json").json
    assert_fits(document, "encode")
    assert (document["bytes"], document["whole"], document["text"]) == ("f09f91", False, "\ufffd")
    assert called("encode", "--ids", "10813,235", "--decode").raw == b"\xf0\x9f\x91"


def test_a_text_goes_there_and_back(called: Program) -> None:
    assert called("encode", "--decode", "Alice gave").out == "Alice gave"


def test_a_line_that_cannot_be_done_does_not_end_the_run(called: Program) -> None:
    ran = called("encode", "--lines", "--letters", stdin="a\nb,c\nd\n")
    documents = [orjson.loads(line) for line in ran.out.splitlines()]
    assert [document["line"] for document in documents] == [0, 1, 2]
    assert [document.get("ids") for document in documents] == [[1], None, [4]]
    assert documents[1]["error"]["code"] == "usage"
    assert ran.code == 2


def test_search_finds_tokens(called: Program) -> None:
    document = called("encode", "--search", " Alice*", "--json").json
    assert_fits(document, "encode")
    assert 8590 in [match["id"] for match in document["found"]]
    assert all(match["text"].startswith(" Alice") for match in document["found"])
    special = called("encode", "--search", "*", "--only", "special", "--json").json
    assert {match["text"] for match in special["found"]} >= {"<|im_start|>", "<|im_end|>"}
    assert all(match["special"] for match in special["found"])
    named = called("encode", "--search", "*", "--only", "special", "--longest", "-m", "o200k_base", "--json").json
    assert [match["text"] for match in named["found"]] == ["<|endofprompt|>", "<|endoftext|>"]
    longest = called("encode", "--search", "*", "--longest", "--limit", "3", "--json").json
    assert (longest["count"] > 40_000, len(longest["found"])) == (True, 3)
    lengths = [len(match["text"]) for match in longest["found"]]
    assert lengths == sorted(lengths, reverse=True)


def test_search_is_drawn_and_says_what_it_left_out(called: Program) -> None:
    drawn = called("encode", "--search", "*ing", "--only", "unreachable", "-m", "toy")
    assert drawn.out.startswith("0 tokens of 3 match “*ing”")
    many = called("encode", "--search", "*ing", COLUMNS="80")
    assert "more; --limit" in many.out
    assert max(map(len, many.out.splitlines())) <= 80
    assert len(many.out.splitlines()) < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--decode", "1,2,99999999"], "99999999 is outside the vocabulary"),
        (["--decode", "[1, 2"], "not a list of ids"),
        (["--ids", "a"], "not a list of ids"),
        (["x", "--search", "a*"], "leave out the text"),
        (["x", "--longest"], "belong to --search"),
        (["x", "--decode", "--one-hot"], "leave out one of the two"),
        (["x" * 500, "--one-hot", "-m", "characters"], "--letters"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], message: str) -> None:
    ran = called("encode", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
