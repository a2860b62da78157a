"""A file in bfloat16, as most models are published, opens as the same numbers in float32."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.opening import open_model
from tests import drawn
from tests.model.golden import NAMES, Golden

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.model.opened import Model


def written(golden: Golden, folder: Path, kind: str) -> Model:
    """The golden model with its weights rounded to bfloat16, in a file of that `kind` of number."""
    folder.mkdir()
    shutil.copy(golden.folder / "config.json", folder)
    named: dict[str, tuple[str, Array]] = {}
    for name, _, numbers in drawn.tensors((golden.folder / drawn.DESCRIPTION).read_text("utf-8")):
        bits = numbers.astype("<u4") << 16 if numbers.dtype == np.uint16 else numbers.astype("<f4").view("<u4")
        short = drawn.rounded(bits.view("<f4"), "BF16")
        wide = (short.astype("<u4") << 16).view("<f4")
        named[name] = (kind, short if kind == "BF16" else wide)
    (folder / "model.safetensors").write_bytes(drawn.file_of(named, ""))
    return open_model(str(folder), offline=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_bfloat16_has_the_numbers_of_one_in_float32(name: str, tmp_path: Path) -> None:
    short, wide = (written(Golden(name), tmp_path / kind, kind) for kind in ("BF16", "F32"))
    assert short.config == wide.config
    assert short.params.arrays.keys() == wide.params.arrays.keys()
    for array, numbers in wide.params.arrays.items():
        assert np.array_equal(short.params.arrays[array], numbers), array
