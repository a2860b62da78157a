"""How OpenAI says to count the tokens of a chat with models whose template it does not publish.

Source: OpenAI Cookbook, "How to count tokens with tiktoken", sections 6 and 7 (`num_tokens_from_messages`,
`num_tokens_for_tools`): an estimate by its own words.
"""

from __future__ import annotations

import re

from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class ChatFormula:
    """What is counted beside the tokens of the texts."""

    model: str
    """The name that was given."""
    of: str
    """The model for which OpenAI documents these numbers."""
    per_message: int = 3
    per_name: int = 1
    reply: int = 3
    """For the beginning of the answer."""
    per_function: int = 10
    properties: int = 3
    per_property: int = 3
    enum: int = -3
    per_enum_item: int = 3
    functions: int = 12

    def note(self, nested: bool) -> str:
        """What to know about such a count."""
        taken = "" if self.of in self.model else f", and documents none for {self.model}"
        deeper = "; parameters inside of parameters do not count in it" if nested else ""
        return (
            f"counted by the formula that OpenAI documents for {self.of}{taken}: {self.per_message} tokens a message, "
            f"{self.per_name} a name, {self.reply} for the answer; an estimate{deeper}"
        )


@dataclass(frozen=True)
class ChatCount:
    """A count by OpenAI's formula: the numbers in it, and how many tokens are counted without being known."""

    source: str
    per_message: int
    per_name: int
    reply: int
    unknown: int
    """Of the `count`: tokens that the formula adds to those of the texts, for messages, names, tools and the answer."""
    note: str
    tools: int | None = None
    """Of the unknown ones those of the tools."""


SOURCE = 'OpenAI Cookbook, "How to count tokens with tiktoken"'
_CHATS = re.compile(r"(ft:)?(gpt-|chatgpt-|o\d)(?!.*(instruct|audio|realtime|image|transcribe|tts))")


def formula_of(name: str, encoding: str) -> ChatFormula | None:
    """The formula for an OpenAI model, or an encoding by its own name; None for those that have no chats.

    >>> formula_of("gpt-4o-mini", "o200k_base").per_function
    7
    >>> formula_of("davinci", "r50k_base") is None
    True
    """
    if encoding not in ("o200k_base", "cl100k_base") or not (name == encoding or _CHATS.match(name)):
        return None
    if "gpt-3.5-turbo-0301" in name:
        return ChatFormula(name, "gpt-3.5-turbo-0301", per_message=4, per_name=-1)
    if encoding == "o200k_base":
        return ChatFormula(name, "gpt-4o", per_function=7)
    return ChatFormula(name, "gpt-3.5-turbo" if "gpt-3.5-turbo" in name else "gpt-4")
