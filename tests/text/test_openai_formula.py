"""OpenAI's count of the tokens of a chat, with images: its own examples, and what it cannot count."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from llminspect.errors import UsageError, UserError
from llminspect.text.images import image_size
from llminspect.text.messages import ChatInput, chat_in
from llminspect.text.openai_formula import formula_of
from tests.text.test_chat import user

if TYPE_CHECKING:
    from llminspect.text.prompt import Chat
from tests.text.test_messages import CALL, counted, written

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
    assert "OpenAI documents" in chat.notes[0]
    assert "inside of parameters" not in chat.notes[0]
    with pytest.raises(UsageError, match="ids of a chat"):
        prompt.known_ids()


def test_what_an_estimate_of_tools_leaves_out_is_said() -> None:
    for more in ({"properties": {"x": {"type": "string"}}}, {"items": {"type": "string"}}):
        nested = {"type": "object", "properties": {"place": {"type": "object", **more}}}
        found = counted("gpt-4o", ChatInput(user("hi"), [{"name": "f", "parameters": nested}])).chat
        assert found is not None and found.counted is not None
        assert "inside of parameters" in found.notes[0]


def test_what_openais_formula_does_not_count_is_refused() -> None:
    with pytest.raises(UsageError, match="tool_calls of message 0") as calls:
        counted("gpt-4o", ChatInput([CALL]))
    assert "o200k_harmony" in str(calls.value.hint)
    assert counted("o200k_harmony", ChatInput([*user("hi"), CALL])).count > 0
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
    assert "tiles of 512" in prompt.chat.notes[0]


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
