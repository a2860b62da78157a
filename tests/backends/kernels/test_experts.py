"""Matrices of experts that stay as the file has them: those that are chosen are read, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.backends.kernels.matrices import Blocks, ExpertMatrices
from llminspect.backends.kernels.rounded import RoundedBlocks
from llminspect.errors import ModelError
from llminspect.files.quant_types import COMPILED
from llminspect.opening import open_model
from tests.backends.kernels.test_blocks import numpys, random_blocks
from tests.closeness import assert_close
from tests.model.gguf_of import write
from tests.model.golden import Golden, assert_as_expected, computed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.model.opened import Model


def stacks(model: Model) -> list[ExpertMatrices]:
    arrays: Mapping[str, Any] = model.params.arrays
    return [array for array in arrays.values() if isinstance(array, ExpertMatrices)]


@pytest.mark.parametrize(("name", "kept"), [("mixtral", 9), ("qwen3-moe", 6), ("gpt-oss", 0)])
def test_golden_mixtures(name: str, kept: int) -> None:
    """In tensors of their own; in one, and a layer without; turned, and of float32, which is prepared."""
    golden = Golden(name)
    model = open_model(str(golden.folder), kernels="compiled")
    assert_as_expected(computed(model, golden), golden)
    assert len(stacks(model)) == kept


def test_stacked_in_a_gguf_file(tmp_path: Path) -> None:
    golden, path = Golden("gpt-oss"), tmp_path / "model.gguf"
    write(golden, path)
    plain, kept = (open_model(str(path), kernels=kernels) for kernels in ("none", "compiled"))
    assert len(stacks(kept)) == 3 * kept.config.sizes.L
    expected = computed(plain, golden)
    for name, array in computed(kept, golden).items():
        assert_close(array, expected[name], what=name)


def test_what_is_not_chosen_is_not_read() -> None:
    model = open_model(str(Golden("mixtral").folder), kernels="compiled")
    model.run([5])
    experts = model.config.experts
    assert experts is not None
    chosen = experts.chosen
    assert all(len(stack._made) == chosen < len(stack) for stack in stacks(model))


def some(name: str, checked: bool = True, broken: int | None = None) -> ExpertMatrices:
    parts = [random_blocks(name, 7, 6, seed=seed) for seed in range(3)]
    if broken is not None:
        parts[broken] = parts[broken].copy()
        parts[broken][4, :2] = 0xFF
    return ExpertMatrices("experts.up.weight", [(COMPILED[name], part) for part in parts], 1, checked)


def product(x_NI: Array, weights_OI: Array) -> Array:
    return x_NI.astype(np.float64) @ weights_OI.astype(np.float64).T


def test_each_is_a_matrix_of_its_own() -> None:
    for name in ("Q4_0", "Q4_K", "MXFP4", "BF16"):
        experts = some(name)
        x_NI = np.random.default_rng(0).normal(size=(2, experts.shape[2])).astype(np.float32)
        assert experts.shape == np.asarray(experts).shape and experts.finite() and len(experts) == 3
        for index in range(3):
            weights_OI = numpys(name, random_blocks(name, 7, 6, seed=index))
            assert np.array_equal(np.asarray(experts)[index], weights_OI)
            assert experts[index].products(x_NI) == pytest.approx(product(x_NI, weights_OI), rel=1e-5, abs=1e-5)


def test_one_that_is_no_number_is_refused_when_it_is_looked_at() -> None:
    experts = some("Q4_0", broken=1)
    assert not experts.finite()
    assert isinstance(experts[0], Blocks) and isinstance(experts[2], Blocks)
    with pytest.raises(ModelError, match=r"NaN or infinity: experts\.up\.weight, expert 1"):
        experts[1]
    assert isinstance(some("Q4_0", checked=False, broken=1)[1], Blocks)


def test_they_round_where_their_file_quantizes_them() -> None:
    rounding = some("Q8_0").becoming(RoundedBlocks)
    assert rounding is not None and isinstance(rounding[0], RoundedBlocks)
    assert some("BF16").becoming(RoundedBlocks) is None
