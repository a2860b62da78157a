"""`tokenize`: tokens with their spans, what they cost, steps, and how little it loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import orjson
import pytest

from llminspect.analysis.tokenize import truncate
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions, parse_price
from llminspect.commands.tokenize.view import render
from llminspect.errors import UsageError
from llminspect.opening import open_tokenizer
from llminspect.text.prompt import Prompt
from tests.commands.tokenizing import compared, drawn
from tests.conftest import ROOT
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from tests.conftest import Program

REFERENCE = orjson.loads((Path(__file__).parent.parent / "golden" / "smollm2.json").read_bytes())
HOSTILE = "\x1b[31mred\x1b[0m [bold]b[/bold] [/ \u202eevil\u202c nul\x00 \x9b2J a\u0301 \U0001f642"


def test_every_recorded_text_has_its_recorded_ids(called: Program) -> None:
    texts = [entry["text"] for entry in REFERENCE["tokenize"] if "\n" not in entry["text"]]
    ran = called("tokenize", "--lines", stdin="\n".join(texts))
    documents = [orjson.loads(line) for line in ran.out.splitlines()]
    expected = [entry["ids"] for entry in REFERENCE["tokenize"] if "\n" not in entry["text"]]
    assert [[token["id"] for token in document["tokens"]] for document in documents] == expected
    assert [document["line"] for document in documents] == list(range(len(texts)))


def test_tokens_are_those_of_the_contract(called: Program) -> None:
    document = called("tokenize", "Alice gave Bob her book", "--json").json
    assert_fits(document, "tokenize")
    assert document["count"] == 5
    assert document["tokens"][1] == {
        "index": 1,
        "id": 4502,
        "text": " gave",
        "bytes": "2067617665",
        "start": 5,
        "end": 10,
    }


def test_parts_of_a_character_are_marked(called: Program) -> None:
    ran = called("tokenize", "a ዪ")
    assert "part of “ዪ”" in ran.out
    document = called("tokenize", "a ዪ", "--json").json
    assert [token.get("partial", False) for token in document["tokens"]] == [False, True, True, True]
    assert [(token["start"], token["end"]) for token in document["tokens"]] == [(0, 1), (1, 3), (3, 4), (4, 5)]
    assert document["tokens"][1]["text"] == " \ufffd"


def test_special_tokens_spelt_in_a_text_are_text_unless_asked(called: Program) -> None:
    plain = called("tokenize", "a<|im_end|>", "--json").json
    special = called("tokenize", "a<|im_end|>", "--json", "--parse", "special").json
    assert len(plain["tokens"]) > 2
    assert special["tokens"][1]["id"] == 2
    assert special["tokens"][1]["special"] is True
    refused = called("tokenize", "a<|im_end|>", "--parse", "error")
    assert refused.code == 2
    assert "byte 1" in refused.err


def test_an_empty_text_has_no_tokens(called: Program) -> None:
    ran = called("tokenize", "", "--json")
    assert ran.code == 0
    assert ran.json["count"] == 0
    assert ran.json["tokens"] == []
    assert "the text is empty" in ran.err
    assert called("tokenize", "", "--quiet", "--count").out == "0\n"


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("color", [True, False])
def test_hostile_text_is_shown_harmlessly(width: int, color: bool) -> None:
    text = drawn(render(compared(HOSTILE, "smollm2", "o200k_base", "words", "bytes")), width, color)
    if not color:
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= width
    for obeyed in ("\x1b[31m", "\u202e", "\x00", "\x9b"):
        assert obeyed not in text


def test_each_background_of_a_comparison_has_a_key() -> None:
    view = render(compared("naïve café", "bytes", "words"))
    keys = [line for line in drawn(view, 80, color=True).splitlines() if "raised number" in line or "none of" in line]
    assert len(keys) == 2 and "\x1b[38;2;26;26;26;48;2;255;154;77mï²\x1b[0m" in keys[0]
    assert "no background: in none of that tokenizer's tokens" in keys[1]
    plain = drawn(view, 80)
    assert "background" not in plain and "blank between two │: in none of that tokenizer's tokens" in plain
    assert "words  n a ï  v e│ │c a f é" in plain and "│·│" in plain


def test_bytes_that_are_no_text_stay_what_they_are(called: Program) -> None:
    ran = called("tokenize", "--json", "-m", "o200k_base", stdin=b"a\xff\xfeb")
    assert ran.code == 0
    assert "".join(token["bytes"] for token in ran.json["tokens"]) == "61fffe62"
    assert ran.json["text"] == "a\ufffd\ufffdb"
    assert called("tokenize", "-m", "o200k_base", stdin=b"a\xff\xfeb").code == 0


@pytest.mark.parametrize(
    ("given", "price"),
    [("2.50", (2.5, "")), ("$2.5", (2.5, "$")), ("2 EUR", (2.0, "EUR")), (".5€", (0.5, "€"))],
)
def test_prices(given: str, price: tuple[float, str]) -> None:
    assert parse_price(given) == price


@pytest.mark.parametrize("given", ["", "x", "-1", "1.2.3", "$1 EUR", "nan", "1,x", "0*2", "#5"])
def test_what_is_no_price(given: str) -> None:
    assert parse_price(given) is None
    with pytest.raises(UsageError, match="is neither a price"):
        _ = TokenizeOptions(cost=given).price


def test_cost(called: Program) -> None:
    document = called("tokenize", "Alice gave Bob her book", "--cost", "$2", "--json").json
    assert document["cost"] == {"price": 2.0, "total": pytest.approx(1e-5), "currency": "$"}
    assert "$0.00001" in called("tokenize", "Alice gave Bob her book", "--cost", "$2").out


def test_more_tokens_than_allowed_is_exit_code_4(called: Program) -> None:
    text = "Alice gave Bob her book"
    assert called("tokenize", text, "--count", "--max-tokens-allowed", "5").code == 0
    over = called("tokenize", text, "--count", "--max-tokens-allowed", "4")
    assert (over.code, over.out) == (4, "5\n")
    assert over.err == "llminspect: smollm2: 5 tokens, 1 over the 4 that are allowed\n"
    documented = called("tokenize", text, "--json", "--max-tokens-allowed", "4")
    assert documented.code == 4
    assert documented.json["budget"] == {"allowed": 4, "within": False, "over": 1}
    lines = called("tokenize", "--lines", "--count", "--max-tokens-allowed", "2", stdin="a\na b c d\n")
    assert lines.code == 4
    assert [orjson.loads(line)["budget"]["within"] for line in lines.out.splitlines()] == [True, False]
    # The template of a chat counts as well.
    assert called("tokenize", text, "--chat", "--count", "--max-tokens-allowed", "20").code == 4


def test_truncate_writes_the_text(called: Program) -> None:
    text = "Alice gave Bob her book"
    assert called("tokenize", text, "--truncate", "3").out == "Alice gave Bob"
    assert called("tokenize", text, "--truncate", "3", "--side", "start").out == " Bob her book"
    whole = called("tokenize", text, "--truncate", "5")
    assert (whole.out, whole.err) == (text, "")
    assert called("tokenize", text, "--truncate", "0").out == ""
    cut = called("tokenize", text, "--truncate", "3", "--json").json
    assert_fits(cut, "tokenize")
    assert cut["truncated"] == {"text": "Alice gave Bob", "start": 0, "end": 14, "of": 5, "side": "end"}
    assert [token["text"] for token in cut["tokens"]] == ["Alice", " gave", " Bob"]


@pytest.mark.parametrize("side", ["start", "end"])
@pytest.mark.parametrize("model", ["smollm2", "o200k_base", "bytes"])
def test_truncate_never_cuts_a_character_unless_asked(model: str, side: Literal["start", "end"]) -> None:
    tokenizer, _ = open_tokenizer(model, offline=True)
    text = "né ዪ👩‍👧 日本語 x"
    data = text.encode()
    prompt = Prompt(text, tokenizer.wrap(tokenizer.encode(text)))
    for count in range(len(prompt.tokens) + 1):
        cut, kept = truncate(prompt, TokenizeOptions(truncate=count, side=side), SourceOptions(), tokenizer)
        assert kept.text.encode() == data[kept.start : kept.end]
        assert len(cut.tokens) <= count
        assert len(tokenizer.encode(kept.text)) <= count
    one = Prompt("ዪ", tokenizer.encode("ዪ"))
    allowed = TokenizeOptions(truncate=1, side=side, inside_characters=True)
    assert len(truncate(one, allowed, SourceOptions(), tokenizer)[0].tokens) == 1
    refused = TokenizeOptions(truncate=1, side=side)
    assert truncate(one, refused, SourceOptions(), tokenizer)[1].text == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["hi", "--model", "smollm"], 3, "smollm2"),
        (["hi", "--model", "o200k_bas"], 3, "o200k_base"),
        (["hi", "--ids", "1"], 2, "give one of them"),
        (["--ids", "1", "--compare", "bytes"], 2, "leave out --ids"),
        (["--ids", "49152"], 2, "ids are 0 to 49151"),
        (["hi", "--cost", "cheap"], 2, "is neither a price"),
        (["hi", "--truncate", "1", "--count"], 2, "leave out one of the two"),
        (["hi", "--truncate", "2", "--chat"], 2, "leaves no room"),
        (["hi", "--side", "start"], 2, "belong to --truncate"),
        (["hi", "--inside-characters"], 2, "belong to --truncate"),
        (["hi", "--user", "hi"], 2, "TEXT and --user were given"),
        (["hi", "--save", "x.npz"], 2, "--save cannot write"),
        (["--file", "/nowhere/x"], 1, "/nowhere/x"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], code: int, message: str) -> None:
    ran = called("tokenize", *arguments)
    assert ran.code == code
    assert ran.out == ""
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


def test_steps_of_byte_level_bpe(called: Program) -> None:
    document = called("tokenize", "book<|im_end|>", "--steps", "--parse", "special", "--json").json
    assert_fits(document, "tokenize")
    word, special = document["steps"]["words"]
    assert (word["symbols"], word["tokens"]) == (list("book"), ["book"])
    ranks = [merge["rank"] for merge in word["merges"]]
    assert ranks == sorted(ranks)
    assert word["merges"][-1]["parts"] == ["book"]
    assert (special["special"], special["ids"]) == (True, [2])
    drawn = called("tokenize", "book", "--steps").out
    assert f"rank {ranks[0]:,}" in drawn
    assert "symbols b o o k" in " ".join(drawn.split())


@pytest.mark.parametrize("width", ["80", "160"])
def test_steps_of_a_long_text_say_what_they_left_out(called: Program, width: str) -> None:
    ran = called("tokenize", "word " * 300, "--steps", COLUMNS=width)
    assert "289 more pieces are left out" in ran.out  # 300 words and the space at the end, 12 drawn.
    assert max(map(len, ran.out.splitlines())) <= int(width)
    one = called("tokenize", "x" * 100_000, "--steps", COLUMNS=width)
    assert one.code == 0
    assert max(map(len, one.out.splitlines())) <= int(width)
    assert "more steps" in one.out
    assert len(one.out.splitlines()) < 100


def test_steps_of_other_algorithms(called: Program) -> None:
    wordpiece = called("tokenize", "Unaffable", "--steps", "-m", "minilm", "--json").json["steps"]
    assert wordpiece["normalised"] == "unaffable"
    assert [match["found"] for match in wordpiece["words"][0]["matches"]] == ["una", "##ffa", "##ble"]
    assert "longest match" in called("tokenize", "Unaffable", "--steps", "-m", "minilm").out
    assert called("tokenize", "Hi there", "--steps", "-m", "words").code == 0
    assert called("tokenize", "--steps", "-m", "minilm", stdin=b"Hi \xff there").code == 0
    assert called("tokenize", "", "--steps").code == 0


def test_json_needs_neither_numpy_nor_rich() -> None:
    script = (
        "import sys; from llminspect.__main__ import run; run(['tokenize', 'Alice gave Bob her book', '--json'])\n"
        "print(sorted({'numpy', 'rich', 'tiktoken', 'tokenizers', 'huggingface_hub', 'jinja2'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
