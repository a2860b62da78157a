"""A GGUF decoder whose file says that its tokens see those after them does so, or is refused by that key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llminspect.errors import ModelError
from llminspect.files.gguf import GGUFFile
from llminspect.model.registry import architecture_of
from tests.model import gguf_of
from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path

DECODERS = [name for name in gguf_of.KINDS if "greedy" in Golden(name).expected and not Golden(name).has_source]


@pytest.mark.parametrize("name", DECODERS)
def test_what_a_file_says_of_causality_counts(name: str, tmp_path: Path) -> None:
    gguf_of.write(Golden(name), tmp_path / "it.gguf")
    metadata = GGUFFile(tmp_path / "it.gguf").metadata
    key, family = f"{metadata['general.architecture']}.attention.causal", architecture_of(metadata, "gguf", name)

    def causal(value: Any) -> bool | None:
        """None: refused."""
        try:
            return bool(family.config_from_gguf({**metadata, key: value}).causal)
        except ModelError as error:
            assert "causal" in error.message
            return None

    assert family.config_from_gguf(metadata).causal
    assert causal(True) is not False
    assert not causal(False)
    assert causal(0) is None
