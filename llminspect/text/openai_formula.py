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
    image: tuple[int, int] | None = None
    """Of an image, and of each of its tiles (`images.py`); None: it is counted in another way, or nobody says how."""

    def note(self, nested: bool, images: bool = False) -> str:
        """What to know about such a count."""
        taken = "" if self.of in self.model else f", and documents none for {self.model}"
        seen = "; images by tiles of 512 as detail: high, which is a guess where it is auto" if images else ""
        deeper = "; parameters inside of parameters do not count in it" if nested else ""
        return (
            f"counted by the formula that OpenAI documents for {self.of}{taken}: {self.per_message} tokens a message, "
            f"{self.per_name} a name, {self.reply} for the answer; an estimate{deeper}{seen}"
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
    tools: int | None = None
    """Of the unknown ones, those of the tools."""
    images: int | None = None
    """Of the unknown ones, those of images."""


SOURCE = 'OpenAI Cookbook, "How to count tokens with tiktoken"'
_CHATS = re.compile(r"(ft:)?(gpt-|chatgpt-|o\d)(?!.*(instruct|audio|realtime|image|transcribe|tts))")

_DATED = r"(-\d{4}.*|-latest|-preview.*|:.*)?$"
_IMAGES = (
    (r"gpt-4o-mini" + _DATED, (2833, 5667)),
    (r"(chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-4-turbo|gpt-4-vision)" + _DATED, (85, 170)),
    (r"(o1|o1-pro|o3)" + _DATED, (75, 150)),
    (r"gpt-5(-chat)?" + _DATED, (70, 140)),
)
"""Names of models, and what an image and a tile of it count. Others count patches of 32, each with a factor."""


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
        return ChatFormula(name, "gpt-4o", per_function=7, image=_image(name))
    return ChatFormula(name, "gpt-3.5-turbo" if "gpt-3.5-turbo" in name else "gpt-4", image=_image(name))


def _image(name: str) -> tuple[int, int] | None:
    return next((numbers for names, numbers in _IMAGES if re.match(names, name.removeprefix("ft:"))), None)
