"""What a model answers to several texts, for backends to be compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.tap import Capture
from tests.closeness import assert_close
from tests.model.golden import Golden, computed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.model.opened import Model

TEXTS, STEPS = 4, 2
SENTENCES = """
The capital of France is a large city
Once upon a time there was a king
A cat sat on the mat and slept
Water boils at one hundred degrees in a pot
My brother plays the piano every evening
The first man on the moon was not alone
She opened the door and saw the garden
Two and two are four, and three are seven
""".strip().splitlines()
TOKENS = 7
SEEN = ("*.input", "*.output", "*.weights", "*.pooled")
"""The steps that `computed` compares."""


def several(name: str) -> Golden:
    """The golden model of that name with several texts of one length in place of its one."""
    texts = Golden(name)  # With a mapping of its own.
    for key in texts.expected.keys() & {"ids", "source_ids"}:
        ids = texts.expected[key]
        texts.expected[key] = np.stack([np.roll(ids, shift) for shift in range(TEXTS)])  # type: ignore[index]
    return texts


def answers_of_golden(model: Model, texts: Golden) -> dict[str, Array]:
    """What is looked at in one pass over all texts, and the tokens that follow where it generates."""
    tap = Capture(*SEEN, optional=True)
    found = computed(model, texts, tap)
    found.pop("normed", None)
    if not model.can("generate"):
        return found
    # The same passes once more, as `computed` drops their cache.
    source = model.encode_source(texts.expected["source_ids"], tap) if texts.has_source else None
    cache = model.run(texts.expected["ids"], tap, source).cache
    return {**found, "chosen": _followed(model, found["logits"][:, -1:], cache)}


def answers_of_smollm2(model: Model) -> dict[str, Array]:
    """Attention weights and the last logits of one pass over the sentences, and the tokens that follow."""
    assert model.tokenizer is not None
    ids_BT = np.array([model.tokenizer.encode_ids(text)[:TOKENS] for text in SENTENCES])
    tap = Capture("layers.*.attention.weights")
    result = model.run(ids_BT, tap)
    logits_BTV = model.logits(result.stream_TD[:, -1:])
    return {**tap.arrays, "logits": logits_BTV, "chosen": _followed(model, logits_BTV, result.cache)}


def _followed(model: Model, logits_BTV: Array, cache: Cache | None) -> Array:
    """Each the most probable next token, found with the cache."""
    chosen = [logits_BTV.argmax(-1)]
    for _ in range(STEPS):
        result = model.run(chosen[-1], cache=cache)
        cache = result.cache
        chosen.append(model.logits(result.stream_TD).argmax(-1))
    return np.concatenate(chosen, -1)


def assert_same(found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        if key == "chosen":
            np.testing.assert_array_equal(found[key], values)
        else:
            assert_close(found[key], values, what=key)
