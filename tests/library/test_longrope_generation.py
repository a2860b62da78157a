"""A LongRoPE turns all tokens otherwise in a long text: what is written past its context is what a whole pass gives."""

from __future__ import annotations

import numpy as np
import pytest

import llminspect
from llminspect.errors import UsageError
from tests.model.golden import Golden

FOLDER = str(Golden("phi3-longrope").folder)
PROMPT = [5, 9, 11, 20, 7, 8, 3, 30, 31, 4, 6, 10, 12, 13, 14, 15, 16, 17, 18, 19]
"""20 tokens: four more have the divisors of short texts."""


def written_anew(tokens: int) -> list[int]:
    model, ids = llminspect.open_model(FOLDER), list(PROMPT)
    for _ in range(tokens):
        ids.append(int(np.argmax(model.logits(model.run(ids).stream_TD[-1:])[0])))
    return ids[len(PROMPT) :]


@pytest.mark.parametrize("more", [{}, {"beams": 1}])
def test_what_is_written_past_the_context_is_what_a_whole_pass_gives(more: dict[str, int]) -> None:
    found = llminspect.generate(PROMPT, FOLDER, max_tokens=12, ignore_eos=True, **more)
    assert found.ids == written_anew(12)


def test_no_guess_is_kept_there() -> None:
    with pytest.raises(UsageError, match="--lookup"):
        llminspect.generate(PROMPT, FOLDER, max_tokens=12, lookup=3)
