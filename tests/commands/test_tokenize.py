"""`tokenize`: tokens with their spans, tokenizers side by side, counts, and how little it loads."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

import orjson
import pytest
from rich.console import Console

from llminspect.analysis.compare_tokenizers import compare
from llminspect.analysis.count import count as count_of_stream
from llminspect.analysis.tokenize import truncate
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions, parse_price
from llminspect.commands.tokenize.view import render
from llminspect.errors import UsageError
from llminspect.opening import describe_model, open_tokenizer
from llminspect.text.prompt import Prompt
from tests.bench.folder import write_tokenizer
from tests.conftest import ROOT
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from llminspect.analysis.compare_tokenizers import CompareResult
    from tests.conftest import Program

REFERENCE = orjson.loads((Path(__file__).parent.parent / "golden" / "smollm2.json").read_bytes())
HOSTILE = "\x1b[31mred\x1b[0m [bold]b[/bold] [/ \u202eevil\u202c nul\x00 \x9b2J a\u0301 \U0001f642"


def drawn(rendering: Any, width: int, color: bool = False) -> str:
    file = io.StringIO()
    system: Any = "truecolor" if color else None
    Console(file=file, width=width, force_terminal=color, color_system=system).print(rendering)
    return file.getvalue()


def compared(text: str, *names: str) -> CompareResult:
    return compare(
        [(name, open_tokenizer(name, offline=True)[0]) for name in names], text, SourceOptions(), TokenizeOptions()
    )


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
    assert "part of ዪ" in ran.out
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
    asked = ["tokenize", "--file", str(file), "--json", "--compare", "smollm2", "--compare"]
    agreed = json.loads(called(*asked, str(same)).out)
    assert agreed["same_ids"] is True
    assert "parting" not in agreed
    spoiled = json.loads(same.read_text("utf-8"))
    spoiled["model"]["merges"] = [pair for pair in spoiled["model"]["merges"] if "".join(pair) != "Ġbooks"]
    other.write_text(json.dumps(spoiled), encoding="utf-8")
    parted = json.loads(called(*asked, str(other)).out)
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


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("color", [True, False])
def test_hostile_text_is_shown_harmlessly(width: int, color: bool) -> None:
    text = drawn(render(compared(HOSTILE, "smollm2", "o200k_base", "words", "bytes")), width, color)
    if not color:
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= width
    for obeyed in ("\x1b[31m", "\u202e", "\x00", "\x9b"):
        assert obeyed not in text


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


@pytest.mark.parametrize("given", ["", "x", "-1", "1.2.3", "$1 EUR", "nan"])
def test_what_is_no_price(given: str) -> None:
    assert parse_price(given) is None
    with pytest.raises(UsageError, match="is no price"):
        _ = TokenizeOptions(cost=given).price


def test_cost(called: Program) -> None:
    document = called("tokenize", "Alice gave Bob her book", "--cost", "$2", "--json").json
    assert document["cost"] == {"price": 2.0, "total": pytest.approx(1e-5), "currency": "$"}
    assert "$0.00001" in called("tokenize", "Alice gave Bob her book", "--cost", "$2").out


def test_a_chat_sets_the_template_apart(called: Program) -> None:
    document = called("tokenize", "hi <|im_end|>", "--chat", "--system", "Be kind", "--json").json
    assert_fits(document, "tokenize")
    owners = [token.get("message") for token in document["tokens"]]
    texts = [token["text"] for token in document["tokens"]]
    assert [text for text, owner in zip(texts, owners, strict=True) if owner == 0] == ["Be", " kind"]
    # What the user spells is text: seven tokens after "hi", none of them special.
    own = [token for token in document["tokens"] if token.get("message") == 1]
    assert "".join(token["text"] for token in own) == "hi <|im_end|>"
    assert not any(token.get("special") for token in own)
    assert [(message["role"], message["count"]) for message in document["chat"]["messages"]] == [
        ("system", 2),
        ("user", len(own)),
    ]
    assert document["chat"]["template"] + 2 + len(own) == document["count"]


def test_a_chat_comes_as_json_through_a_pipe(called: Program) -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "why \ud800?"},
    ]
    document = called("tokenize", "--chat", "--json", stdin=json.dumps(messages)).json
    assert [message["role"] for message in document["chat"]["messages"]] == ["user", "assistant", "user"]
    assert document["text"] == "why \ufffd?"
    counted = called("tokenize", "--chat", "--count", stdin=json.dumps(messages))
    assert int(counted.out) == document["count"]
    wrong = called("tokenize", "--chat", stdin='[{"role": "user"}]')
    assert wrong.code == 2
    assert "message 0" in wrong.err
    by_option = called("tokenize", "--user", "hi", "--json").json
    assert by_option["chat"]["messages"] == [{"role": "user", "content": "hi", "count": 1}]
    assert "no chat template" in called("tokenize", "hi", "--chat", "-m", "gpt2").err


def test_lines_of_chats_each_with_its_own_error(called: Program) -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    said = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    lines = "".join(json.dumps({"messages": [message]}) + "\n" for message in (said, image)) + "hi\n"
    ran = called("tokenize", "--chat", "--lines", "--count", stdin=lines)
    first, second, third = map(json.loads, ran.out.splitlines())
    assert first["count"] == third["count"] == int(called("tokenize", "hi", "--chat", "--count").out)
    assert "'image_url'" in second["error"]["message"]
    assert ran.code == 2


def test_a_chat_with_a_model_of_openais(called: Program, tmp_path: Path) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text('[{"type": "function", "function": {"name": "now", "description": "The time."}}]')
    asking = [{"role": "user", "name": "ada", "content": "Hello"}]
    given = ("tokenize", "--chat", "-m", "gpt-4o")
    document = called(*given, "--json", "--tools", str(tools), stdin=json.dumps(asking)).json
    assert_fits(document, "tokenize")
    assert [token["text"] for token in document["tokens"]] == ["user", "ada", "Hello"]
    formula = document["chat"]["formula"]
    # 7 a function, 12 after all of them, and `now:The time` itself.
    assert (formula["unknown"] - formula["tools"], formula["tools"]) == (7, 7 + 12 + 3)
    assert document["count"] == 3 + formula["unknown"]
    assert document["notes"] == [formula["note"]]
    counted = called(*given, "--count", stdin=json.dumps(asking))
    assert (counted.out, "OpenAI documents" in counted.err) == ("10\n", True)
    assert called(*given, "--json", "--count", stdin=json.dumps(asking)).json["formula"]["unknown"] == 7
    assert "by OpenAI's formula" in called(*given, stdin=json.dumps(asking)).out
    refused = called("encode", "--chat", "-m", "gpt-4o", stdin=json.dumps(asking))
    assert refused.code == 2
    assert "ids of a chat" in refused.err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--tools", "x.json"], "says nothing without --chat"),
        (["--template-option", "a=1"], "says nothing without --chat"),
        (["--chat", "--template-option", "a"], "is not NAME=VALUE"),
        (["--chat", "--template-option", "enable_thinking=false"], "has no option enable_thinking"),
        (["--chat", "--tools", "missing.json"], "missing.json"),
    ],
)
def test_what_says_nothing_to_a_chat_is_refused(called: Program, given: list[str], message: str) -> None:
    ran = called("tokenize", "hi", *given)
    assert ran.code in (1, 2)
    assert message in ran.err


def test_a_chat_side_by_side_shows_its_last_message(called: Program) -> None:
    messages = [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Alice gave"}]
    document = called("tokenize", "--chat", "-c", "minilm", "--json", stdin=json.dumps(messages)).json
    assert_fits(document, "tokenize")
    assert (document["text"], document["characters"], document["bytes"]) == ("Alice gave", 10, 10)
    own, other = document["models"]
    assert own["count"] == called("tokenize", "--chat", "--json", stdin=json.dumps(messages)).json["count"]
    assert "characters_per_token" not in own
    assert [token["text"] for token in own["tokens"] if token["start"] is not None] == ["Alice", " gave"]
    assert other["error"] == "minilm has no chat template"


def test_a_chat_is_truncated_with_its_message(called: Program) -> None:
    whole = called("tokenize", "Alice gave Bob her book", "--chat", "--json").json
    cut = called("tokenize", "Alice gave Bob her book", "--chat", "--truncate", str(whole["count"] - 2), "--json").json
    assert len(cut["tokens"]) == cut["count"] == whole["count"] - 2
    assert [token["text"] for token in cut["tokens"] if token.get("message") == 0] == ["Alice", " gave", " Bob"]
    assert cut["chat"]["messages"][0]["count"] == 3
    assert cut["chat"]["template"] == whole["chat"]["template"]


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
    ("arguments", "code", "said"),
    [
        (["hi", "--model", "smollm"], 3, "smollm2"),
        (["hi", "--model", "o200k_bas"], 3, "o200k_base"),
        (["hi", "--ids", "1"], 2, "give one of them"),
        (["--ids", "1", "--compare", "bytes"], 2, "leave out --ids"),
        (["--ids", "49152"], 2, "ids are 0 to 49151"),
        (["hi", "--cost", "cheap"], 2, "is no price"),
        (["hi", "--truncate", "1", "--count"], 2, "leave out one of the two"),
        (["hi", "--truncate", "2", "--chat"], 2, "leaves no room"),
        (["hi", "--side", "start"], 2, "belong to --truncate"),
        (["hi", "--inside-characters"], 2, "belong to --truncate"),
        (["hi", "--user", "hi"], 2, "TEXT and --user were given"),
        (["hi", "--save", "x.npz"], 2, "--save cannot write"),
        (["--file", "/nowhere/x"], 1, "/nowhere/x"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], code: int, said: str) -> None:
    ran = called("tokenize", *arguments)
    assert ran.code == code
    assert ran.out == ""
    assert said in ran.err
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
