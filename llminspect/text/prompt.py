"""One input as a model gets it: a text, or a conversation, with its tokens.

A conversation becomes one text as the model's chat template writes it, with the template's tokens apart from those of
the messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from llminspect.errors import UsageError, UserError
from llminspect.text.tokenizer import Token, split_at_specials, utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.text.tokenizer import Parse, Tokenizer

Message = dict[str, str]
"""`{"role": "user", "content": "…"}`."""


@dataclass(frozen=True, slots=True)
class ChatPart:
    """A stretch of the rendered text: the template's (message None), or the content of the message of this number."""

    text: str
    message: int | None


@dataclass(frozen=True, slots=True)
class ChatToken:
    """A token, and the number of the message whose content it is of, or None where the template wrote it.

    The token's span points into that message's content. A token of which only a part is content is the content's.
    """

    token: Token
    message: int | None


@dataclass(frozen=True)
class Prompt:
    """One input: its text where it came as text, and its tokens with those that the model expects around them."""

    text: str | None
    tokens: Sequence[Token]
    line: int | None = None
    error: UserError | None = None
    """Why there are no tokens: with --lines a line that cannot be done must not end the run."""
    chat: Chat | None = None
    """The whole conversation, with --chat."""
    pair: str | None = None
    """A second text, with --pair …"""
    second: range = range(0)
    """… which of the tokens are of it: their spans point into it …"""
    segments: Sequence[int] | None = None
    """… and the segment of each token."""

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    @property
    def labels(self) -> list[str]:
        """A text for each token, as its bytes read."""
        return [token.text for token in self.tokens]


@dataclass(frozen=True)
class Chat:
    """A conversation as the model sees it: the messages, and the tokens with the message that each is of."""

    messages: Sequence[Message]
    items: Sequence[ChatToken]

    @property
    def text(self) -> str:
        """What the tokens' spans point into: the content of the last message."""
        return self.messages[-1]["content"]

    @property
    def tokens(self) -> list[Token]:
        """The tokens; only those of the last message keep their spans."""
        last = len(self.messages) - 1
        return [
            item.token if item.message == last else replace(item.token, start=None, end=None) for item in self.items
        ]


def checked_messages(value: object) -> list[Message]:
    """The messages of a JSON document. Raises UsageError unless it is a list of objects {"role", "content"}.

    The role goes into the template, where special tokens count, so it must be a plain word.
    """
    if not isinstance(value, list) or not value:
        raise UsageError("a chat is a list of messages", '[{"role": "user", "content": "Hello"}]')
    for number, message in enumerate(value):
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise UsageError(f'message {number} is not an object of "role" and "content"')
        if not isinstance(message["role"], str) or not re.fullmatch(r"[A-Za-z][\w-]{0,31}", message["role"]):
            raise UsageError(f"the role of message {number} is not a word", "system, user or assistant")
        if not isinstance(message["content"], str):
            raise UsageError(f"the content of message {number} is not a text")
    return value


