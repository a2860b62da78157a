"""Sums of words as vectors: `king - man + woman`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.arguments.sums import parse_sum
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.text.tokenizer import Token, Tokenizer


@dataclass(frozen=True)
class Analogy:
    """A sum of words: nearest to it are the tokens in `nearest`."""

    expression: str
    terms: list[Term]
    inputs_excluded: bool
    """Whether the tokens of the words themselves were left out of `nearest`."""


@dataclass(frozen=True)
class Term:
    """One word of an expression and what it is multiplied by; of several tokens the mean of their vectors is taken."""

    factor: float
    text: str
    ids: list[int]
    tokens: list[str]


def word_tokens(tokenizer: Tokenizer, word: str) -> list[Token]:
    """The tokens of a word as it stands inside a sentence, with a space in front where the vocabulary has it so."""
    spellings = [tokenizer.encode(f" {word}"), tokenizer.encode(word)]
    return min(spellings, key=len)


def terms_of(expression: str, tokenizer: Tokenizer | None) -> list[tuple[Term, list[Token]]]:
    """The words of an expression with their tokens."""
    if tokenizer is None:
        raise UsageError("this model comes without a tokenizer", "--analogy needs one")
    found = []
    for factor, word in parse_sum(expression, "--analogy"):
        tokens = word_tokens(tokenizer, word)
        if not tokens:
            raise UsageError(f"the word {word!r} gives no tokens")
        term = Term(factor, word, [token.id for token in tokens], [token.text for token in tokens])
        found.append((term, tokens))
    return found


def sum_of(terms: Sequence[Term], table_VD: Array) -> Array:
    """Σ factor · vector over the words, [1, D]; the vector of a word of several tokens is the mean of theirs."""
    total_D = np.zeros(table_VD.shape[1], np.float32)
    for term in terms:
        rows = np.take(table_VD, np.asarray(term.ids), axis=0)
        total_D = total_D + np.float32(term.factor) * rows.mean(axis=0)
    summed_1D: Array = total_D[None]
    return summed_1D
