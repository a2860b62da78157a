"""Several tokens a pass: guess how the text goes on from where it stood like this before, and let one pass check it.

A pass reads every weight whether it has one token or a few, and a token whose guess was right needs no pass of its own.
What is chosen at each step, and from which logits, is as without guessing. Saxena 2023, "Prompt lookup decoding"; the
check is that of Leviathan et al. 2022, "Fast inference from transformers via speculative decoding".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache

LONGEST, SHORTEST = 3, 2
"""Tokens in a row that have to have stood before: one alone says little about what follows."""


class LastLogits(Protocol):
    def __call__(self, ids: Sequence[int], cache: Cache | None, wanted: int, /) -> tuple[Array, Cache]:
        """The logits [wanted, V] after each of the last `wanted` of `ids`, and the cache with all of them."""
        ...


@dataclass(frozen=True)
class Guessed:
    """A text, and after it tokens that went through the model already although nobody chose them yet."""

    ids: list[int]
    guess: list[int]
    logits_NV: Array
    """After each token of the guess."""
    cache: Cache
    """Of the text and the guess."""


class LookAhead:
    """The `next_logits` of `decoding.decode` that guesses up to `most` tokens; `passes` counts the passes."""

    def __init__(self, last_logits: LastLogits, most: int, context: int) -> None:
        self.passes = 0
        self._ask_rows, self._most, self._context = last_logits, most, context

    def __call__(self, new: Sequence[int], before: Guessed | None) -> tuple[Array, Guessed]:
        if before is not None and before.guess[:1] == list(new):
            rest = replace(before, ids=[*before.ids, *new], guess=before.guess[1:], logits_NV=before.logits_NV[1:])
            return before.logits_NV[0], rest
        ids = [*(before.ids if before else ()), *new]
        guess = continuation(ids, min(self._most, self._context - len(ids)))
        cache = before.cache.cut(len(before.ids)) if before else None
        logits_NV, cache = self._ask_rows([*new, *guess], cache, 1 + len(guess))
        self.passes += 1
        return logits_NV[0], Guessed(ids, guess, logits_NV[1:], cache)


def continuation(ids: Sequence[int], most: int) -> list[int]:
    """Up to `most` tokens that followed when the text last ended as it ends now; none where it never did."""
    text = list(ids)
    for length in range(LONGEST, SHORTEST - 1, -1):
        ending = text[-length:]
        for start in range(len(text) - length - 1, -1, -1):
            if text[start : start + length] == ending:
                return text[start + length : start + length + max(0, most)]
    return []
