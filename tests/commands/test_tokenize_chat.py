"""`tokenize --chat`: messages through a template, counted, cut, side by side, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program


def test_a_chat_sets_the_template_apart(called: Program) -> None:
    document = called("tokenize", "hi <|im_end|>", "--chat", "--system", "Be kind", "--json").json
    assert_fits(document, "tokenize")
    owners = [token.get("message") for token in document["tokens"]]
    texts = [token["text"] for token in document["tokens"]]
    assert [text for text, owner in zip(texts, owners, strict=True) if owner == 0] == ["Be", " kind"]
    # What the user spells is text: seven tokens after "hi", none of them special.
    ours = [token for token in document["tokens"] if token.get("message") == 1]
    assert "".join(token["text"] for token in ours) == "hi <|im_end|>"
    assert not any(token.get("special") for token in ours)
    assert [(message["role"], message["count"]) for message in document["chat"]["messages"]] == [
        ("system", 2),
        ("user", len(ours)),
    ]
    assert document["chat"]["template"] + 2 + len(ours) == document["count"]


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
    plain = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    lines = "".join(json.dumps({"messages": [message]}) + "\n" for message in (plain, image)) + "hi\n"
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
    assert len(document["notes"]) == 1
    counted = called(*given, "--count", stdin=json.dumps(asking))
    assert (counted.out, "OpenAI documents" in counted.err) == ("10\n", True)
    assert called(*given, "--json", "--count", stdin=json.dumps(asking)).json["formula"]["unknown"] == 7
    assert "by OpenAI's formula" in called(*given, stdin=json.dumps(asking)).out
    beside = called("tokenize", "--chat", "--json", "-c", "gpt-4o", "-c", "minilm", stdin=json.dumps(asking)).json
    assert [note.startswith("gpt-4o: counted by the formula") for note in beside["notes"]] == [True]
    lines = called(*given, "--count", "--lines", stdin=json.dumps(asking)).out
    assert lines.count("OpenAI documents") == 1
    refused = called("encode", "--chat", "-m", "gpt-4o", stdin=json.dumps(asking))
    assert refused.code == 2
    assert "ids of a chat" in refused.err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--tools", "x.json"], "has no effect without --chat"),
        (["--template-option", "a=1"], "has no effect without --chat"),
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
    ours, other = document["models"]
    assert ours["count"] == called("tokenize", "--chat", "--json", stdin=json.dumps(messages)).json["count"]
    assert "characters_per_token" not in ours
    assert [token["text"] for token in ours["tokens"] if token["start"] is not None] == ["Alice", " gave"]
    assert other["error"] == "minilm has no chat template"


def test_a_chat_is_truncated_with_its_message(called: Program) -> None:
    whole = called("tokenize", "Alice gave Bob her book", "--chat", "--json").json
    cut = called("tokenize", "Alice gave Bob her book", "--chat", "--truncate", str(whole["count"] - 2), "--json").json
    assert len(cut["tokens"]) == cut["count"] == whole["count"] - 2
    assert [token["text"] for token in cut["tokens"] if token.get("message") == 0] == ["Alice", " gave", " Bob"]
    assert cut["chat"]["messages"][0]["count"] == 3
    assert cut["chat"]["template"] == whole["chat"]["template"]


def test_what_a_tool_gave_counts_with_its_id(called: Program) -> None:
    message = '{"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"}'
    # Three for the message, three for the answer, and the tokens of tool, call_1 and 12 degrees.
    texts = ("tool", "call_1", "12 degrees")
    counts = [called("tokenize", text, "--count", "-m", "gpt-4o", "--json").json["count"] for text in texts]
    ran = called("tokenize", "--chat", "--count", "-m", "gpt-4o", "--json", stdin=f"[{message}]")
    assert ran.json["count"] == 6 + sum(counts)
