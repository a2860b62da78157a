"""What people give as a chat: messages with content in parts, names, calls of tools and what these gave; the tools.

The shapes are those of OpenAI's chat API, which templates of other models take as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.text.tokenizer import utf8

Message = Mapping[str, Any]
"""`{"role": "user", "content": "…"}`, and what else a message may hold."""

_WORD = re.compile(r"[A-Za-z][\w-]{0,31}")
REASONING = ("reasoning_content", "thinking", "reasoning")
"""What the assistant thought, under the names that people and templates use."""
KNOWN = frozenset(("role", "content", "name", "tool_calls", "tool_call_id", *REASONING))
_EMPTY = ("refusal", "annotations", "audio", "function_call")
"""What answers of OpenAI's API hold as well, and which says nothing where it is empty."""
MESSAGES = '[{"role": "user", "content": "Hello"}]'
BETWEEN = "\n"
"""Between the parts of a content where it is one text, as llama.cpp and vLLM have it."""
_TEXTS = ("text", "input_text", "output_text")
"""The types of a part of a content that is text."""
_IMAGES = ("image_url", "input_image")
_ABOUT_THE_ANSWER = frozenset(
    "model temperature top_p n max_tokens max_completion_tokens stream stream_options seed stop presence_penalty "
    "frequency_penalty logprobs top_logprobs user metadata store tool_choice parallel_tool_calls service_tier".split()
)
"""What a request holds beside its messages and tools that no template writes."""