def render_chat(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[ChatPart]:
    """The text that the model sees, in parts. It ends where the assistant is to speak.

    Raises UserError where the model has no chat template or the template fails.
    """
    messages = checked_messages(list(messages))
    if not tokenizer.chat_template:
        raise UserError(f"{tokenizer.name} has no chat template", "leave out --chat, or take a model made for chat")
    render = _rendering(tokenizer)
    rendered = render(messages)
    # Once more with a mark in place of each content: what stands between the marks is the template's.
    known = tokenizer.chat_template + "".join(message["content"] for message in messages)
    mark = next(mark for mark in (f"\ue0f0{i}\ue0f1" for i in count()) if mark not in known)
    marks = [f"{mark}{number}{mark}" for number in range(len(messages))]
    blank = [{**message, "content": held} for message, held in zip(messages, marks, strict=True)]
    try:
        pieces = re.split(f"{mark}(\\d+){mark}", render(blank))
    except UserError:
        pieces = []  # It reads what the content says.
    for form in (str, str.strip):
        contents = [form(message["content"]) for message in messages]
        parts = [ChatPart(contents[int(p)], int(p)) if i % 2 else ChatPart(p, None) for i, p in enumerate(pieces)]
        if "".join(part.text for part in parts) == rendered:
            return [part for part in parts if part.text]
    return _found(tokenizer, rendered, messages)


def encode_chat(tokenizer: Tokenizer, parts: Sequence[ChatPart]) -> list[ChatToken]:
    """The tokens of a rendered chat.

    Special tokens count in what the template wrote and nowhere else: a message that spells `<|im_end|>` says so in
    plain text and ends no turn. Between two special tokens the text is tokenized as a whole, as the model was trained.
    """
    tokens: list[ChatToken] = []
    run: list[ChatPart] = []
    for part in parts:
        parse: Parse = "special" if part.message is None else "text"
        for text, token_id in split_at_specials(part.text, tokenizer.special_tokens, parse):
            if token_id is None:
                run.append(ChatPart(text, part.message))
                continue
            tokens += _encode_run(tokenizer, run)
            run = []
            token = Token(token_id, tokenizer.token_bytes(token_id), None, None, text in tokenizer.special_tokens)
            tokens.append(ChatToken(token, None))
    return tokens + _encode_run(tokenizer, run)


def _encode_run(tokenizer: Tokenizer, run: Sequence[ChatPart]) -> list[ChatToken]:
    """Plain text from the template and from messages, tokenized as one."""
    ranges: list[tuple[int, int, int]] = []
    end = 0
    for part in run:
        start, end = end, end + len(utf8(part.text))
        if part.message is not None:
            ranges.append((start, end, part.message))
    tokens: list[ChatToken] = []
    for token in tokenizer.encode("".join(part.text for part in run), "text"):
        if token.start is None or token.end is None:
            tokens.append(ChatToken(token, None))
            continue
        while ranges and ranges[0][1] <= token.start:
            ranges.pop(0)
        if ranges and token.end > ranges[0][0]:
            start, end, message = ranges[0]
            inside = replace(token, start=max(token.start, start) - start, end=min(token.end, end) - start)
            tokens.append(ChatToken(inside, message))
        else:
            tokens.append(ChatToken(replace(token, start=None, end=None), None))
    return tokens


def _found(tokenizer: Tokenizer, rendered: str, messages: Sequence[Message]) -> list[ChatPart]:
    """The template rewrites contents: look for each in turn. One that is not found counts as the template's.

    That is harmless unless it spells a special token: then whether it is the template's cannot be told.
    """
    parts: list[ChatPart] = []
    end = 0
    for number, message in enumerate(messages):
        content = message["content"].strip()
        start = rendered.find(content, end) if content else -1
        if start >= 0:
            parts += [ChatPart(rendered[end:start], None), ChatPart(content, number)]
            end = start + len(content)
        elif any(spelling in content for spelling in tokenizer.special_tokens):
            raise UserError(
                f"the chat template rewrites message {number}, which spells a special token",
                "take the special token out of the message",
            )
    return [part for part in [*parts, ChatPart(rendered[end:], None)] if part.text]


def _rendering(tokenizer: Tokenizer) -> Callable[[Sequence[Message]], str]:
    """What the model's template makes of messages."""
    from llminspect.text.chat_template import render_template

    def spelling(token_id: int | None) -> str:
        return "" if token_id is None else tokenizer.token_bytes(token_id).decode("utf-8", "replace")

    eos = tokenizer.end_id if tokenizer.end_id is not None else min(tokenizer.eos_ids, default=None)
    variables: dict[str, Any] = {
        "bos_token": spelling(tokenizer.bos_id),
        "eos_token": spelling(eos),
        "unk_token": spelling(tokenizer.unknown_id),
        "add_generation_prompt": True,
        "tools": None,
        "documents": None,
    }
    template = tokenizer.chat_template or ""
    return lambda messages: render_template(template, {**variables, "messages": [dict(each) for each in messages]})
