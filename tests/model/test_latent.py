"""What a model with latent attention may not say, and what its files may hold besides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llminspect.analysis.info import info
from llminspect.errors import ModelError
from llminspect.files.gguf import GGUFFile
from llminspect.model.registry import architecture_for, architecture_of
from llminspect.opening import describe_model
from tests.model.gguf_of import write
from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path

YARN = {"type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_key_value_heads": 1}, "num_key_value_heads"),
        ({"head_dim": 5}, "head_dim"),
        ({"qk_head_dim": 5}, "qk_head_dim"),
        ({"qk_nope_head_dim": 0}, "qk_nope_head_dim"),
        ({"kv_lora_rank": None}, "kv_lora_rank"),
        ({"q_lora_rank": "6"}, "q_lora_rank"),
        ({"qk_rope_head_dim": 5, "head_dim": 5, "qk_head_dim": 10}, "not in pairs"),
        (
            {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.4}},
            "partial_rotary_factor = 0.4 is not understood",
        ),
        ({"rope_interleave": "yes"}, "rope_interleave"),
        ({"sparse_attention": {"index_topk": 4}}, "sparse_attention"),
    ],
)
def test_what_is_not_computed_is_refused(settings: dict[str, Any], named: str) -> None:
    values = Golden("youtu").config()
    architecture = architecture_of(values, "huggingface", "youtu")
    architecture.config_from_huggingface(values)
    with pytest.raises(ModelError, match=named):
        architecture.config_from_huggingface(values | {"rope_theta": 50.0} | settings)


@pytest.mark.parametrize(
    ("name", "settings", "named"),
    [
        ("deepseek-v3", {"n_group": 3}, "n_group"),
        ("deepseek-v3", {"topk_group": 3}, "topk_group"),
        ("deepseek-v3", {"num_experts_per_tok": 5}, "num_experts_per_tok"),
        ("deepseek-v3", {"scoring_func": "softmax"}, "scoring_func"),
        ("deepseek-v3", {"topk_method": "greedy"}, "topk_method"),
        ("deepseek-v3", {"first_k_dense_replace": -1}, "first_k_dense_replace"),
        ("deepseek-v3", {"moe_layer_freq": 2}, "moe_layer_freq"),
        ("deepseek-v3", {"num_nextn_predict_layers": 9}, "num_nextn_predict_layers"),
        ("deepseek-v2", {"topk_method": "noaux_tc"}, "topk_method"),
        ("deepseek-v2", {"norm_topk_prob": True}, "norm_topk_prob"),
        ("deepseek-v2", {"scoring_func": "sigmoid"}, "scoring_func"),
        ("deepseek-v2", {"topk_method": "greedy", "num_experts_per_tok": 9}, "num_experts_per_tok"),
        ("glm4-moe-lite", {"mlp_layer_types": ["sparse", "dense"]}, "mlp_layer_types"),
        ("glm4-moe-lite", {"first_k_dense_replace": 2}, "first_k_dense_replace"),
    ],
)
def test_mixtures_that_are_not_computed_are_refused(name: str, settings: dict[str, Any], named: str) -> None:
    values = Golden(name).config()
    architecture = architecture_of(values, "huggingface", name)
    architecture.config_from_huggingface(values)
    with pytest.raises(ModelError, match=named):
        architecture.config_from_huggingface(values | settings)


def test_kimi_k2_is_a_deepseek_v3_and_every_key_of_its_file_is_understood() -> None:
    values = {
        **Golden("deepseek-v3").config("config.older.json"),
        "model_type": "kimi_k2",
        "rope_scaling": YARN,
        "n_group": 1,
        "topk_group": 1,
        "moe_layer_freq": 1,
        "scoring_func": "sigmoid",
        "topk_method": "noaux_tc",
        "seq_aux": True,
        "aux_loss_alpha": 0.001,
        "ep_size": 1,
    }
    architecture = architecture_of(values, "huggingface", "kimi")
    config = architecture.config_from_huggingface(values)
    assert architecture.name == "deepseek-v3"
    assert config.experts.by_group is None
    assert config.scale == pytest.approx(11**-0.5 * (0.1 * np.log(40) + 1) ** 2)
    assert config.rotary.gain == 1


def test_layers_that_predict_further_tokens_are_passed_over_and_named(tmp_path: Path) -> None:
    golden = Golden("deepseek-v3")
    values, arrays = golden.config(), load_file(golden.folder / "model.safetensors")
    further = {name.replace("layers.1.", "layers.2."): array for name, array in arrays.items() if "layers.1." in name}
    save_file(arrays | further, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(values | {"num_nextn_predict_layers": 1}))
    described = describe_model(str(tmp_path))
    assert described.config.sizes.L == 2
    assert info(described, None, "it").notes == ["1 layer after the last, to predict further tokens, not run"]
    assert info(describe_model(str(golden.folder)), None, "it").notes is None
    (tmp_path / "config.json").write_text(json.dumps(values | {"num_nextn_predict_layers": 0}))
    with pytest.raises(ModelError, match=r"does not have: model\.layers\.2\."):
        describe_model(str(tmp_path))


def test_older_gguf_files_hold_keys_and_values_in_one_matrix(tmp_path: Path) -> None:
    golden = Golden("deepseek-v3")
    write(golden, tmp_path / "model.gguf")
    file, architecture = GGUFFile(tmp_path / "model.gguf"), architecture_for("deepseek2", "gguf")
    newer = architecture.config_from_gguf(file.metadata)
    older_keys = {"key_length": newer.sizes.E, "value_length": newer.sizes.U, "head_count_kv": newer.sizes.H}
    metadata = {key: value for key, value in file.metadata.items() if not key.endswith("_mla")}
    older = architecture.config_from_gguf(
        metadata | {f"deepseek2.attention.{key}": value for key, value in older_keys.items()}
    )
    assert (older.sizes, older.scale, older.split, newer.split) == (newer.sizes, newer.scale, False, True)
    both = load_file(golden.folder / "model.safetensors")["model.layers.0.self_attn.kv_b_proj.weight"]
    specs = [{spec.name: spec for spec in architecture.tensors(config)} for config in (older, newer)]
    for part in ("key", "value"):
        one, other = (found[f"layers.0.attention.{part}.weight"] for found in specs)
        assert one.gguf == "blk.0.attn_kv_b.weight" and one.gguf_fix is not None and other.gguf_fix is not None
        assert isinstance(other.gguf, str)
        np.testing.assert_array_equal(one.gguf_fix(both, older), other.gguf_fix(file.array(other.gguf), newer))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention.key_length", 9),
        ("attention.key_length_mla", 6),
        ("attention.head_count_kv", 2),
        ("expert_gating_func", 3),
        ("expert_group_count", 3),
        ("leading_dense_block_count", -1),
    ],
)
def test_what_a_gguf_file_may_not_say(key: str, value: int, tmp_path: Path) -> None:
    write(Golden("deepseek-v3"), tmp_path / "model.gguf")
    metadata, architecture = GGUFFile(tmp_path / "model.gguf").metadata, architecture_for("deepseek2", "gguf")
    with pytest.raises(ModelError, match=key):
        architecture.config_from_gguf(metadata | {f"deepseek2.{key}": value})


def test_a_gguf_file_whose_layers_all_have_one_network(tmp_path: Path) -> None:
    """Youtu-LLM is one: for llama.cpp it is of the same kind."""
    write(Golden("deepseek-v3"), tmp_path / "model.gguf")
    metadata = GGUFFile(tmp_path / "model.gguf").metadata | {"deepseek2.leading_dense_block_count": 2}
    config = architecture_for("deepseek2", "gguf").config_from_gguf(metadata)
    assert (config.experts, config.sizes.X, config.sizes.F) == (None, 0, 34)
