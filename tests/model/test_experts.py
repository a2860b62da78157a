"""What mixtures of experts refuse, and what their files may state in more than one way."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llminspect.errors import ModelError
from llminspect.model.registry import architecture_for
from llminspect.opening import open_model
from tests.model.golden import Golden, assert_as_expected, computed

if TYPE_CHECKING:
    from pathlib import Path


def read(config: dict[str, Any]) -> Any:
    return architecture_for(config["model_type"], "huggingface").config_from_huggingface(config)


@pytest.mark.parametrize(
    ("name", "settings", "refused"),
    [
        ("granitemoe", {"num_experts_per_tok": 6}, "num_experts_per_tok = 6 .* at most 5"),
        ("granitemoe", {"shared_intermediate_size": -3}, "shared_intermediate_size = -3 .* a whole number"),
        ("phimoe", {"num_experts_per_tok": 1}, "num_experts_per_tok = 1 .* 2"),
        ("phimoe", {"num_local_experts": 1}, "num_local_experts = 1 .* two or more"),
        ("phimoe", {"router_jitter_noise": -0.1}, "router_jitter_noise = -0.1 .* from 0 to 1"),
        (
            "phimoe",
            {"rope_scaling": {"short_mscale": 1.0, "long_mscale": 2.0}},
            "rope_scaling .* same short_mscale",
        ),
        ("ernie4_5_moe", {"moe_layer_interval": 0}, "moe_layer_interval = 0 .* from 1"),
        ("ernie4_5_moe", {"moe_norm_min": 0.1}, "moe_norm_min = 0.1 .* 1e-12"),
        ("ernie4_5_moe", {"use_bias": True}, "use_bias = true .* false"),
        ("ernie4_5_moe", {"moe_gate_act": "sigmoid"}, "moe_gate_act = .* softmax"),
        ("hunyuan_v1_moe", {"moe_topk": [2, 3]}, "moe_topk = .* the same for each of 2 layers"),
        ("hunyuan_v1_moe", {"moe_topk": 6}, "moe_topk = 6 .* at most 5"),
        ("hunyuan_v1_moe", {"moe_intermediate_size": 7}, "moe_intermediate_size = 7 .* 20"),
        ("hunyuan_v1_moe", {"use_cla": True}, "use_cla = true .* false"),
        ("olmoe", {"clip_qkv": 8.0}, "clip_qkv = 8.0"),
        ("dots1", {"first_k_dense_replace": 9}, "first_k_dense_replace = 9 .* 0 to 3"),
        ("dots1", {"n_group": 4}, "n_group = 4 .* evenly"),
        ("glm4_moe", {"topk_group": 2}, "topk_group = 2 .* at most 1"),
        ("glm4_moe", {"num_nextn_predict_layers": -1}, "num_nextn_predict_layers = -1 .* 0 to 8"),
        ("minimax_m2", {"scoring_func": "softmax"}, "scoring_func = .* sigmoid"),
        ("minimax_m2", {"attn_type_list": [1, 0]}, "attn_type_list = .* known"),
        ("minimax_m2", {"shared_intermediate_size": 8}, "shared_intermediate_size = 8 .* 0"),
    ],
)
def test_a_mixture_of_another_make_is_refused(name: str, settings: dict[str, Any], refused: str) -> None:
    with pytest.raises(ModelError) as caught:
        read({**Golden(name).config(), **settings})
    assert re.search(refused, f"{caught.value} {caught.value.hint}")


def test_what_is_said_for_each_layer_is_said_once() -> None:
    config = Golden("hunyuan_v1_moe").config()
    lists = {"moe_topk": [2, 2], "moe_intermediate_size": [20, 20], "num_shared_expert": [1, 1]}
    assert read({**config, **lists}) == read(config)


def test_a_width_of_the_rotation_is_read_as_a_share() -> None:
    config = Golden("minimax_m2").config("config.older.json")
    assert config.pop("partial_rotary_factor") == 0.6
    assert read({**config, "rotary_dim": 6}) == read(Golden("minimax_m2").config())


def test_experts_in_one_tensor_are_those_in_many(tmp_path: Path) -> None:
    """As transformers 5 keeps them, and writes them where it does not go back to the names of before."""
    golden = Golden("mixtral")
    arrays = load_file(golden.folder / "model.safetensors")
    block, experts = "model.layers.{}.block_sparse_moe.", range(golden.config()["num_local_experts"])
    for layer in range(golden.config()["num_hidden_layers"]):
        front, today = block.format(layer), f"model.layers.{layer}.mlp."
        gates, ups, downs = (
            np.stack([arrays.pop(f"{front}experts.{index}.{part}.weight") for index in experts])
            for part in ("w1", "w3", "w2")
        )
        arrays[f"{today}experts.gate_up_proj"] = np.concatenate([gates, ups], axis=1)
        arrays[f"{today}experts.down_proj"] = downs
        arrays[f"{today}gate.weight"] = arrays.pop(f"{front}gate.weight")
    save_file(arrays, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(golden.config()))
    assert_as_expected(computed(open_model(str(tmp_path)), golden), golden)


def test_experts_input_by_output_are_turned(tmp_path: Path) -> None:
    """As the mixture of Qwen3-VL is published."""
    golden = Golden("qwen3_vl_moe")
    arrays = load_file(golden.folder / "model.safetensors")
    turned = {name: array.swapaxes(1, 2).copy() if ".experts." in name else array for name, array in arrays.items()}
    save_file(turned, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(golden.config()))
    assert_as_expected(computed(open_model(str(tmp_path)), golden), golden)


def test_a_granite_without_a_shared_expert(tmp_path: Path) -> None:
    golden = Golden("granitemoe")
    config = {key: value for key, value in golden.config().items() if key != "shared_intermediate_size"}
    arrays = load_file(golden.folder / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "granitemoe"}))
    save_file(
        {name: array for name, array in arrays.items() if "shared_mlp" not in name}, tmp_path / "model.safetensors"
    )
    model = open_model(str(tmp_path))
    assert model.config.experts is not None and model.config.experts.shared_width is None
    with pytest.raises(AssertionError):
        assert_as_expected(computed(model, golden), golden)