@dataclass(frozen=True)
class ChatInput:
    """A conversation, the functions that the assistant may call, and what else its template is given."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_texts(self, change: Callable[[Leaf], str]) -> ChatInput:
        """The same with every text of somebody else replaced."""
        leaves = iter([change(leaf) for leaf in self.leaves()])

        def of(value: Any, key: str) -> Any:
            if isinstance(value, str):
                return value if _steers(key, value) else next(leaves)
            if isinstance(value, Mapping):
                return {name: of(entry, name) for name, entry in value.items()}
            return [of(entry, "") for entry in value] if isinstance(value, list) else value

        messages = [of(message, "") for message in self.messages]
        return replace(self, messages=messages, tools=None if self.tools is None else of(list(self.tools), ""))

    @property
    def in_parts(self) -> bool:
        return any(isinstance(message.get("content"), list) for message in self.messages)

    @property
    def has_null(self) -> bool:
        return any("content" in message and message["content"] is None for message in self.messages)

    def without_null(self) -> ChatInput:
        """The same with an empty text as content where it is null, which older templates want."""
        filled = [{**each, "content": ""} if each.get("content", "") is None else each for each in self.messages]
        return replace(self, messages=filled)

    def with_plain_contents(self) -> ChatInput:
        """The same with contents in parts as one text, which older templates want."""
        plain = [{**each, "content": content_of(each)} if "content" in each else each for each in self.messages]
        return replace(self, messages=plain)

    def leaves(self) -> Iterator[Leaf]:
        """Every text that somebody else wrote: contents, arguments, what tools gave, descriptions of tools."""
        for number, message in enumerate(self.messages):
            offset = 0
            for path, text in _texts(message, ()):
                content = path[:1] == ("content",)
                yield Leaf(text, number, offset if content else None)
                offset += len(utf8(text + BETWEEN)) if content else 0
        for _, text in _texts(list(self.tools or ()), ()):
            yield Leaf(text, None, None)

    def names(self) -> Iterator[str]:
        """The keys of all objects, which templates may write, and which cannot be told from what they write."""
        for value in (list(self.messages), list(self.tools or ())):
            yield from _keys(value)


@dataclass(frozen=True)
class Leaf:
    """A text inside a chat: of which message (None: of a tool), and where in its content it begins, in bytes (None:
    it is no content)."""

    text: str
    message: int | None
    start: int | None


def _steers(name: str, text: str) -> bool:
    """Whether it is one of the words by which a template decides what to write."""
    return name in ("role", "type") and _WORD.fullmatch(text) is not None


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        if not _steers(path[-1] if path else "", value):
            yield path, value
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _texts(entry, (*path, name))
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry, (*path, ""))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _keys(entry)


def content_of(message: Message) -> str:
    """The text of a message: its content, or the text parts of it, a line each."""
    return BETWEEN.join(texts_of(message))


def texts_of(message: Message) -> list[str]:
    """The parts of a content that are text; a plain content is one."""
    content = message.get("content")
    return [part["text"] for part in content if "text" in part] if isinstance(content, list) else [content or ""]


def images_of(message: Message) -> list[Mapping[str, Any]]:
    """The parts of a content that are images."""
    content = message.get("content")
    return [part for part in content if part["type"] in _IMAGES] if isinstance(content, list) else []


def only_texts(number: int, kind: str) -> UsageError:
    """What is said of a part of a content that nothing here can read."""
    what = f"message {number} holds {kind[:40]!r}, and only texts can be read"
    return UsageError(what, "leave it out of the message")


def checked_messages(value: object) -> list[Message]:
    """The messages of a JSON document, without what is null in them beside a content. Raises UsageError for what is
    none.

    The role goes into the template, where special tokens count, so it must be a plain word.

    >>> checked_messages([{"role": "user", "content": [{"type": "text", "text": "Hello"}], "name": None}])
    [{'role': 'user', 'content': [{'type': 'text', 'text': 'Hello'}]}]
    """
    if not isinstance(value, list) or not value:
        raise UsageError("a chat is a list of messages", MESSAGES)
    return [_checked(number, message) for number, message in enumerate(value)]


def _checked(number: int, message: object) -> Message:
    if not isinstance(message, Mapping) or not all(isinstance(name, str) for name in message):
        raise UsageError(f"message {number} is {_shown(message)}, not an object with a role and a content", MESSAGES)
    given = {name: entry for name, entry in message.items() if entry is not None and (entry or name not in _EMPTY)}
    role, roles = given.get("role"), "system, user, assistant or tool"
    if role is None:
        raise UsageError(f"message {number} has no role", f'add "role": {roles}')
    if not isinstance(role, str) or not _WORD.fullmatch(role):
        raise UsageError(f"the role of message {number} is {_shown(role)}, which is not a role", roles)
    content = _checked_content(number, given.get("content"))
    if content is not None:
        given["content"] = content
    elif given.keys() & {"tool_calls", *REASONING}:
        given |= {"content": None} if "content" in message else {}
    else:
        raise UsageError(f"message {number} has no content", f'{{"role": "{role}", "content": "Hello"}}')
    for name in ("name", "tool_call_id", *REASONING):
        if not isinstance(given.get(name, ""), str):
            raise UsageError(f"the {name} of message {number} is not a text")
    for call in _objects(given.get("tool_calls", []), f"tool_calls of message {number}"):
        function = call.get("function")
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise UsageError(
                f"a tool call of message {number} names no function", '{"function": {"name": "…", "arguments": {}}}'
            )
    return given


def _checked_content(number: int, content: object) -> str | list[Mapping[str, Any]] | None:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise UsageError(
            f"the content of message {number} is {_shown(content)}, not a text", "a text, or a list of parts of it"
        )
    parts = _objects(content, f"content of message {number}")
    for part in parts:
        kind = part.get("type", "a part without a type")
        if kind in _IMAGES and "text" not in part:
            continue
        if kind not in _TEXTS:
            raise only_texts(number, str(kind))
        if not isinstance(part.get("text"), str) or part.keys() != {"type", "text"}:
            raise UsageError(f"a part of message {number} is not an object of its type and its text")
    return parts


def _objects(value: object, what: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise UsageError(f"{what}: it is {_shown(value)}, not a list of objects")
    wrong = next((entry for entry in value if not isinstance(entry, Mapping)), _objects)
    if wrong is not _objects:
        raise UsageError(f"{what}: in the list is {_shown(wrong)}, which is no object")
    return value


def _shown(value: object) -> str:
    """A JSON value in an error, cut where it is long."""
    written = json.dumps(value, ensure_ascii=False)
    return written if len(written) <= 40 else f"{written[:39]}…"


def checked_tools(value: object) -> list[Mapping[str, Any]]:
    """The functions of a JSON document, as OpenAI's API takes them. Raises UsageError for what is none.

    >>> checked_tools([{"type": "function", "function": {"name": "now"}}])
    [{'type': 'function', 'function': {'name': 'now'}}]
    """
    hint = '[{"type": "function", "function": {"name": "…", "parameters": {…}}}]'
    if not isinstance(value, list) or not value:
        raise UsageError("the tools are not a list of functions", hint)
    for number, tool in enumerate(value):
        inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise UsageError(f"tool {number} is not a function with a name", hint)
    return value


def chat_in(value: object) -> ChatInput | None:
    """The chat of a JSON document: a list of messages, one message, or a request with its messages and tools; None for
    a number, a truth value and a text, which are what they look like.

    Raises UsageError for all else: a list or an object that is no chat would pass for the user's text unseen.

    >>> chat_in({"role": "user", "content": "Hello"}).messages
    [{'role': 'user', 'content': 'Hello'}]
    """
    if isinstance(value, list):
        return ChatInput(checked_messages(value))
    if value is not None and not isinstance(value, Mapping):
        return None
    if value is None or "messages" not in value:
        if value is not None and value.keys() & {"role", "content"}:
            return ChatInput([_checked(0, value)])
        raise UsageError(
            f"the JSON is {_shown(value)}, which holds no messages",
            f"{MESSAGES}; a text that looks like it: --user TEXT",
        )
    unknown = value.keys() - {"messages", "tools"} - _ABOUT_THE_ANSWER
    if unknown:
        raise UsageError(
            f"{sorted(unknown)[0]!r} beside the messages is not understood", 'leave it out: {"messages": […]}'
        )
    tools = value.get("tools")
    return ChatInput(checked_messages(value["messages"]), checked_tools(tools) if tools else None)
