"""`forward --saliency --integrated`: the difference of two outputs, divided among the tokens of the text.

Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks": the token vectors go in a straight line from
a baseline to those of the text, and each token gets its part of all that changes on the way, (its vector − the
baseline's) · the mean gradient (section 3). The parts add up to what the model gives for the text less what it gives
for the baseline, so the distance of their sum from that says how exact the integral is (section 5). That holds for each
piece of the way too: on the way of a language model there are cliffs, and so pieces whose parts do not add up are
halved, and halved again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from llminspect.analysis.candidates import named_token
from llminspect.analysis.gradients import Recording
from llminspect.analysis.passes import captured
from llminspect.analysis.token_scores import Explained, Integrated, Saliency, with_gradients
from llminspect.arguments.forward import ForwardOptions
from llminspect.arguments.option import usual_of
from llminspect.arguments.words import parse_baseline
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Chain, Edit, Tap
from llminspect.core.tape import Tape
from llminspect.core.unembed import Score
from llminspect.model.opened import Model, in_place_of, not_numbers
from llminspect.text.prompt import Prompt

FIRST = ("narrow", "unblanked", "unnormed", "tokens", "sum", "output")
"""Steps of the embedding at which a token's vector may be all there is: the first that a model has."""
TAPED_AT_ONCE = 256
"""Tokens whose steps are kept at once, to go back over them."""
POINTS, FIRST_PIECES = 4, 4
"""At how many points of a piece of the way the gradient is taken, and into how many pieces it is cut at first."""
ENOUGH = 0.01
"""Share of the difference by which the parts of all pieces may fail to add up."""
TABLE_ROWS = 256
"""Rows of the embedding that are made at once, for their mean; no model has so few positions."""


def integrated_gradients(
    model: Model,
    prompt: Prompt,
    look: ForwardOptions,
    position: int,
    target: int,
    versus: int | None,
    taps: Sequence[Tap],
) -> Saliency:
    """Each token's part. Raises UsageError for a baseline that does not fit the text, and for an engine that cannot
    find gradients of the model."""
    with_gradients(model)
    # A token that sees no later one is not changed by them.
    ids = prompt.ids[: position + 1] if model.config.causal else prompt.ids
    name = first_vectors(model)
    plain = replace(model, engine=None)
    own_TD = captured(plain, ids, [name])[name].astype(np.float64)
    kept = [index for index, token in enumerate(prompt.tokens) if token.start is None and prompt.text is not None]
    label, other_TD = baseline_of(plain, name, prompt.ids, kept, look.baseline or "zero", len(ids))
    of: Explained = "difference" if versus is not None else look.of or "logprob"
    score = Score(position, target, versus, logit=of == "logit")
    way = Way(model, ids, score, name, taps, own_TD.astype(np.float32), other_TD)
    pieces, taken = integrated(way, usual_of(look, "path_steps"))
    parts_T: Array = np.sum([piece.parts_T for piece in pieces], axis=0)
    first, last = pieces[0].ends[0], pieces[-1].ends[1]
    if not np.isfinite(parts_T).all():
        raise not_numbers("gradients")
    whole = float(parts_T.sum())
    found = Integrated(
        of, None if versus is None else named_token(model, versus), label, last, first, taken, whole,
        whole - (last - first),
    )  # fmt: skip
    logprob = last if of == "logprob" else replace(way, score=Score(position, target)).values((1.0,))[0]
    return Saliency(named_token(model, target), logprob, parts_T.tolist(), "integrated gradients", found)


@dataclass(frozen=True)
class WayPiece:
    """A piece of the way."""

    start: float
    stop: float
    ends: tuple[float, float]
    """The number at both."""
    parts_T: Array
    """Each token's part of its change."""

    @property
    def error(self) -> float:
        """How far the parts are from adding up to the change."""
        return abs(float(self.parts_T.sum()) - (self.ends[1] - self.ends[0]))


