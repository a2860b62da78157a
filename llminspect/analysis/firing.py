"""Where a neuron fires: its activation over a corpus, and the places where it is highest or lowest."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from llminspect.analysis.corpus import Corpus, CorpusRead, Piece
from llminspect.analysis.passes import run_until
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Visit
from llminspect.model.opened import Model

TOGETHER = 8
"""Pieces of one length that are run together."""
BEFORE, AFTER = 24, 8
"""Tokens around the place that are kept."""


@dataclass(frozen=True)
class FiringPlace:
    """A place of a corpus."""

    path: str
    text: str
    """Some tokens before the place, its token, and some after it."""
    index: int
    """Which of `tokens` it is."""
    activation: float
    tokens: list[str]
    activations: list[float]
    """NaN (in JSON null) where the token did not choose the neuron's expert."""


@dataclass(frozen=True)
class Firing:
    """A neuron's activation over a corpus, token by token; start tokens are left out."""

    count: int
    """How many tokens it has an activation for: of an expert those that chose it."""
    mean: float
    std: float
    above: float
    """The share that is above 0."""
    highest: float
    lowest: float
    read: CorpusRead


class Places:
    """The best place of each piece, and of these the best; and what the whole is summed up by."""

    def __init__(self, count: int, lowest: bool) -> None:
        self._count, self._sign = count, -1.0 if lowest else 1.0
        self._best: list[tuple[float, int, Piece, Array]] = []
        self._seen = self._tokens = self._above = 0
        self._sum = self._squares = 0.0
        self._highest, self._lowest = -math.inf, math.inf

    def add(self, piece: Piece, activation_T: Array) -> None:
        """One piece, with an activation a token."""
        activation_T = activation_T.astype(np.float64)
        activation_T[: piece.added] = np.nan
        finite = activation_T[np.isfinite(activation_T)]
        self._seen += 1
        if not finite.size:
            return
        self._tokens += finite.size
        self._above += int((finite > 0).sum())
        self._sum += float(finite.sum())
        self._squares += float((finite**2).sum())
        self._highest, self._lowest = max(self._highest, finite.max()), min(self._lowest, finite.min())
        entry = (float(np.nanmax(self._sign * activation_T)), -self._seen, piece, activation_T)
        if len(self._best) < self._count:
            heapq.heappush(self._best, entry)
        elif entry[:2] > self._best[0][:2]:
            heapq.heapreplace(self._best, entry)

    def best(self, model: Model) -> list[FiringPlace]:
        """The places, best first."""
        return [
            _place(model, piece, activation_T, int(np.nanargmax(self._sign * activation_T)))
            for _, _, piece, activation_T in sorted(self._best, key=lambda entry: entry[:2], reverse=True)
        ]

    def summed(self, read: CorpusRead) -> Firing:
        """The whole; of a neuron without any activation all is NaN."""
        count = self._tokens
        if not count:
            return Firing(0, math.nan, math.nan, math.nan, math.nan, math.nan, read)
        mean = self._sum / count
        std = math.sqrt(max(0.0, self._squares / count - mean * mean))
        return Firing(count, mean, std, self._above / count, float(self._highest), float(self._lowest), read)


def _place(model: Model, piece: Piece, activation_T: Array, at: int) -> FiringPlace:
    """What stands around a place."""
    assert model.tokenizer is not None
    start, stop = max(piece.added, at - BEFORE), min(len(piece.ids), at + AFTER + 1)
    ids = piece.ids[start:stop]
    texts = [model.tokenizer.shown_bytes(token_id).decode("utf-8", "replace") for token_id in ids]
    text = model.tokenizer.shown(ids).decode("utf-8", "replace")
    values = activation_T[start:stop].tolist()
    return FiringPlace(piece.path, text, at - start, float(activation_T[at]), texts, values)


def fire(corpus: Corpus, of: Callable[[Array], Array], several: Sequence[Places]) -> None:
    """Give each piece of the corpus to each of `several`, with its activations: `of` ids [B, T] of one length they are
    [N, B, T]."""
    for batch in pieces_together(corpus.pieces()):
        found_NBT = of(np.array([piece.ids for piece in batch]))
        for places, found_BT in zip(several, found_NBT, strict=True):
            for piece, activation_T in zip(batch, found_BT, strict=True):
                places.add(piece, activation_T)


def activations(model: Model, tap: str, layer: int, neuron: int, expert: int | None, ids_BT: Array) -> Array:
    """The activation of a neuron at each token [B, T]; NaN where the token did not choose its expert."""
    found_BT = np.full(ids_BT.shape, np.nan, np.float32)
    chosen: list[Array] = []
    router = f"layers.{layer}.feedforward.router.weights"

    def look(name: str, array: Array) -> None:
        if name == router:
            chosen.append(np.flatnonzero(array.reshape(-1, array.shape[-1])[:, expert]))
        elif expert is None:
            found_BT[:] = array[..., neuron].reshape(ids_BT.shape)
        else:
            found_BT.reshape(-1)[chosen[-1]] = array[:, neuron]

    names = [tap] if expert is None else [router, tap]
    last = tap if expert is None else f"layers.{layer}.output"
    run_until(model, ids_BT, Visit(look, *names, optional=True), [last])  # type: ignore[arg-type]
    return found_BT


def pieces_together(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Some pieces of one length after another."""
    batch: list[Piece] = []
    for piece in pieces:
        if batch and (len(batch) == TOGETHER or len(piece.ids) != len(batch[0].ids)):
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch
