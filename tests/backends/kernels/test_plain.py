"""Models whose files hold plain numbers, of 16 or 32 bits: multiplied with as they lie there."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llminspect.backends.kernels.matrices import Blocks
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.files.test_safetensors import encoded
from tests.model.golden import Golden, assert_as_expected, computed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def matrices(arrays: Mapping[str, Any]) -> list[str]:
    return [name for name, array in arrays.items() if isinstance(array, Blocks)]


@pytest.mark.parametrize(("name", "kept"), [("llama", 23), ("gpt2", 19), ("falcon_h1", 4)])
def test_golden_models(name: str, kept: int) -> None:
    """Of odd widths; turned; and one whose reader multiplies most matrices by a number: those become float32."""
    golden = Golden(name)
    model = open_model(str(golden.folder), offline=True, kernels="compiled")
    assert_as_expected(computed(model, golden), golden)
    assert len(matrices(model.params.arrays)) == kept


def test_numbers_of_16_bits(tmp_path: Path) -> None:
    golden = Golden("llama")
    shutil.copy(golden.folder / "config.json", tmp_path)
    header: dict[str, dict[str, object]] = {}
    data = b""
    for name, array in load_file(golden.folder / "model.safetensors").items():
        start, upper = len(data), (array.view("<u4") >> 16).astype("<u2").tobytes()
        data += upper
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [start, len(data)]}
    (tmp_path / "model.safetensors").write_bytes(encoded(header, data))
    plain, kept = (open_model(str(tmp_path), kernels=kernels) for kernels in ("none", "compiled"))
    for name in matrices(kept.params.arrays):
        assert np.array_equal(np.asarray(kept.params[name]), plain.params[name])
    ids = golden.expected["ids"].reshape(-1)[:9].tolist()
    for number in (1, 9):
        logits_TV, others_TV = (model.logits(model.run(ids[:number]).stream_TD) for model in (kept, plain))
        assert_close(logits_TV, others_TV)
