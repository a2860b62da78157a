"""Messages as people have them: parts, names, calls of tools, tools, switches of the template; OpenAI's count."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from llminspect.analysis.prompt import chat_of, chat_of_json, chat_prompt, template_options
from llminspect.arguments.shared import SourceOptions
from llminspect.errors import UsageError, UserError
from llminspect.opening import standalone
from llminspect.text.images import image_size
from llminspect.text.messages import ChatInput, chat_in, checked_tools, content_of
from llminspect.text.openai_formula import formula_of
from llminspect.text.rendering import JOINED, render_chat, rendered_chat
from tests.text.test_chat import CHATML, tokenizer, user

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.text.prompt import Chat, Prompt

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


# The examples of the cookbook, with the numbers that its text says the API gave.
COOKBOOK = [
    (
        "system",
        None,
        "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    ),
    ("system", "example_user", "New synergies will help drive top-line growth."),
    ("system", "example_assistant", "Things working well together will increase revenue."),
    (
        "system",
        "example_user",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    ),
    ("system", "example_assistant", "Let's talk later when we're less busy about how to do better."),
    ("user", None, "This late pivot means we don't have time to boil the ocean for the client deliverable."),
]
WEATHER: dict[str, Any] = {
    "name": "get_current_weather",
    "description": "Get the current weather in a given location",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
            "unit": {
                "type": "string",
                "description": "The unit of temperature to return",
                "enum": ["celsius", "fahrenheit"],
            },
        },
        "required": ["location"],
    },
}


def counted(model: str, chat: ChatInput) -> Prompt:
    made = standalone(model)
    assert made is not None
    return chat_prompt(chat, made, None)


@pytest.mark.parametrize(
    ("model", "count", "with_tools"),
    [("gpt-3.5-turbo", 129, 105), ("gpt-3.5-turbo-0301", 127, None), ("gpt-4", 129, 105), ("gpt-4o", 124, 101)],
)
def test_openais_formula(model: str, count: int, with_tools: int | None) -> None:
    messages = [
        {"role": role, "content": content} | ({} if name is None else {"name": name})
        for role, name, content in COOKBOOK
    ]
    prompt = counted(model, ChatInput(messages))
    assert prompt.count == count
    asking = [
        {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ]
    with_functions = counted(model, ChatInput(asking, [{"type": "function", "function": WEATHER}]))
    assert with_tools is None or with_functions.count == with_tools
    chat: Chat | None = with_functions.chat
    assert chat is not None
    assert chat.counted is not None
    assert "OpenAI documents" in chat.counted.note
    with pytest.raises(UsageError, match="ids of a chat"):
        prompt.known_ids()


def test_what_openais_formula_does_not_count_is_refused() -> None:
    with pytest.raises(UsageError, match="tool_calls of message 0"):
        counted("gpt-4o", ChatInput([CALL]))
    with pytest.raises(UsageError, match="no template"):
        counted("gpt-4o", ChatInput(user("hi"), None, {"a": 1}))
    for name in ("davinci", "text-embedding-3-small", "words"):
        with pytest.raises(UserError, match="no chat template"):
            counted(name, ChatInput(user("hi")))
    formula = formula_of("o3-mini", "o200k_base")
    assert formula is not None
    assert "documents none for o3-mini" in formula.note(nested=False)


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")


JPEG = b"\xff\xd8\xff\xe0\0\x06JFIF\xff\xff\xc4\0\x04ab\xff\xc2\0\x11\x08\0\x40\0\x80"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png(1024, 700), (1024, 700)),
        (JPEG, (128, 64)),
        (b"GIF89a\x80\0\x40\0", (128, 64)),
        (b"RIFF....WEBPVP8 .......\x9d\x01\x2b\x80\0\x40\0", None),
        (b"RIFF....WEBPVP8 .......\x9d\x01\x2a\x80\x40\x40\x80", (128, 64)),
        (b"RIFF....WEBPVP8L....\x2f" + (127 | 63 << 14).to_bytes(4, "little"), (128, 64)),
        (b"RIFF....WEBPVP8X........\x7f\0\0\x3f\0\0", (128, 64)),
        (b"BM", None),
        (JPEG[:20], None),
        (png(0, 5), None),
    ],
)
def test_the_size_of_an_image_is_in_its_header(data: bytes, size: tuple[int, int] | None) -> None:
    assert image_size(data) == size


def seen(data: bytes | str, **more: str) -> ChatInput:
    url = data if isinstance(data, str) else "data:image/png;base64," + base64.b64encode(data).decode()
    image = {"type": "image_url", "image_url": {"url": url, **more}}
    return ChatInput(chat_messages([{"type": "text", "text": "Hello"}, image]))


def chat_messages(content: list[dict[str, Any]]) -> Any:
    made = chat_in([{"role": "user", "content": content}])
    assert made is not None
    return made.messages


@pytest.mark.parametrize(
    ("model", "image", "detail", "more"),
    [  # The first three are OpenAI's own examples, those of 128 by 64 were measured by their users.
        ("gpt-4o", png(1024, 1024), "high", 765),
        ("gpt-4o", png(2048, 4096), "high", 1105),
        ("gpt-4o", png(4096, 8192), "low", 85),
        ("gpt-4o-2024-08-06", JPEG, "high", 255),
        ("gpt-4o-mini", JPEG, "high", 8500),
        ("gpt-4o-mini", JPEG, "low", 2833),
        ("o3", JPEG, "auto", 225),
        ("ft:gpt-4o:acme::1", "https://example.org/a.png", "low", 85),
    ],
)
def test_images_count_by_openais_tiles(model: str, image: bytes | str, detail: str, more: int) -> None:
    prompt = counted(model, seen(image, detail=detail))
    assert prompt.count == counted(model, ChatInput(user("Hello"))).count + more
    assert prompt.chat is not None
    assert prompt.chat.counted is not None
    assert prompt.chat.counted.images == more
    assert "tiles of 512" in prompt.chat.counted.note


@pytest.mark.parametrize(
    ("model", "chat", "message"),
    [
        ("gpt-4o", seen("https://example.org/a.png"), "is at an address"),
        ("gpt-4o", seen(b"BM not one of them"), "does not say its size"),
        ("gpt-4o", seen(JPEG, detail="medium"), "has the detail 'medium'"),
        ("gpt-4o", seen("x", detail="low"), "no object of a url and a detail"),
        ("gpt-4o", seen("data:text/plain;base64,QQ=="), "is no image in base64"),
        ("gpt-4.1-mini", seen(JPEG), "how gpt-4.1-mini counts it"),
        ("o200k_base", seen(JPEG), "how o200k_base counts it"),
        ("gpt-4o", ChatInput([{"role": "banana", "content": "x"}]), "no role 'banana'"),
    ],
)
def test_what_the_formula_cannot_count_is_refused_by_name(model: str, chat: ChatInput, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        counted(model, chat)
    with pytest.raises(UsageError, match="holds 'image_url', and only texts"):
        written(seen(JPEG))


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
