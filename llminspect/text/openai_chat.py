"""A chat with one of OpenAI's models: the tokens of its texts, and how many more its formula counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llminspect.errors import UsageError, UserError
from llminspect.text.messages import BETWEEN, ChatInput, Message, images_of, texts_of
from llminspect.text.openai_formula import SOURCE, ChatCount, ChatFormula
from llminspect.text.prompt import Chat, ChatToken
from llminspect.text.tokenizer import Tokenizer, utf8

_COUNTED = ("role", "name", "content", "tool_call_id")
"""The formula counts every text of a message. What calls of tools count, it does not say, and what others measured does
not agree (docs/decisions.md)."""
_HINTS = {"tool_calls": "leave them out, or count with -m o200k_harmony, whose chats OpenAI publishes"}
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def openai_chat(tokenizer: Tokenizer, chat: ChatInput) -> Chat:
    """The tokens of the roles, names and contents; the rest of the count is in `counted`.

    Raises UserError for a tokenizer of no such model, UsageError for what the formula does not count.
    """
    formula = tokenizer.chat_formula
    if formula is None:
        raise UserError(
            f"{tokenizer.name} has no chat template, and OpenAI documents no count for it",
            "leave out --chat, or name a model made for chat",
        )
    if chat.options:
        raise UsageError(f"{tokenizer.name} has no template, so --template-option has no effect", "leave it out")
    items: list[ChatToken] = []
    for number, message in enumerate(chat.messages):
        items += _tokens(tokenizer, number, message)
    names = sum("name" in message for message in chat.messages)
    unknown = formula.per_message * len(chat.messages) + formula.per_name * names + formula.reply
    tools = _tools(tokenizer, formula, chat.tools) if chat.tools else None
    images = _images(formula, chat)
    nested = any("properties" in entry or "items" in entry for tool in chat.tools or () for _, entry in _inside(tool))
    note = formula.note(nested, images is not None)
    numbers = formula.per_message, formula.per_name, formula.reply
    unknown += (tools or 0) + (images or 0)
    return Chat(chat, items, ChatCount(SOURCE, *numbers, unknown, tools, images), (note,))


def _images(formula: ChatFormula, chat: ChatInput) -> int | None:
    from llminspect.text.images import image_tokens

    each = [image_tokens(formula, part, i) for i, message in enumerate(chat.messages) for part in images_of(message)]
    return sum(each) if each else None


def _tokens(tokenizer: Tokenizer, number: int, message: Message) -> Iterator[ChatToken]:
    if message["role"] not in _ROLES:
        raise UsageError(f"OpenAI's models know no role {message['role']!r} (message {number})", ", ".join(_ROLES))
    for name in message:
        if name not in _COUNTED:
            what = f"OpenAI's formula does not say how {name} of message {number} counts"
            raise UsageError(what, _HINTS.get(name, f"leave out {name}"))
        at = 0
        for text in texts_of(message) if name == "content" else [message[name]]:
            for token in tokenizer.encode(text):
                if name == "content" and token.start is not None and token.end is not None:
                    yield ChatToken(replace(token, start=token.start + at, end=token.end + at), number)
                else:
                    yield ChatToken(replace(token, start=None, end=None), None)
            at += len(utf8(text + BETWEEN))


def _tools(tokenizer: Tokenizer, formula: ChatFormula, tools: Sequence[Mapping[str, Any]]) -> int:
    def size(*texts: object) -> int:
        return tokenizer.count(":".join(text if isinstance(text, str) else json.dumps(text) for text in texts))

    total = formula.functions
    for tool in tools:
        function = tool.get("function", tool)
        total += formula.per_function + size(function["name"], _described(function))
        properties = list(_inside(tool))
        total += formula.properties if properties else 0
        for name, entry in properties:
            total += formula.per_property + size(name, entry.get("type", ""), _described(entry))
            if "enum" in entry:
                total += formula.enum + sum(formula.per_enum_item + size(item) for item in entry["enum"])
    return total


def _inside(tool: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The parameters of a function with what is said of each. Raises UsageError where that is no JSON Schema."""
    function = tool.get("function", tool)
    try:
        found = list((function.get("parameters") or {}).get("properties", {}).items())
        if all(isinstance(entry, dict) and isinstance(entry.get("enum", []), list) for _, entry in found):
            return found
    except AttributeError:
        pass
    raise UsageError(f"the parameters of the tool {function['name']} are no JSON Schema of an object")


def _described(entry: Mapping[str, Any]) -> str:
    return str(entry.get("description") or "").removesuffix(".")
