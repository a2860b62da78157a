"""The tokens of the vocabulary that lie nearest to a vector, those that begin a word, and sums of words as vectors:
`king - man + woman`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import numpy as np

from llminspect.analysis.candidates import NamedToken, token_text
from llminspect.arguments.embed import Metric
from llminspect.arguments.words import parse_sum
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.geometry import vocabulary_products
from llminspect.core.sampling import top_ids
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.text.tokenizer import Token, Tokenizer


@dataclass(frozen=True)
class Neighbour:
    """A token of the vocabulary near a vector."""

    id: int
    text: str
    cosine: float
    dot: float


def neighbours_of(
    texts: TokenTexts,
    vectors_ND: Array,
    table_VD: Array,
    count: int,
    *,
    metric: Metric = "cosine",
    words: bool = False,
    without: frozenset[int] = frozenset(),
) -> list[list[Neighbour]]:
    """The `count` nearest rows of the table to each vector, best first."""
    found = []
    # In pieces of the text: dot products with the whole vocabulary are V numbers a token.
    for start in range(0, len(vectors_ND), 256):
        dots_NV, cosines_NV = vocabulary_products(vectors_ND[start : start + 256], table_VD)
        scores_NV = dots_NV if metric == "dot" else cosines_NV
        for scores_V, dots_V, cosines_V in zip(scores_NV, dots_NV, cosines_NV, strict=True):
            ids = best_ids(scores_V, count, texts, words=words, without=without)
            found.append([Neighbour(i, texts(i), float(cosines_V[i]), float(dots_V[i])) for i in ids])
    return found


def is_start_of_word(text: str, *, spaced: bool) -> bool:
    """Whether the text of a token begins a word: letters only, after a space where the vocabulary has them."""
    return text[1:].isalpha() and text.startswith(" ") if spaced else text.isalpha()


def best_ids(scores_V: Array, count: int, tokens: TokenTexts, *, words: bool, without: frozenset[int]) -> Iterator[int]:
    """The ids with the highest scores, best first; of equal ones the lower id first."""
    wanted = count + len(without)
    if not words and wanted < len(scores_V):
        pool = np.argpartition(-scores_V, wanted)[: wanted + 1]
        pool = np.sort(pool)
        order = pool[np.argsort(-scores_V[pool], kind="stable")]
    else:
        order = np.argsort(-scores_V, kind="stable")
    fitting = (i for i in map(int, order) if i not in without and (not words or tokens.starts_word(i)))
    return islice(fitting, count)


class TokenTexts:
    """The text of each id, also of rows that a table has beyond its vocabulary."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self.tokenizer, self.spaced = tokenizer, False
        if tokenizer is not None:
            with suppress(UsageError):
                self.spaced = any(token.text.startswith(" ") for token in tokenizer.encode(" a a"))

    def __call__(self, token_id: int) -> str:
        if self.tokenizer is None:
            return f"#{token_id}"
        return self.tokenizer.shown_bytes(token_id).decode("utf-8", "replace")

    def starts_word(self, token_id: int) -> bool:
        return is_start_of_word(self(token_id), spaced=self.spaced)


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


def terms_of(expression: str, tokenizer: Tokenizer | None) -> list[tuple[Term, list[Token]]]:
    """The words of an expression with their tokens: as they stand inside a sentence, with a space in front where the
    vocabulary has it so."""
    if tokenizer is None:
        raise UsageError("this model comes without a tokenizer", "--analogy needs one")
    found = []
    for factor, word in parse_sum(expression, "--analogy"):
        tokens = min(tokenizer.encode(f" {word}"), tokenizer.encode(word), key=len)
        if not tokens:
            raise UsageError(f"the word {word!r} gives no tokens")
        term = Term(factor, word, [token.id for token in tokens], [token.text for token in tokens])
        found.append((term, tokens))
    return found


FEWEST = 8
"""Of fewer words than this the vocabulary is taken to have none."""


@dataclass(frozen=True)
class LogitToken(NamedToken):
    """A token, and what is added to its logit."""

    logit: float


@dataclass(frozen=True)
class ReadToken(NamedToken):
    """A token, and the product of its vector with a direction that is read."""

    product: float


class Words:
    """The tokens that are shown, by their ids."""

    def __init__(self, model: Model, words: bool) -> None:
        self._model, size = model, model.config.sizes.V
        self.ids = np.arange(size)
        self.all = True
        if words and model.tokenizer is not None:
            texts = TokenTexts(model.tokenizer)
            shown = np.fromiter((texts.starts_word(index) for index in range(size)), bool, size)
            if shown.sum() >= FEWEST:
                self.ids, self.all = np.flatnonzero(shown), False

    def text(self, token_id: int) -> str:
        return token_text(self._model, token_id)

    def best(self, values_V: Array, count: int) -> Iterator[tuple[int, str, float]]:
        """The ids with the largest values, largest first, their texts and the values."""
        for place in top_ids(values_V[self.ids], count):
            token_id = int(self.ids[place])
            yield token_id, self.text(token_id), float(values_V[token_id])

    def raised(self, logits_V: Array, count: int) -> list[LogitToken]:
        """The tokens whose logits are raised most."""
        return [LogitToken(*entry) for entry in self.best(logits_V, count)]

    def lowered(self, logits_V: Array, count: int) -> list[LogitToken]:
        """Those whose logits are lowered most."""
        return [LogitToken(token_id, text, -value) for token_id, text, value in self.best(-logits_V, count)]

    def read(self, products_V: Array, count: int) -> list[ReadToken]:
        """The tokens that a direction is read in most."""
        return [ReadToken(*entry) for entry in self.best(products_V, count)]
