"""Families without a class in the reference that are Llamas by other names: the golden Llama, renamed, is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llminspect.model.registry import architecture_of
from llminspect.opening import open_model
from tests.model.golden import Golden, computed
from tests.model.renamed import as_exaone, as_internlm2

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("kind", "change"), [("exaone", as_exaone), ("internlm2", as_internlm2)])
def test_a_llama_by_other_names_says_the_same(kind: str, change: Any, tmp_path: Path) -> None:
    golden = Golden("llama")
    config, arrays = change(golden.config(), load_file(golden.folder / "model.safetensors"))
    config = {key: value for key, value in config.items() if key not in ("attention_bias", "mlp_bias", "architectures")}
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": kind}))
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, tmp_path / "model.safetensors")
    model, llama = open_model(str(tmp_path), offline=True), open_model(str(golden.folder), offline=True)
    assert model.architecture.name == kind
    found, expected = computed(model, golden), computed(llama, golden)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize(("kind", "of"), [("iquestcoder", "llama"), ("internlm3", "llama"), ("ministral", "mistral")])
def test_a_kind_that_is_another_by_name_alone(kind: str, of: str) -> None:
    values = Golden(of).config()
    found, expected = (architecture_of({**values, "model_type": name}, "huggingface", name) for name in (kind, of))
    assert found.config_from_huggingface(values) == expected.config_from_huggingface(values)
    assert found.tensors is expected.tensors
