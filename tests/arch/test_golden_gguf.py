"""A GGUF file of a golden model's weights gives the reference's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llminspect.arch.params import Params
from llminspect.arch.registry import architecture_for, claim
from llminspect.files.gguf import GGUFFile
from llminspect.model import Model
from tests.arch.gguf_of import KINDS, UNSAID, write
from tests.arch.golden import Golden, assert_as_expected, computed, greedy

if TYPE_CHECKING:
    from pathlib import Path


def opened(golden: Golden, folder: Path) -> Model:
    """As `open_model` opens it, but without the tokenizer, which these files only pretend to have."""
    write(golden, folder / "model.gguf")
    file = GGUFFile(folder / "model.gguf")
    architecture = architecture_for(str(file.metadata["general.architecture"]), "gguf")
    assert architecture.config_from_gguf is not None
    config = UNSAID.get(golden.name, same)(architecture.config_from_gguf(file.metadata))
    arrays = {}
    for spec in claim(architecture, config, "gguf", {name: info.shape for name, info in file.tensors.items()}):
        (source,) = spec.sources("gguf")
        fix = spec.fix("gguf")
        array = file.array(source)
        arrays[spec.name] = array if fix is None else fix(array, config)
    return Model(golden.name, architecture, config, Params(arrays), None)


@pytest.mark.parametrize("name", KINDS)
def test_the_numbers_are_the_reference_s(name: str, tmp_path: Path) -> None:
    golden = Golden(name)
    model = opened(golden, tmp_path)
    found = computed(model, golden)
    assert_as_expected(found, golden)
    if "greedy" in golden.expected:
        assert greedy(model, golden, cached=True) == golden.expected["greedy"].tolist()


def same(config: Any) -> Any:
    return config
