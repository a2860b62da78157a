"""One input as a model gets it: a text, or a conversation, with its tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.errors import UserError
    from llminspect.text.chat import ChatToken, Message
    from llminspect.text.tokenizer import Token


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
