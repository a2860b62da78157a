"""Texts of different lengths in one pass, each given back as it goes alone: on every kind of model that goes so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.batches import APART, looked_at_together, token_axes
from llminspect.analysis.looking import looked_at
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.core.tap import Capture, matches
from llminspect.errors import UsageError
from llminspect.library.looking import of_model
from tests.closeness import SINGLE, assert_close
from tests.model.cover import abilities, covering, parts
from tests.model.golden import NAMES, Golden

if TYPE_CHECKING:
    from tests.model.conftest import Opened

BY_LENGTH = ["llama-dynamic", "phi3-longrope"]
"""Their tokens are turned at other speeds in a longer text."""
TOGETHER = [name for name in NAMES if not Golden(name).has_source and "labels" not in Golden(name).expected]


@pytest.mark.parametrize("name", [*covering(TOGETHER, lambda name: parts(name) | abilities(name)), *BY_LENGTH])
def test_texts_of_any_lengths_go_together_as_each_goes_alone(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    ids = golden.expected["ids"].tolist()
    prompts = [prompt_of_ids(ids[:length], None, None) for length in (3, len(ids), 1, 7)]
    seen = Capture("*")
    model.run(ids[:2], seen)
    names = [name for name in seen.arrays if not any(matches(name, apart) for apart in APART)]
    for found, prompt in zip(looked_at_together(model, prompts, names), prompts, strict=True):
        alone = looked_at(model, prompt, names)
        for step, array in alone.arrays.items():
            assert found[step].shape == array.shape, (step, token_axes(step))
            np.testing.assert_array_equal(np.isfinite(found[step]), np.isfinite(array), step)
            with np.errstate(invalid="ignore"):  # −∞ − −∞, which is left out.
                apart, whole = (np.where(np.isfinite(array), each, 0) for each in (found[step] - array, array))
            assert np.linalg.norm(apart) <= SINGLE * np.linalg.norm(whole), step
        assert (found.logits is None) == (alone.logits is None)
        if alone.logits is not None and found.logits is not None:
            assert_close(found.logits, alone.logits)


def test_an_encoder_has_no_next_token_to_go_back_from(opened: Opened) -> None:
    model = of_model(opened("bert")[1])
    with pytest.raises(UsageError, match="no next token"):
        model.gradients([2, 5, 3], of=5, at="layers.0.input")
    assert model.run_with_cache([2, 5, 3], "layers.0.output").logits is None
