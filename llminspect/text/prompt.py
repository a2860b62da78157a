"""One input as a model gets it: a text, or a conversation, with its tokens.

A conversation becomes one text as the model's chat template writes it, with the template's tokens apart from those of
the messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, UserError
from llminspect.text.messages import ChatInput, Message, content_of
from llminspect.text.tokenizer import Token, Tokenizer, canonical, utf8

if TYPE_CHECKING:
    from llminspect.text.openai_formula import ChatCount
    from llminspect.text.rendering import ChatPart


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
    choices: Sequence[Prompt] = ()
    """With several --pair: the text with each; the first is the prompt itself."""
    remarks: Sequence[str] = ()
    """What is to be noted of the text and this tokenizer."""

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    def known_ids(self) -> list[int]:
        """The ids, which a model could be given. Raises UsageError where some are only counted."""
        if self.count != len(self.tokens):
            raise UsageError(
                "the ids of a chat with this model are not known: OpenAI says only how many there are",
                "llminspect tokenize --chat --count",
            )
        return self.ids

    @property
    def count(self) -> int:
        """How many tokens there are, with those that are counted without being known."""
        counted = None if self.chat is None else self.chat.counted
        return len(self.tokens) + (0 if counted is None else counted.unknown)

    @property
    def notes(self) -> Sequence[str]:
        """What is to be noted of it."""
        return [*self.remarks, *(() if self.chat is None else self.chat.notes)]

    @property
    def labels(self) -> list[str]:
        """A text for each token, as its bytes read."""
        return [token.text for token in self.tokens]


@dataclass(frozen=True)
class Chat:
    """A conversation as the model sees it: what was given, and the tokens with the message that each is of."""

    given: ChatInput
    items: Sequence[ChatToken]
    counted: ChatCount | None = None
    """By which formula the tokens were counted, of a model whose template nobody knows."""
    notes: Sequence[str] = ()
    """What is to be noted of how it was written."""

    @property
    def messages(self) -> Sequence[Message]:
        return self.given.messages

    @property
    def text(self) -> str:
        """What the tokens' spans point into: the content of the last message."""
        return content_of(self.messages[-1])

    @property
    def tokens(self) -> list[Token]:
        """The tokens; only those of the last message keep their spans."""
        last = len(self.messages) - 1
        return [
            item.token if item.message == last else replace(item.token, start=None, end=None) for item in self.items
        ]


def encode_chat(tokenizer: Tokenizer, parts: Sequence[ChatPart]) -> list[ChatToken]:
    """The tokens of a rendered chat.

    Special tokens count in what the template wrote and nowhere else: a message that spells `<|im_end|>` says so in
    plain text and ends no turn. All else is as in any text: what is between two special tokens is tokenized as a whole,
    and one that takes the white space beside it takes that of a message too.
    """
    texts = [canonical(part.text) for part in parts]
    ends = list(accumulate(map(len, texts), initial=0))
    protected = [(start, end) for part, (start, end) in zip(parts, pairwise(ends), strict=True) if part.protected]
    places = list(pairwise(accumulate((len(utf8(text)) for text in texts), initial=0)))
    ranges = [(start, end, part) for part, (start, end) in zip(parts, places, strict=True) if part.message is not None]
    items: list[ChatToken] = []
    first = 0
    for token in tokenizer.encode_protected("".join(texts), protected):
        while first < len(ranges) and token.start is not None and ranges[first][1] <= token.start:
            first += 1
        items.append(_owned(token, ranges[first] if first < len(ranges) else None))
    return items


def _owned(token: Token, place: tuple[int, int, ChatPart] | None) -> ChatToken:
    """The token as the message's that it is of, or as the template's. A special token is a message's only where it
    stands for what the tokenizer does not know."""
    if place is None or token.start is None or token.end is None:
        return ChatToken(replace(token, start=None, end=None), None)
    start, end, part = place
    if token.end <= start or (token.special and not (start <= token.start < token.end <= end)):
        return ChatToken(replace(token, start=None, end=None), None)
    if part.start is None:
        return ChatToken(Token(token.id, token.data, None, None), part.message)
    first, last = max(token.start, start), min(token.end, end)
    return ChatToken(Token(token.id, token.data, first - start + part.start, last - start + part.start), part.message)
