"""Beam search against every continuation there is."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.core.decoding import beam_search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

VOCABULARY, EOS = 4, 3


class Markov:
    """A model whose next token hangs on the last two."""

    def __init__(self, seed: int) -> None:
        raw = np.random.default_rng(seed).normal(size=(VOCABULARY + 1, VOCABULARY + 1, VOCABULARY)) * 1.5
        self.log_probs = raw - np.log(np.exp(raw).sum(-1, keepdims=True))
        self.beams: list[tuple[int, ...]] = [()]

    def after(self, ids: Sequence[int]) -> NDArray[np.float64]:
        last = [VOCABULARY, VOCABULARY, *ids][-2:]
        row: NDArray[np.float64] = self.log_probs[last[0], last[1]]
        return row

    def __call__(self, parents: Sequence[int], ids: Sequence[int]) -> NDArray[np.float64]:
        if parents:
            self.beams = [(*self.beams[parent], token) for parent, token in zip(parents, ids, strict=True)]
        return np.stack([self.after(beam) for beam in self.beams])


def every_continuation(model: Markov, length: int, penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    found = []
    for size in range(1, length + 1):
        for ids in itertools.product(range(VOCABULARY), repeat=size):
            ended = ids[-1] == EOS
            if EOS in ids[:-1] or (size < length and not ended):
                continue
            logprob = sum(model.after(ids[:index])[token] for index, token in enumerate(ids))
            found.append((logprob / size**penalty, ids))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_wide_enough_a_beam_finds_the_best_of_all(seed: int, penalty: float) -> None:
    expected = every_continuation(Markov(seed), 4, penalty)
    found = beam_search(Markov(seed), len(expected), 4, {EOS}, penalty)
    assert len(found) == len(expected)
    assert found[0].ids == expected[0][1]
    np.testing.assert_allclose([entry.score for entry in found], [score for score, _ in expected], atol=1e-12)


def test_one_beam_is_greedy() -> None:
    model = Markov(3)
    ids: tuple[int, ...] = ()
    while len(ids) < 5 and EOS not in ids:
        ids = (*ids, int(np.argmax(model.after(ids))))
    assert beam_search(Markov(3), 1, 5, {EOS})[0].ids == ids


def plain_search(model: Markov, beams: int, length: int, penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """The rules of transformers' beam search (early_stopping=False) one continuation at a time."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    done: list[tuple[float, tuple[int, ...]]] = []
    for size in range(1, length + 1):
        longer = [
            (logprob + model.after(ids)[token], (*ids, token)) for logprob, ids in live for token in range(VOCABULARY)
        ]
        best = sorted(longer, reverse=True)[: 2 * beams]
        # An end counts only where it is among the best `beams`; the better half of the others goes on.
        done += [(logprob / size**penalty, ids) for logprob, ids in best[:beams] if ids[-1] == EOS]
        done = sorted(done, reverse=True)[:beams]
        live = [(logprob, ids) for logprob, ids in best if ids[-1] != EOS][:beams]
        if len(done) == beams and done[-1][0] >= live[0][0] / size**penalty:
            break
    return sorted([*done, *((logprob / len(ids) ** penalty, ids) for logprob, ids in live)], reverse=True)[:beams]


@pytest.mark.parametrize("beams", [1, 2, 3])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_a_narrow_beam_goes_by_the_rules(beams: int, penalty: float) -> None:
    for seed in range(40):
        expected = plain_search(Markov(seed), beams, 6, penalty)
        found = beam_search(Markov(seed), beams, 6, {EOS}, penalty)
        assert [entry.ids for entry in found] == [ids for _, ids in expected], seed
        np.testing.assert_allclose([entry.score for entry in found], [score for score, _ in expected], atol=1e-12)
