"""What the commands say of the columns that a narrow page has no room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Program

WIDE = {
    "vocabulary": ("tokenize", "naive", "--compare", "words", "--compare", "bytes"),
    "bits": ("generate", "hello", "--model", "toy", "--max-tokens", "2", "--temperature", "2", "--seed", "1"),
    "mean, time": ("forward", "hello", "--model", "toy-relu", "--layer", "0"),
}


@pytest.mark.parametrize("names", WIDE)
def test_columns_without_room_are_named(names: str, called: Program) -> None:
    narrow, wide = (called(*WIDE[names], COLUMNS=columns).out for columns in ("44", "80"))
    assert f"Left out at this width: {names}" in " ".join(narrow.split())
    assert "Left out" not in wide and all(name in wide for name in names.split(", "))
