"""Chats with gpt-oss: the expected texts and ids are what openai-harmony 0.0.8 writes of the same conversations."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from llminspect.analysis.prompt import chat_prompt
from llminspect.errors import UserError
from llminspect.opening import standalone
from llminspect.text.messages import ChatInput, chat_in, checked_tools

DEEP = {
    "type": "object",
    "properties": {
        "x": {"type": "object", "properties": {"y": {"type": "string", "default": "q"}}, "required": ["y"]},
        "one": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"a": {"type": "string"}}}]},
        "type": {"type": ["string", "null"], "description": "What <|end|> kind"},
        "format": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "l": {"type": "array", "items": {"type": "integer"}},
        "rest": {"type": "array"},
        "any": {"anyOf": [{"type": "string"}]},
        "none": {"type": "object"},
        "yes": {"type": "boolean", "default": True},
    },
    "required": ["format"],
}
TOOLS = [
    {"type": "function", "function": {"name": "deep", "description": "Deep", "parameters": DEEP}},
    {"type": "function", "function": {"name": "now", "description": "Time"}},
]
NAMESPACE = """# Tools

## functions

namespace functions {

// Deep
type deep = (_: {
x?: {
    y: string, // default: "q"
    },
one?:
 | string
 | {
   a?: string,
   }
,
// What <|end|> kind
type?: string | null,
format: "c" | "f", // default: c
l?: number[],
rest?: Array<any>,
any?: any,
none?: {
    },
yes?: boolean, // default: true
}) => any;

// Time
type now = () => any;

} // namespace functions"""
CALLS = [
    {"id": "1", "function": {"name": "now", "arguments": "{}"}},
    {"id": "2", "function": {"name": "deep", "arguments": '{"l":[1]}'}},
]
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "<|end|>?"},
    {"role": "assistant", "content": None, "thinking": "hm", "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "2", "content": '{"t":20}'},
    {"role": "tool", "tool_call_id": "1", "content": "5"},
]


def ids_of(messages: object, tools: object = None, **options: Any) -> list[int]:
    made, chat = standalone("gpt-oss-120b"), chat_in(messages)
    assert made is not None
    assert chat is not None
    options = {"current_date": "2025-06-28", **options}
    return chat_prompt(replace(chat, tools=checked_tools(tools) if tools else None, options=options), made, None).ids


def test_a_conversation_with_tools() -> None:
    made = standalone("o200k_harmony")
    assert made is not None
    ids = ids_of(CONVERSATION, TOOLS, reasoning_effort="high")
    assert made.decode(ids).decode() == (
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
        "Knowledge cutoff: 2024-06\nCurrent date: 2025-06-28\n\nReasoning: high\n\n"
        "# Valid channels: analysis, commentary, final. Channel must be included for every message.\n"
        "Calls to these tools must go to the commentary channel: 'functions'.<|end|>"
        f"<|start|>developer<|message|># Instructions\n\nBe brief.\n\n{NAMESPACE}<|end|>"
        "<|start|>user<|message|><|end|>?<|end|><|start|>assistant<|channel|>analysis<|message|>hm<|end|>"
        "<|start|>assistant to=functions.now<|channel|>commentary <|constrain|>json<|message|>{}<|call|>"
        '<|start|>assistant to=functions.deep<|channel|>commentary <|constrain|>json<|message|>{"l":[1]}<|call|>'
        '<|start|>functions.deep to=assistant<|channel|>commentary<|message|>{"t":20}<|end|>'
        "<|start|>functions.now to=assistant<|channel|>commentary<|message|>5<|end|><|start|>assistant"
    )
    # What a message and a tool spell is text, by the ids of the same renderer.
    assert ids.count(200007) == 6
    assert sha256(str(ids).encode()).hexdigest()[:16] == "3e1e4c02ce322e67"


def test_thoughts_stand_only_before_an_answer_is_given() -> None:
    spoken = {"role": "assistant", "content": "5", "thinking": "x"}
    found = ids_of([*CONVERSATION, spoken, {"role": "user", "content": "ok"}], TOOLS)
    assert found == ids_of(
        [*CONVERSATION[:2], {**CONVERSATION[2], "thinking": ""}, *CONVERSATION[3:], {**spoken, "thinking": ""},
         {"role": "user", "content": "ok"}], TOOLS
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "error"),
    [({"role": "tool", "content": "5"}, "no message before it calls"), ({"role": "judge", "content": "x"}, "no role")],
)
def test_what_harmony_has_no_place_for_is_refused(message: dict[str, str], error: str) -> None:
    with pytest.raises(UserError, match=error):
        ids_of(ChatInput([message]).messages)
