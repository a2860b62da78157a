"""Guessing from what stood before changes how many passes there are, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.core.cache import Cache, LayerCache
from llminspect.core.decoding import LookAhead, continuation, decode
from llminspect.core.sampling import Draws, Sampling
from llminspect.opening import open_model
from tests.model.golden import Golden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.model.opened import Model

PROMPT = [5, 9, 2, 7, 4, 5, 9, 2]


@pytest.mark.parametrize(
    ("ids", "most", "expected"),
    [
        ([1, 2, 3, 9, 1, 2, 3], 2, [9, 1]),
        ([1, 2, 3, 9, 1, 2, 3], 9, [9, 1, 2, 3]),
        ([7, 2, 3, 8, 1, 2, 3, 9, 0, 2, 3], 1, [9]),  # The latest place of those that fit.
        ([1, 2, 3, 8, 4, 2, 3, 9, 1, 2, 3], 1, [8]),  # But three tokens alike before two.
        ([6, 6, 6, 6], 3, [6]),
        ([1, 2, 3, 4], 3, []),
        ([3, 1, 3], 3, []),
        ([1, 2, 1, 2], 0, []),
        ([1, 2, 1, 2], -1, []),
        ([], 3, []),
    ],
)
def test_the_guess(ids: list[int], most: int, expected: list[int]) -> None:
    assert continuation(ids, most) == expected


@pytest.mark.parametrize("most", [1, 4, 15])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral", "gemma2"])
def test_the_same_tokens_in_fewer_passes(name: str, seed: int | None, most: int) -> None:
    model = open_model(str(Golden(name).folder))
    context = min(40, model.config.sizes.context)
    sampling = Sampling() if seed is None else Sampling(top_k=2)
    plain, passes = note(model, sampling, seed, 0, context)
    ahead, fewer = note(model, sampling, seed, most, context)
    assert ahead[0] == plain[0]
    np.testing.assert_allclose(ahead[1], plain[1], atol=1e-5)
    assert fewer <= passes


def test_a_right_guess_needs_no_pass_and_a_wrong_one_leaves_nothing_over() -> None:
    counting = Counting([1, 2, 3, 1, 2, 4, 1, 2, 4, 1, 2, 4, 1, 2, 4])
    ask = LookAhead(counting, 3, 100)
    choices = decode(ask, [1, 2, 3, 1, 2], Sampling(), None, context=15)
    assert [choice.id for choice in choices] == [4, 1, 2, 4, 1, 2, 4, 1, 2, 4]
    assert counting.fed == [[1, 2, 3, 1, 2, 3, 1, 2], [4], [1], [2, 4, 1, 2], [4, 1, 2, 4]]
    assert ask.passes == len(counting.fed)


def test_it_never_looks_over_the_end_of_the_context() -> None:
    counting = Counting([1, 2, 3, 1, 2, 3, 1, 2])
    assert len(list(decode(LookAhead(counting, 9, 6), [1, 2, 3, 1, 2], Sampling(), None, context=6))) == 1
    assert counting.fed == [[1, 2, 3, 1, 2, 3]]


def test_a_cut_cache_shares_nothing_that_is_written() -> None:
    def some(tokens: int, value: float) -> Array:
        return np.full((1, tokens, 2), value, np.float32)

    whole = LayerCache(some(1, 0), some(1, 0)).extend(some(3, 1), some(3, 1))
    other = Cache(4, (whole,)).cut(2).layers[0].extend(some(2, 5), some(2, 5))
    assert whole.key_KSE[0, :, 0].tolist() == [0, 1, 1, 1]
    assert other.key_KSE[0, :, 0].tolist() == [0, 1, 5, 5]


class Counting:
    """A model that says one text whatever it reads, and checks that the cache holds what came before."""

    def __init__(self, text: list[int]) -> None:
        self.text, self.fed = text, list[list[int]]()

    def __call__(self, ids: Sequence[int], cache: Cache | None, wanted: int) -> tuple[Array, Cache]:
        self.fed.append(list(ids))
        length = (cache.length if cache else 0) + len(ids)
        rows = np.zeros((wanted, 10), np.float32)
        for row, place in enumerate(range(length - wanted + 1, length + 1)):
            rows[row, self.text[place] if place < len(self.text) else 0] = 50
        return rows, Cache(length)


def note(
    model: Model, sampling: Sampling, seed: int | None, most: int, context: int
) -> tuple[tuple[list[int], list[Array]], int]:
    passes = 0

    def ask_rows(ids: Sequence[int], cache: Cache | None, wanted: int) -> tuple[Array, Cache]:
        nonlocal passes
        passes += 1
        result = model.run(ids, cache=cache)
        assert result.cache is not None, "a model that keeps nothing cannot look ahead"
        return model.logits(result.stream_TD[-wanted:]), result.cache

    ask = LookAhead(ask_rows, most, context)
    draws = None if seed is None else Draws(seed)
    choices = list(decode(ask, PROMPT, sampling, draws, context=context))
    return ([choice.id for choice in choices], [choice.model_V for choice in choices]), passes
