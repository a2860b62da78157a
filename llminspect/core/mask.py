"""What a token may see, kept as a rule and written out for the tokens at hand.

Written out for a whole text it is T × S numbers: 268 MB at 8,192 tokens.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, reduce
from operator import or_
from typing import Any

import numpy as np

from llminspect.core.array import Array, namespace
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class Mask:
    """The rule for T queries among S keys."""

    xp: Any
    """The functions of the array library at work."""
    queries: int
    keys: int
    causal: bool = False
    """A token sees itself and those before it."""
    window: int | None = None
    """It sees itself and the window − 1 before it; where the mask is not causal, those up to `window` away."""
    hidden_S: Array | None = None
    """Positions [..., S] (True) that nobody sees."""
    before: int = 0
    """How many keys stand before the first query."""

    @property
    def whole_TS(self) -> Array:
        """What to add to all scores: 0, or −∞ where hidden. [T, S], or with `hidden_S` [..., 1, T or 1, S]."""
        # An array that code makes while it is compiled belongs to that piece of code: it must not be kept for another.
        return self._kept_TS if self.xp is np else self.numbers(0, self.queries, 0, self.keys)

    @cached_property
    def _kept_TS(self) -> Array:
        return self.numbers(0, self.queries, 0, self.keys)

    def numbers(self, start: int, stop: int, low: int, high: int) -> Array:
        """What to add to the scores of the queries `start` to `stop` with the keys `low` to `high`."""
        query_T1, key_S = self.before + self.xp.arange(start, stop)[:, None], self.xp.arange(low, high)
        hidden: list[Array] = []
        if self.causal:
            hidden.append(key_S > query_T1)
        if self.window is not None:
            hidden.append(key_S <= query_T1 - self.window if self.causal else abs(key_S - query_T1) > self.window)
        if self.hidden_S is not None:
            hidden.append(self.hidden_S[..., None, None, low:high])
        numbers: Array = self.xp.where(reduce(or_, hidden, np.bool_(False)), np.float32("-inf"), np.float32(0))
        return numbers

    def reach(self, start: int, stop: int) -> tuple[int, int, int]:
        """For the queries `start` to `stop`: the keys, from and to, outside which none sees anything, and the first of
        these from which on something may be hidden."""
        if not self.causal:
            if self.window is None:
                return 0, self.keys, 0
            low = max(0, self.before + start - self.window)
            return low, min(self.keys, self.before + stop + self.window), low
        before = self.before
        if self.window is not None:
            low = max(0, before + start - self.window + 1)
            return low, before + stop, low
        return 0, before + stop, before + start + 1 if self.hidden_S is None else 0


def causal_mask(xp: Any, queries: int, keys: int, window: int | None = None, first: int | None = None) -> Mask | None:
    """A token sees itself and those before it, with `window` the window − 1 before it.

    The queries are the last of the keys, or stand from `first` on. None where nothing would be hidden.
    """
    if first is None and queries == 1 and (window is None or keys <= window):
        return None
    return Mask(xp, queries, keys, causal=True, window=window, before=keys - queries if first is None else first)


def window_mask(xp: Any, tokens: int, window: int | None) -> Mask | None:
    """A token sees those up to `window` away, before it and after it; None where nothing would be hidden."""
    return None if window is None or tokens <= window + 1 else Mask(xp, tokens, tokens, window=window)


def hide(mask: Mask | None, hidden_S: Array | None) -> Mask | None:
    """A mask that hides the positions [..., S] (True) from every token as well."""
    if hidden_S is None:
        return mask
    return replace(mask or Mask(namespace(hidden_S), 1, hidden_S.shape[-1]), hidden_S=hidden_S)


BLANKED = 0.12
"""The share of tokens that were blanked when ESMs were trained, which the reference does not read from a file."""


def blanked(stream_TD: Array, blank_T: Array, hidden_S: Array | None) -> Array:
    """The rows, nought where `blank_T`, all multiplied by 0.88 over the share of tokens that are not."""
    xp, blank_T1 = namespace(stream_TD), blank_T[..., None].astype(stream_TD.dtype)
    there_T1 = xp.ones_like(blank_T1) if hidden_S is None else 1 - hidden_S[..., None].astype(stream_TD.dtype)
    tokens = xp.sum(there_T1, axis=-2, keepdims=True)
    kept = 1 - xp.sum(blank_T1 * there_T1, axis=-2, keepdims=True) / tokens
    blanked_TD: Array = stream_TD * (1 - blank_T1) * ((1 - BLANKED) / kept)
    return blanked_TD
