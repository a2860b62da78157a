"""Which tokens of a vocabulary are shown where all of them have a number: those that are words, or all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from llminspect.analysis.candidates import NamedToken, token_text
from llminspect.analysis.neighbours import TokenTexts
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.sampling import top_ids
from llminspect.model.opened import Model

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
            shown = np.fromiter((texts.whole_word(index) for index in range(size)), bool, size)
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
