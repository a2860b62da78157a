"""Further kin of BERT: what files of other versions of them hold."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llminspect.core.rotary import Linear
from llminspect.model.registry import architecture_of
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.model.golden import Golden, assert_as_expected, computed, with_arrays
from tests.model.test_golden_gguf import opened as opened_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.model.conftest import Opened


def test_the_first_files_of_jina_v3_are_called_xlm_roberta_and_hold_adapters(tmp_path: Path) -> None:
    golden, arrays = Golden("jina-v3"), dict[str, Any]()
    for name, array in load_file(golden.folder / "model.safetensors").items():
        if name.endswith("Wqkv.weight"):
            front = name.removesuffix("weight") + "parametrizations.weight."
            name = f"{front}original"
            arrays |= {f"{front}0.lora_{part}": np.ones((5, 4, 8), np.float32) for part in "AB"}
        arrays[name] = array
    save_file(arrays, tmp_path / "model.safetensors")
    config = golden.config()
    config |= {"model_type": "xlm-roberta", "position_embedding_type": "rotary", "lora_rank": 4, "lora_prompts": {}}
    config |= {"rotary_emb_base": config.pop("rope_parameters")["rope_theta"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert_as_expected(computed(open_model(str(tmp_path)), golden), golden)


def test_the_first_files_of_gte_are_called_new_and_have_a_scaling_of_their_own() -> None:
    config = Golden("gte").config()
    config |= {"model_type": "new", "rope_theta": 20.0, "rope_scaling": {"type": "ntk", "factor": 8.0}}
    config |= {"layer_norm_type": "layer_norm", "pack_qkv": True, "logn_attention_scale": False}
    config.pop("rope_parameters")
    rotary = architecture_of(config, "huggingface", "it").config_from_huggingface(config).rotary
    assert (rotary.base, rotary.scaling) == (160.0, Linear(8.0 ** (2 / 4)))


def test_gguf_files_of_a_mixture_of_nomic_lack_its_bias(opened: Opened, tmp_path: Path) -> None:
    golden, model = opened("nomic-mixture")
    name = "layers.1.feedforward.bias"
    lacking = with_arrays(model, {name: np.zeros_like(model.params.arrays[name])})
    found, expected = computed(opened_gguf(golden, tmp_path), golden), computed(lacking, golden)
    assert_close(found["hidden"], expected["hidden"], 1e-5)


@pytest.mark.parametrize("name", ["jina-bert", "jina-bert-code"])
def test_older_gguf_files_of_jina_hold_the_halves_apart(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    from tests.model import gguf_of

    def apart(config: Any, arrays: Any) -> Any:
        for file_name, array in whole(config, arrays):
            halves = np.array_split(array, 2)
            if file_name.endswith("gated_layers.weight"):
                yield from zip((re.sub("layers", f"layers_{end}", file_name) for end in "wv"), halves, strict=True)
            elif file_name.endswith("up_gated_layer.weight"):
                front = file_name.removesuffix("up_gated_layer.weight")
                yield from zip((f"{front}gated_layers_{end}.weight" for end in "vw"), halves, strict=True)
            else:
                yield file_name, array

    whole = gguf_of.changed
    monkeypatch.setattr(gguf_of, "changed", apart)
    golden = Golden(name)
    assert_as_expected(computed(opened_gguf(golden, tmp_path), golden), golden)
