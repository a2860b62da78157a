"""Tokenizers that come without a model: words, characters, bytes, letters, and OpenAI's encodings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.text.simple import SIMPLE_NAMES, simple_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.text.tokenizer import Tokenizer


def standalone_tokenizer(name: str, read_table: Callable[[str], list[bytes]]) -> Tokenizer | None:
    """The tokenizer called `name` (also an OpenAI model's name), or None where `name` is none of these.

    `read_table` gives the tokens of one of OpenAI's rank tables by rank (`files.encodings.rank_table`).
    """
    if name in SIMPLE_NAMES:
        return simple_tokenizer(name)
    from llminspect.text.tiktoken_encodings import TIKTOKEN_NAMES, TiktokenTokenizer, encoding_of_openai_model

    encoding = name if name in TIKTOKEN_NAMES else encoding_of_openai_model(name)
    return None if encoding is None else TiktokenTokenizer(encoding, read_table)


def standalone_names() -> tuple[str, ...]:
    """The names of all of them, without OpenAI's model names."""
    from llminspect.text.tiktoken_encodings import TIKTOKEN_NAMES

    return (*SIMPLE_NAMES, *TIKTOKEN_NAMES)