def integrated(way: Way, steps: int) -> tuple[list[WayPiece], int]:
    """The way in pieces, in their order, and how many gradients were taken: the pieces whose parts do not add up are
    halved, the worst first, until all of them together are as good as `ENOUGH`, or there would be more than `steps`."""
    marks = np.linspace(0, 1, max(1, min(FIRST_PIECES, steps // POINTS)) + 1)
    ends = way.values(marks.tolist())
    pieces = _pieces(way, list(pairwise(marks.tolist())), list(pairwise(ends)))
    taken = len(pieces) * POINTS
    while True:
        worst, wanted = sorted(pieces, key=lambda piece: -piece.error), ENOUGH * abs(ends[-1] - ends[0])
        halved = []
        while worst and sum(piece.error for piece in worst) > wanted and taken + 2 * POINTS <= steps:
            halved.append(worst.pop(0))
            taken += 2 * POINTS
        if not halved:
            return sorted(pieces, key=lambda piece: piece.start), taken
        middles = [(piece.start + piece.stop) / 2 for piece in halved]
        values = way.values(middles)
        some = [
            half
            for piece, middle, value in zip(halved, middles, values, strict=True)
            for half in (
                ((piece.start, middle), (piece.ends[0], value)),
                ((middle, piece.stop), (value, piece.ends[1])),
            )
        ]
        pieces = worst + _pieces(way, [places for places, _ in some], [values for _, values in some])


def _pieces(way: Way, places: list[tuple[float, float]], ends: list[tuple[float, float]]) -> list[WayPiece]:
    """Pieces of the way by the rule of Gauss and Legendre."""
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    within = np.concatenate([start + (points + 1) / 2 * (stop - start) for start, stop in places])
    slope_NPTD = way.slopes(within).reshape(len(places), POINTS, *way.last_TD.shape)
    change_TD = way.last_TD.astype(np.float64) - way.first_TD
    found = []
    for (start, stop), two, slope_PTD in zip(places, ends, slope_NPTD, strict=True):
        mean_TD = np.einsum("p,ptd->td", weights / 2, slope_PTD)
        found.append(WayPiece(start, stop, two, (stop - start) * (change_TD * mean_TD).sum(axis=-1)))
    return found


def first_vectors(model: Model) -> str:
    """The name of the first step at which the vectors of the tokens stand alone, before positions are added."""
    names = set(replace(model, engine=None).names())
    return next(name for name in (f"embedding.{step}" for step in FIRST) if name in names)


def baseline_of(
    model: Model, name: str, ids: Sequence[int], kept: Sequence[int], baseline: str, tokens: int
) -> tuple[str, Array]:
    """How a baseline is called, and its vectors [T, D] for the first `tokens`; tokens of another text stand only where
    those of this one are the text's own, not at the places `kept`."""
    parsed = parse_baseline(model, baseline, ids, kept)
    if isinstance(parsed, list):
        vectors_TD = captured(model, parsed[:tokens], [name])[name]
        return baseline, vectors_TD.astype(np.float64)
    width = captured(model, ids[:1], [name])[name].shape[-1]
    sum_D = np.zeros(width)
    if parsed == "mean":
        rows = model.config.sizes.V
        for start in range(0, rows, TABLE_ROWS):
            some = range(start, min(rows, start + TABLE_ROWS))
            sum_D += captured(model, some, [name])[name].sum(axis=0, dtype=np.float64) / rows
    return parsed, np.broadcast_to(sum_D, (tokens, width))


@dataclass(frozen=True)
class Way:
    """The straight line from the vectors of a baseline to those of a text, and the number that changes on it."""

    model: Model
    ids: Sequence[int]
    score: Score
    name: str
    taps: Sequence[Tap]
    last_TD: Array
    first_TD: Array

    def values(self, places: Sequence[float]) -> list[float]:
        """The number at places of the way: 0 is the baseline, 1 the text."""
        return [float(value) for value in self._numbers(self._on(places), self.taps)]

    def slopes(self, places: Array) -> Array:
        """How the number changes with each vector at places of the way, [places, T, D]."""
        if self.model.engine is not None:
            return np.stack([self._by_engine(place) for place in places])
        size, found = max(1, TAPED_AT_ONCE // len(self.ids)), []
        for start in range(0, len(places), size):
            recording = Recording(Tape(), self.name)
            with np.errstate(all="ignore"):
                values_B = self._numbers(self._on(places[start : start + size]), [recording, *self.taps])
                found.append(recording.slopes(values_B.sum())[self.name])
        return np.concatenate(found)

    def _on(self, places: Sequence[float] | Array) -> Array:
        """The vectors there, [places, T, D]."""
        vectors_BTD = self.first_TD + np.asarray(places)[:, None, None] * (self.last_TD - self.first_TD)
        placed_BTD: Array = vectors_BTD.astype(np.float32)
        return placed_BTD

    def _numbers(self, vectors_BTD: Array, taps: Sequence[Tap]) -> Any:
        ids_BT = np.broadcast_to(np.asarray(self.ids), vectors_BTD.shape[:2])
        put = Edit(self.name, in_place_of, vectors_BTD)
        stream_BTD = self.model.run(ids_BT, Chain([put, *taps])).stream_TD
        return self.score.of(self.model.logits(stream_BTD[:, self.score.position]))

    def _by_engine(self, place: float) -> Array:
        put = Edit(self.name, in_place_of, self._on([place])[0])
        tap = self.model.with_segments(Chain([put, *self.taps]), len(self.ids))
        return with_gradients(self.model).gradients(self.ids, [self.name], self.score, tap)[2][self.name]
