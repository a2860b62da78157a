"""How the tokens of a text came to be: its special tokens, then the steps of each word."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llminspect.text.huggingface import HuggingFaceTokenizer
from llminspect.text.special import split_at_specials
from llminspect.text.steps import Steps, WordSteps, words_of
from llminspect.text.steps_huggingface import words_of_library
from llminspect.text.tokenizer import canonical, utf8

if TYPE_CHECKING:
    from llminspect.text.tokenizer import Parse, Tokenizer


def tokenization_steps(
    tokenizer: Tokenizer, text: str, parse: Parse = "text", most_words: int = 40, most_steps: int = 60
) -> Steps:
    """The steps of each of the first `most_words` words, at most `most_steps` each, and how many were left out.

    Raises UsageError as `tokenizer.encode` does.
    """
    words: list[WordSteps] = []
    left_out = at = 0
    normalised: list[str] = []
    for part, token_id in split_at_specials(canonical(text), tokenizer.special_tokens, parse, tokenizer.always_tokens):
        size = len(utf8(part))
        if token_id is None:
            if isinstance(tokenizer, HuggingFaceTokenizer):
                respelled, makers = words_of_library(tokenizer, part, at)
            else:
                respelled, makers = words_of(tokenizer, part, at)
            normalised.append(part if respelled is None else respelled)
        else:
            makers = [partial(_special_word, part, at, token_id)]
            normalised.append(part)
        room = max(0, most_words - len(words))
        words += [_bounded(make(), most_steps) for make in makers[:room]]
        left_out += len(makers[room:])
        at += size
    joined = "".join(normalised)
    return Steps(tokenizer.kind, None if joined == canonical(text) else joined, words, left_out)


def _special_word(text: str, at: int, token_id: int) -> WordSteps:
    return WordSteps(text, at, at + len(utf8(text)), [text], [token_id], special=True)


def _bounded(word: WordSteps, most: int) -> WordSteps:
    steps = max(len(word.merges), len(word.matches), len(word.path))
    if steps <= most:
        return word
    return replace(
        word,
        merges=word.merges[:most],
        matches=word.matches[:most],
        path=word.path[:most],
        left_out=word.left_out + steps - most,
    )
