"""SmolLM2 over as many devices as it can be cut for: its 9 heads share 3 keys, so `model` is 1 or 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.start import on_jax
from tests.backends.jax.answers import answers_of_smollm2, assert_same

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program


def test_it_says_what_it_says_on_numpy(smollm2: Model) -> None:
    axes = {"data": 2, "model": 3}
    assert_same(answers_of_smollm2(on_jax(smollm2, EngineSettings(axes))), answers_of_smollm2(smollm2))


@pytest.mark.parametrize("axes", ["model=8", "data=2,model=4", "data=4,model=2"])
def test_what_it_cannot_be_cut_into_is_said(axes: str, called: Program) -> None:
    parts = axes[-1]
    ran = called("forward", "A cat", "--engine", "jax", "--mesh", axes)
    assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1
    assert f"H = 9, K = 3 cannot be cut into {parts} equal parts" in ran.err and "model=1 or 3 would do" in ran.err
