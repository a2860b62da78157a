"""Golden models that together have every tensor and setting give on JAX the reference's numbers, and numpy's; each
shape of a tensor the same greedy tokens.

Those that every layout gives with its cache over several devices are in `test_families_over_devices`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import pytest

from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.start import on_jax
from llminspect.core.tap import Capture
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.backends.jax.answers import SEEN
from tests.backends.jax.divided import UNCUT, cuts, passes, quickly_compiled
from tests.closeness import assert_close
from tests.model.golden import Golden, assert_as_expected, computed, greedy

if TYPE_CHECKING:
    from tests.backends.jax.conftest import Placed

GENERATING = [name for name in cuts() if "greedy" in Golden(name).expected]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.stages.Lowered, "compile", quickly_compiled)


@pytest.mark.parametrize("name", [*passes(), *UNCUT])
def test_the_numbers_are_the_reference_s(name: str, placed: Placed) -> None:
    golden, plain, model = placed(name)
    found = computed(model, golden, Capture(*SEEN, optional=True))
    assert_as_expected(found, golden)
    expected = computed(plain, golden)
    assert found.keys() == expected.keys() - {"normed"}
    for key, values in found.items():
        assert_close(values, expected[key], what=key)


@pytest.mark.parametrize("name", GENERATING)
def test_greedy_tokens_with_the_cache(name: str, placed: Placed) -> None:
    golden, _, model = placed(name)
    assert greedy(model, golden, cached=True) == golden.expected["greedy"].tolist()


def test_a_model_with_a_state_is_refused_by_its_layers() -> None:
    model = open_model(str(Golden("lfm2").folder), offline=True)
    with pytest.raises(UsageError, match=r"--engine jax: layers 0,2 of .* have a state"):
        on_jax(model, EngineSettings())
