"""`--chat`: from the command line's roles, or a JSON array of messages, to the tokens of the model's template."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.commands._options import SourceOptions
    from llminspect.text.chat import ChatToken, Message
    from llminspect.text.tokenizer import Token, Tokenizer


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


def is_chat(source: SourceOptions) -> bool:
    """Whether the command line asks for the model's chat template; a role asks for it as well."""
    return source.chat or source.system is not None or source.user is not None


def open_chat(text: str, source: SourceOptions, tokenizer: Tokenizer) -> Chat:
    """Put a text, or the messages that it holds as JSON, into the model's chat template.

    Raises UserError where the model has no template or the template fails, UsageError for messages that are none.
    """
    from llminspect.text.chat import encode_chat, render_chat

    messages = messages_in(text) if source.text in (None, "-") and source.user is None else None
    if messages is None:
        messages = [{"role": "user", "content": text}]
    if source.system is not None:
        messages = [{"role": "system", "content": source.system}, *messages]
    return Chat(messages, encode_chat(tokenizer, render_chat(tokenizer, messages)))


def messages_in(text: str) -> list[Message] | None:
    """The messages of a JSON array of objects; None where the text is something else."""
    if not text.lstrip().startswith("["):
        return None
    from llminspect.text.chat import checked_messages

    try:
        value = json.loads(text)  # Takes lone surrogates, which the faster library refuses.
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        return None
    return checked_messages(value)
