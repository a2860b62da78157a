"""The weights that golden folders describe and do not hold: the same bits everywhere, made once, made anew."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import drawn

if TYPE_CHECKING:
    from pathlib import Path

MOST = 200_000
"""Bytes in the folder of a golden model that git keeps."""
LINES = "norm.weight 36 1 0.3\nlayers.{0,2}.up.weight 6x36 0 0.25\nfactor - 0.9 0.06\nwaves 3 = 1.0 0.1 -0.01\n"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("F32", "36f95cc76664528f06e7426096a0c26ab1bafd5b74bf7e99416f6603a905b299"),
        ("F16", "61efe0d46b110675344c941482d1e939a0cfcf25eabeb5094a6a1f0af6e92a8c"),
        ("BF16", "c49a612657317c188b77ae6d44f655b4b5c09caea6b93f623940ad3d888ef246"),
    ],
)
def test_a_seed_gives_the_bits_that_were_recorded(kind: str, expected: str) -> None:
    found = hashlib.sha256()
    for name, _, array in drawn.tensors(f"seed 3 {kind}\n{LINES}"):
        found.update(name.encode() + array.tobytes())
    assert found.hexdigest() == expected


def test_the_numbers_are_as_described() -> None:
    arrays = {name: array for name, _, array in drawn.tensors(f"seed 3 F32\nwide.{{0,7}} 100x90 2 0.5\n{LINES}")}
    assert list(arrays)[:3] == ["wide.0", "wide.7", "norm.weight"]
    assert arrays["factor"].shape == ()
    assert arrays["waves"].tolist() == np.array([1.0, 0.1, -0.01], np.float32).tolist()
    for wide in (arrays["wide.0"], arrays["wide.7"]):
        assert abs(wide.mean() - 2) < 0.02
        assert abs(wide.std() - 0.5) < 0.02
    assert abs(np.corrcoef(arrays["wide.0"].ravel(), arrays["wide.7"].ravel())[0, 1]) < 0.04


def test_a_file_is_written_once_and_anew_when_its_description_changes(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    for description in (f"seed 3 F32\n{LINES}", f"seed 4 F32\n{LINES}"):
        (tmp_path / drawn.DESCRIPTION).write_text(description)
        drawn.make(tmp_path)
        written = file.stat().st_ino
        drawn.make(tmp_path)
        assert file.stat().st_ino == written
        found = load_file(file)
        assert all(np.array_equal(found.pop(name), array) for name, _, array in drawn.tensors(description))
        assert not found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "weights.txt"]


def test_golden_folders_stay_small() -> None:
    sizes = {
        folder.parent: sum(
            path.stat().st_size
            for path in folder.parent.iterdir()
            if path.suffix != ".safetensors" or not (folder.parent / drawn.DESCRIPTION).exists()
        )
        for folder in drawn.GOLDEN.glob("*/expected.npz")
    }
    assert {folder.name: size for folder, size in sizes.items() if size > MOST} == {}
