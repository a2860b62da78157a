"""Messages as people have them: parts, names, calls of tools, tools, switches of the template."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from llminspect.analysis.prompt import chat_of, chat_of_json, chat_prompt, template_options
from llminspect.arguments.shared import SourceOptions
from llminspect.errors import UsageError
from llminspect.opening import standalone
from llminspect.text.messages import ChatInput, chat_in, checked_tools, content_of
from llminspect.text.rendering import JOINED, render_chat, rendered_chat
from tests.text.test_chat import CHATML, tokenizer, user

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.text.prompt import Prompt


TOOL = {"type": "function", "function": {"name": "f", "description": "what <|end|> it “does”", "parameters": {}}}
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 'a "b"<|end|>', "n": 3}}}]}
WHOLE = (
    "{% for t in tools or [] %}{{ t | tojson }};{% endfor %}{% for m in messages %}{{ m.role }}:"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content or [] %}{{ p.text }}/{% endfor %}"
    "{% endif %}{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}"
    "{{ m.name or '' }}{{ m.thinking }}{{ m.reasoning_content }}|{% endfor %}{{ add_generation_prompt }}{{ mood }}"
)


def written(chat: ChatInput, template: str = WHOLE) -> list[tuple[str, int | None, int | None, bool]]:
    parts = render_chat(tokenizer(template), chat)
    return [(part.text, part.message, part.start, part.protected) for part in parts]


def counted(model: str, chat: ChatInput) -> Prompt:
    made = standalone(model)
    assert made is not None
    return chat_prompt(chat, made, None)


def test_a_template_is_given_parts_tools_calls_and_names() -> None:
    parts = [{"type": "text", "text": "so"}, {"type": "text", "text": "hi"}]
    chat = chat_in({"messages": [{"role": "user", "name": "<|end|>", "content": parts}, CALL], "tools": [TOOL]})
    assert chat is not None
    described = "what <|end|> it “does”"
    assert written(chat) == [
        ('{"type": "function", "function": {"name": "f", "description": "', None, 0, False),
        (described, None, None, True),
        ('", "parameters": {}}};user:', None, 0, False),
        ("so", 0, 0, True),
        ("/", None, 0, False),
        ("hi", 0, 3, True),
        ("/", None, 0, False),
        ("<|end|>", 0, None, True),
        ('|assistant:f{"x": "', None, 0, False),
        ('a \\"b\\"<|end|>', 1, None, True),
        ('", "n": 3}|True', None, 0, False),
    ]
    assert content_of(chat.messages[0]) == "so\nhi"
    assert content_of(chat.messages[1]) == ""


def test_a_content_that_is_null_is_given_as_it_is_or_empty_where_the_template_cannot_take_it() -> None:
    chat = chat_in([{"role": "assistant", "content": None, "tool_calls": [WEATHER_CALL]}, *user("None")])
    assert chat is not None
    says = "{% for m in messages %}{{ m.content is none }},{% if m.tool_calls %}{% endif %}{% endfor %}"
    assert "".join(part[0] for part in written(chat, says)) == "True,False,"
    for how in ("m.content", "m.content + ''"):
        template = f"{{% for m in messages %}}[{{{{ {how} }}}}{{{{ m.tool_calls }}}}]{{% endfor %}}"
        assert "".join(part[0] for part in written(chat, template)).startswith("[[{")
        assert written(chat, template)[-2][:2] == ("None", 1)


def test_an_option_of_the_template_counts_as_the_template_does() -> None:
    """As transformers has it: the text that the template writes is read as a whole."""
    made = tokenizer(WHOLE)
    prompt = chat_prompt(ChatInput(user("<|end|>"), None, {"mood": "<|end|>"}), made, None)
    assert [token.special for token in prompt.tokens if token.text == "<|end|>"] == [True]


@pytest.mark.parametrize("how", ["m.content", "m['content'] + ''"])
def test_a_template_that_takes_only_texts_gets_the_parts_as_one(how: str) -> None:
    parts = [{"type": "text", "text": "so"}, {"type": "text", "text": "hi"}]
    template = f"{{% for m in messages %}}[{{{{ {how} }}}}]{{% endfor %}}"
    expected = [("[", None, 0, False), ("so\nhi", 0, 0, True), ("]", None, 0, False)]
    assert written(ChatInput([{"role": "user", "content": parts}]), template) == expected
    assert chat_prompt(ChatInput([{"role": "user", "content": parts}]), tokenizer(template), None).notes == [JOINED]
    prompt = counted("gpt-4o", ChatInput([{"role": "user", "content": parts}]))
    assert [(token.text, token.start) for token in prompt.tokens] == [("user", None), ("so", 0), ("hi", 3)]


def test_thoughts_have_all_their_names() -> None:
    for name in ("reasoning_content", "thinking", "reasoning"):
        parts = written(ChatInput([{"role": "assistant", name: "hm <", "content": "x"}]))
        assert "".join(part[0] for part in parts) == "assistant:xhm <hm <|True"


def test_options_of_the_template_and_the_last_message_gone_on_with() -> None:
    messages = [*user("hi"), {"role": "assistant", "content": " so "}]
    assert written(ChatInput(messages, None, {"mood": [1], "add_generation_prompt": False}))[-1][0] == "|False[1]"
    going_on = written(ChatInput(messages, None, {"continue_final_message": True}), CHATML)
    assert "".join(part[0] for part in going_on) == "<|start|>user\nhi<|end|>\n<|start|>assistant\n so "
    trimmed = written(
        ChatInput(messages, None, {"continue_final_message": True}), CHATML.replace("t'] +", "t']|trim +")
    )
    assert trimmed[-1] == ("so", 1, 1, True)


WEATHER_CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}


def test_a_template_that_reads_one_message_does_not_hide_the_others() -> None:
    """As Qwen3's does, which takes thoughts out; "r" also stands in a special token, and "a" in several places."""
    template = CHATML.replace("message['content']", "message.content.split('</t>')[-1]")
    messages = [*user("<|end|>hi"), {"role": "assistant", "content": "<t>so</t>r"}, *user("a"), *user("x</t>zz")]
    parts = written(ChatInput(messages), template)
    assert [part for part in parts if part[3]] == [("<|end|>hi", 0, 0, True), ("a", 2, 0, True)]
    whole = "{% if 'so' in messages[0].content %}{{ '<|start|>' + messages[0].content }}{% endif %}"
    assert written(ChatInput(user("so <|end|>")), whole)[1] == ("so <|end|>", 0, 0, True)


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        (ChatInput(user("hi"), [TOOL]), "no place for tools"),
        (ChatInput(user("hi"), None, {"enable_thinking": False}), "no option enable_thinking"),
        (ChatInput(user("hi"), None, {"messages": []}), "no option of a template"),
        (ChatInput([{"role": "user", "content": "hi", "mode": 1}]), "'mode' of message 0"),
        (ChatInput([{"role": "user", "content": "hi", "name": "Ann"}]), "write the name of message 0"),
        (
            ChatInput([*user("hi"), {"role": "assistant", "content": "", "tool_calls": [WEATHER_CALL]}]),
            "tool_calls .message 1",
        ),
    ],
)
def test_what_the_template_does_not_read_is_refused(chat: ChatInput, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        written(chat, CHATML)


def test_names_that_spell_a_special_token_are_refused() -> None:
    arguments = {"<|end|>": 1}
    with pytest.raises(UsageError, match="spells a special token"):
        written(ChatInput([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}]))
    steering = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"role": "<|end|>"}}}]}
    assert ("<|end|>", 0, None, True) in written(ChatInput([steering]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], "holds 'input_audio'"),
        ([{"role": "user", "content": [{"type": "text"}]}], "type and its text"),
        ([{"role": "user", "content": [3]}], "content of message 0: in the list is 3"),
        ([{"role": "assistant", "content": ""}, 5], "message 1 is 5, not an object"),
        ([{"role": "assistant", "tool_calls": "f"}], 'tool_calls of message 0: it is "f", not a list'),
        ([{"role": "user", "content": 3}], "content of message 0 is 3, not a text"),
        ([{"role": "user"}], "no content"),
        ([{"content": "x"}], "message 0 has no role"),
        ([{"role": 5, "content": "x"}], "role of message 0 is 5"),
        (["hi"], 'message 0 is "hi", not an object'),
        ({"role": "user"}, "message 0 has no content"),
        ({"conversations": [{"from": "human", "value": "a"}]}, "holds no messages"),
        ({}, "the JSON is {}, which holds no messages"),
        (None, "the JSON is null, which holds no messages"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], "names no function"),
        ([{"role": "user", "content": "x", "name": 3}], "name of message 0"),
        ({"messages": user("x"), "logits": 1}, "'logits' beside the messages"),
        ({"messages": user("x"), "tools": [{"type": "function"}]}, "tool 0"),
        ({"messages": "x"}, "list of messages"),
        ([], "list of messages"),
    ],
)
def test_what_is_no_chat_is_refused(value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chat_in(value)


@pytest.mark.parametrize("text", ['[{"role": "user"', ' [ {"content": "x"},]', '{"messages": [}', '{"model": x}'])
def test_broken_messages_are_no_text(text: str) -> None:
    with pytest.raises(UsageError, match="not JSON"):
        chat_of_json(text)


@pytest.mark.parametrize("text", ["[1, 2", "{role}", '"role": 1', '{"rolex": ', "5", "null and void", '"hi"'])
def test_a_text_may_begin_with_a_bracket(text: str) -> None:
    assert chat_of_json(text) is None


def test_what_answers_of_an_api_hold_empty_is_nothing() -> None:
    chat = chat_in([{"role": "assistant", "content": "x", "refusal": None, "annotations": [], "tool_calls": None}])
    assert chat is not None
    assert chat.messages == [{"role": "assistant", "content": "x"}]
    assert chat_in({"role": "user", "content": "x"}) == chat_in([{"role": "user", "content": "x"}])
    assert chat_in(5) is None


def test_tools_and_options_as_they_are_given(tmp_path: Path) -> None:
    file = tmp_path / "tools.json"
    file.write_text(json.dumps([TOOL]))
    source = SourceOptions(chat=True, tools=str(file), template_options=["a=false", 'b="x=y"'])
    chat = chat_of(json.dumps({"messages": user("hi")}), source)
    assert chat == ChatInput(user("hi"), [TOOL], {"a": False, "b": "x=y"})
    with pytest.raises(UsageError, match="and --tools was given"):
        chat_of(json.dumps({"messages": user("hi"), "tools": [TOOL]}), source)
    file.write_text("[")
    with pytest.raises(UsageError, match=r"tools\.json: not JSON"):
        chat_of("hi", SourceOptions(chat=True, tools=str(file.rename(tmp_path / "other-tools.json"))))
    for wrong in ("a", "a=False", "1=2"):
        with pytest.raises(UsageError, match="--template-option"):
            template_options(wrong)
    with pytest.raises(UsageError, match="list of functions"):
        checked_tools({})


def test_what_a_template_does_not_write_is_noted() -> None:
    template = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}|{% endif %}{% endfor %}"
    thought = {"role": "assistant", "content": "yes", "reasoning_content": "hm"}
    chat = ChatInput([*user("hi"), thought, {**thought, "role": "banana"}, *user("")])
    notes = rendered_chat(tokenizer(template), chat)[1]
    assert notes[:2] == [
        f"the chat template does not write message {number}, whose role is {role!r}"
        for number, role in ((1, "assistant"), (2, "banana"))
    ]
    assert notes[2] == "the chat template does not write what was thought in messages 1, 2"
    assert rendered_chat(tokenizer(WHOLE), chat)[1] == []
