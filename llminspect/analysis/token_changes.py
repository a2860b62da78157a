"""How far two models are apart in what they say comes next, token by token, over a text or a corpus."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np

from llminspect.analysis.candidates import token_text
from llminspect.analysis.corpus import Piece
from llminspect.core.array import Array
from llminspect.core.changes import divergences, of_pieces
from llminspect.core.dataclass import dataclass
from llminspect.core.intervals import of_share
from llminspect.core.unembed import log_softmax
from llminspect.model.opened import Model

ROWS_AT_ONCE = 64
"""Positions whose probabilities are compared at once: of each model so many rows as long as the vocabulary."""
BEFORE, AFTER = 24, 8
"""Tokens around a place that are kept."""


@dataclass(frozen=True)
class ExpectedToken:
    """What a model expects most after a place, with its probability in both."""

    id: int
    text: str
    prob_a: float
    prob_b: float


@dataclass(frozen=True)
class MovedPlace:
    """A token after which the two models expect other things."""

    path: str | None
    """Of a corpus: the file."""
    text: str
    """Some tokens before the place, its token, and some after it."""
    index: int
    """Which of `tokens` it is."""
    kl: float
    """KL(a ‖ b) after it, in bits."""
    tokens: list[str]
    kls: list[float]
    expected_a: ExpectedToken
    expected_b: ExpectedToken


@dataclass(frozen=True)
class TokenChanges:
    """KL(a ‖ b) in bits of what comes next, after each token; start tokens are left out in a corpus."""

    count: int
    """After how many tokens."""
    mean: float
    std: float
    """From token to token (divided by n − 1)."""
    low: float
    """The ends of the 95% interval of the mean, from piece to piece of the corpus; no numbers for a single text."""
    high: float
    median: float
    largest: float
    reverse: float
    """The mean of KL(b ‖ a)."""
    same_first: float
    """After which share of the tokens both expect the same token most …"""
    same_first_low: float
    """… and the ends of the 95% interval of that share (Wilson)."""
    same_first_high: float
    bits_a: float | None
    """How many bits per token the text itself costs in a, on average …"""
    bits_b: float | None
    """… and in b."""
    places: list[MovedPlace]
    """Where they are furthest apart, furthest first."""
    kls: list[float] | None = None
    """Of a single text: after each of its tokens."""


@dataclass(frozen=True)
class PieceChanges:
    """One piece of text: numbers after each of its tokens, [T]."""

    kl_T: Array
    reverse_T: Array
    first_a_T: Array
    """The id that a expects most …"""
    first_b_T: Array
    chances_T4: Array
    """… and its probability in a and in b, and that of what b expects most in a and in b."""
    cost_a_T: Array
    """Bits of the token that stands next in the text; none for the last."""
    cost_b_T: Array


def compare_piece(a: Model, b: Model, stream_a_TD: Array, stream_b_TD: Array, ids: Sequence[int]) -> PieceChanges:
    """What both expect after each token of a piece, of the streams after their last layers."""
    following, tokens = np.asarray([*ids[1:], 0]), len(ids)
    parts: list[tuple[Array, ...]] = []
    for start in range(0, tokens, ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, tokens))
        logs_a_TV = log_softmax(a.logits(stream_a_TD[rows]).astype(np.float64))
        logs_b_TV = log_softmax(b.logits(stream_b_TD[rows]).astype(np.float64))
        at_T, next_T = np.arange(len(logs_a_TV)), following[rows]
        first_a_T, first_b_T = logs_a_TV.argmax(axis=-1), logs_b_TV.argmax(axis=-1)
        chances_T4 = np.exp(
            np.stack(
                [logs_TV[at_T, ids_T] for ids_T in (first_a_T, first_b_T) for logs_TV in (logs_a_TV, logs_b_TV)], 1
            )
        )
        costs = [-logs_TV[at_T, next_T] / math.log(2) for logs_TV in (logs_a_TV, logs_b_TV)]
        parts.append((*divergences(logs_a_TV, logs_b_TV), first_a_T, first_b_T, chances_T4, *costs))
    found = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    return PieceChanges(*found[:5], *(cost_T[:-1] for cost_T in found[5:]))


class TokenSums:
    """Pieces as they come: what the whole is summed up by, and its furthest places."""

    def __init__(self, a: Model, count: int) -> None:
        self._model, self._count = a, count
        self._best: list[tuple[float, int, int, Piece, PieceChanges]] = []
        self._pieces: list[tuple[float, int]] = []
        self._kls: list[Array] = []
        self._reverse = self._cost_a = self._cost_b = 0.0
        self._same = self._scored = 0

    def add(self, piece: Piece, found: PieceChanges) -> None:
        """One piece."""
        kl_T = found.kl_T[piece.added :]
        self._kls.append(kl_T)
        self._pieces.append((float(kl_T.sum()), len(kl_T)))
        self._reverse += float(found.reverse_T[piece.added :].sum())
        self._same += int((found.first_a_T == found.first_b_T)[piece.added :].sum())
        self._cost_a += float(found.cost_a_T.sum())
        self._cost_b += float(found.cost_b_T.sum())
        self._scored += len(found.cost_a_T)
        for at in np.argsort(-kl_T, kind="stable")[: self._count].tolist():
            entry = (float(kl_T[at]), -len(self._pieces), -at, piece, found)
            if len(self._best) < self._count:
                heapq.heappush(self._best, entry)
            elif entry[:3] > self._best[0][:3]:
                heapq.heapreplace(self._best, entry)

    def summed(self, every: bool = False) -> TokenChanges:
        """The whole; with `every` the number after each token."""
        kl_N = np.concatenate(self._kls)
        count, scored = len(kl_N), self._scored
        mean, low, high = of_pieces(self._pieces)
        std, ends = float(np.std(kl_N, ddof=1)) if count > 1 else math.nan, of_share(self._same, count)
        low = max(low, 0.0) if math.isfinite(low) else low  # KL is never below 0, where a small sample's interval ends.
        best = sorted(self._best, key=lambda entry: entry[:3], reverse=True)
        return TokenChanges(
            count, mean, std, low, high, float(np.median(kl_N)), float(kl_N.max()),
            self._reverse / count, self._same / count, *ends,
            self._cost_a / scored if scored else None, self._cost_b / scored if scored else None,
            [self._place(piece, found, -at + piece.added) for _, _, at, piece, found in best],
            kl_N.tolist() if every else None,
        )  # fmt: skip

    def _place(self, piece: Piece, found: PieceChanges, at: int) -> MovedPlace:
        start, stop = max(piece.added, at - BEFORE), min(len(piece.ids), at + AFTER + 1)
        ids, model, chances = piece.ids[start:stop], self._model, found.chances_T4[at].tolist()
        firsts = int(found.first_a_T[at]), int(found.first_b_T[at])
        text = "".join(token_text(model, token_id) for token_id in ids)
        if model.tokenizer is not None:
            text = model.tokenizer.shown(ids).decode("utf-8", "replace")
        expected = [
            ExpectedToken(token_id, token_text(model, token_id), *chances[2 * side : 2 * side + 2])
            for side, token_id in enumerate(firsts)
        ]
        texts = [token_text(model, token_id) for token_id in ids]
        kls = found.kl_T[start:stop].tolist()
        return MovedPlace(piece.path or None, text, at - start, float(found.kl_T[at]), texts, kls, *expected)
