"""`llminspect tokenize`: a text cut into the tokens that a model sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.analysis.documents import token_documents
from llminspect.analysis.tokenization import (
    ChatMessage,
    Conversation,
    CountResult,
    TokenizeResult,
    about,
    budget_of,
    cost_of,
)
from llminspect.errors import UsageError
from llminspect.text.tokenizer import utf8

if TYPE_CHECKING:
    from llminspect.arguments.shared import SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.text.prompt import Chat, Prompt
    from llminspect.text.steps import Steps
    from llminspect.text.tokenizer import Parse, Tokenizer

MOST_WORDS, MOST_STEPS = 200, 200
"""Words whose steps are given, and steps of each."""


def tokenize(
    tokenizer: Tokenizer, options: TokenizeOptions, source: SourceOptions, prompt: Prompt
) -> TokenizeResult | CountResult:
    """The tokens of one text, or how many there are."""
    truncated = None
    if options.truncate is not None:
        from llminspect.analysis.truncate import truncate

        prompt, truncated = truncate(prompt, options, source, tokenizer)
    count = len(prompt.tokens)
    cost, budget = cost_of(options.price, count), budget_of(options.max_tokens_allowed, count)
    data = None if prompt.text is None else utf8(prompt.text)
    characters, size = (None, None) if data is None else (len(prompt.text or ""), len(data))
    if options.count:
        return CountResult(count, characters, size, cost, budget)
    text_ids = [token.id for token in prompt.tokens if token.start is not None]
    return TokenizeResult(
        text=prompt.text,
        tokens=token_documents(prompt.tokens) if prompt.chat is None else chat_documents(prompt.chat),
        count=count,
        tokenizer=about(tokenizer),
        characters=characters,
        bytes=size,
        round_trip=None if data is None or prompt.chat or truncated else tokenizer.decode(text_ids) == data,
        cost=cost,
        budget=budget,
        chat=None if prompt.chat is None else conversation(prompt.chat),
        truncated=truncated,
        steps=steps_of(tokenizer, prompt, source) if options.steps else None,
    )


def steps_of(tokenizer: Tokenizer, prompt: Prompt, source: SourceOptions) -> Steps:
    """How the tokens of the text came to be; in a chat those of its last message."""
    from llminspect.text.tokenization_steps import tokenization_steps

    if prompt.text is None:
        raise UsageError("--steps shows how a text is cut", "leave out --ids, or leave out --steps")
    parse: Parse = "text" if prompt.chat is not None else source.parse
    return tokenization_steps(tokenizer, prompt.text, parse, MOST_WORDS, MOST_STEPS)


def chat_documents(chat: Chat) -> list[dict[str, Any]]:
    """The tokens of a conversation, each with the number of its message; those of the template have none."""
    documents = token_documents([item.token for item in chat.items])
    return [
        document if item.message is None else {**document, "message": item.message}
        for document, item in zip(documents, chat.items, strict=True)
    ]


def conversation(chat: Chat) -> Conversation:
    """The messages with the number of tokens of each."""
    owners = [item.message for item in chat.items]
    messages = [
        ChatMessage(message["role"], message["content"], owners.count(number))
        for number, message in enumerate(chat.messages)
    ]
    return Conversation(messages, owners.count(None))
