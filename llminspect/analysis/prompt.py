"""`--chat`: from the command line's roles, or a JSON array of messages, to the tokens of the model's template."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llminspect.errors import UsageError
from llminspect.text.prompt import Chat, Prompt, checked_messages, encode_chat, render_chat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.arguments.shared import SourceOptions
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Message
    from llminspect.text.tokenizer import Tokenizer


def text_prompt(text: str, source: SourceOptions, tokenizer: Tokenizer | None, line: int | None) -> Prompt:
    """The tokens of one text, wrapped as the options and the model say."""
    if tokenizer is None:
        from llminspect.text.from_huggingface import READABLE

        raise UsageError(f"this model comes without a tokenizer: no {READABLE}", "give ids: --ids 1,2,3")
    if is_chat(source):
        chat = open_chat(text, source, tokenizer)
        return Prompt(chat.text, chat.tokens, line, chat=chat)
    tokens = tokenizer.encode(text, source.parse)
    return Prompt(text, tokens if source.special is False else tokenizer.wrap(tokens), line)


def prompt_of_ids(ids: Sequence[int], tokenizer: Tokenizer | None, line: int | None) -> Prompt:
    """Ids as an input; a model without a tokenizer shows their numbers."""
    from llminspect.text.tokenizer import Token

    special = set(tokenizer.special_tokens.values()) if tokenizer else set()
    data = (tokenizer.token_bytes(token_id) if tokenizer else str(token_id).encode() for token_id in ids)
    tokens = [Token(token_id, text, None, None, token_id in special) for token_id, text in zip(ids, data, strict=True)]
    return Prompt(None, tokens, line)


def is_chat(source: SourceOptions) -> bool:
    """Whether the command line asks for the model's chat template; a role asks for it as well."""
    return source.chat or source.system is not None or source.user is not None


def open_chat(text: str, source: SourceOptions, tokenizer: Tokenizer) -> Chat:
    """Put a text, or the messages that it holds as JSON, into the model's chat template.

    Raises UserError where the model has no template or the template fails, UsageError for messages that are none.
    """
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
    try:
        value = json.loads(text)  # Takes lone surrogates, which the faster library refuses.
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        return None
    return checked_messages(value)


def check_prompt(model: Model, prompt: Prompt) -> None:
    """Raise UsageError for ids outside the vocabulary and for a text longer than the context."""
    sizes = model.config.sizes
    outside = [token_id for token_id in prompt.ids if token_id >= sizes.V]
    if outside:
        raise UsageError(
            f"id {outside[0]} is outside the vocabulary", f"ids of {model.name} run from 0 to {sizes.V - 1}"
        )
    if not prompt.tokens:
        raise UsageError("the text gives no tokens", "give at least one character")
    if len(prompt.tokens) > sizes.context:
        raise UsageError(
            f"the text has {len(prompt.tokens)} tokens, the context of {model.name} ends at {sizes.context}",
            f"shorten it: llminspect tokenize --truncate {sizes.context}",
        )
