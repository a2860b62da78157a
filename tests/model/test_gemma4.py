"""What Gemma 4 has that no other kind has: keys that are borrowed, vectors for each layer; and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core.tap import Capture, Chain, Edit
from llminspect.errors import ModelError, UsageError
from llminspect.model.registry import architecture_of
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from tests.conftest import Program
    from tests.model.conftest import Opened

MIXED = {"enable_moe_block": True, "num_experts": 3, "top_k_experts": 2, "moe_intermediate_size": 4}
IDS = [5, 9, 30, 7, 11, 2, 41, 3, 8]


def test_the_last_layers_see_the_keys_of_the_last_one_with_their_window(opened: Opened) -> None:
    _, model = opened("gemma4")
    tap = Capture("*")
    model.run(IDS, tap)
    for part in ("key", "value"):
        for layer, lender in ((2, 0), (3, 1)):
            assert np.array_equal(tap[f"layers.{layer}.attention.{part}"], tap[f"layers.{lender}.attention.{part}"])
    assert "layers.2.attention.key.projected" not in tap.arrays


def test_a_value_can_be_changed_in_the_layer_that_borrows_it(opened: Opened) -> None:
    """In that layer, and in none that has it from the same one."""

    def turned_round(value_KTE: Array, _: Any) -> Array:
        return value_KTE[..., ::-1]

    _, model = opened("gemma4")
    plain, seen = Capture("layers.*.attention.mixed"), Capture("layers.*.attention.mixed")
    model.run(IDS, plain)
    model.run(IDS, Chain([Edit("layers.2.attention.value", turned_round, None), seen]))
    assert_close(seen["layers.2.attention.mixed"], plain["layers.2.attention.mixed"][..., ::-1])
    assert np.array_equal(seen["layers.0.attention.mixed"], plain["layers.0.attention.mixed"])


def test_it_goes_on_from_a_cache(opened: Opened) -> None:
    """Past its window, where what is changed is the new tokens' alone."""
    _, model = opened("gemma4")
    whole, cache = Capture("layers.*.attention.*"), model.run(IDS[:7]).cache
    part, same = Capture("layers.*.attention.*"), Edit("layers.2.attention.key", lambda array, _: array + 0, None)
    stream_TD = model.run(IDS, whole).stream_TD
    assert_close(model.run(IDS[7:], Chain([same, part]), cache).stream_TD, stream_TD[7:])
    assert_close(part["layers.2.attention.key"], whole["layers.2.attention.key"][:, 7:])


def test_both_forms_of_its_configuration_say_the_same() -> None:
    """That of transformers 5 states the heads by layer, its makers' by kind of layer."""
    values = Golden("gemma4-same-keys").config("config.older.json")
    assert (values["num_global_key_value_heads"], values["global_head_dim"]) == (1, 8)
    assert "per_layer_config" not in values


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"enable_moe_block": True, "moe_intermediate_size": 4}, "config.json lacks the setting 'num_experts'"),
        (MIXED | {"num_experts": 3, "top_k_experts": 4}, "top_k_experts = 4 is not understood"),
        (MIXED | {"moe_intermediate_size": 0}, "moe_intermediate_size = 0 is not understood"),
        ({"use_bidirectional_attention": "all"}, 'use_bidirectional_attention = "all" is not understood'),
        ({"hidden_activation": "silu"}, 'hidden_activation = "silu" is not understood'),
        ({"vocab_size_per_layer_input": 40}, "vocab_size_per_layer_input = 40 is not understood"),
        ({"num_kv_shared_layers": 3}, "num_kv_shared_layers = 3 is not understood"),
        ({"num_kv_shared_layers": 4}, "num_kv_shared_layers = 4 is not understood"),
        ({"per_layer_config": {"1": {"head_dim": 10}, "3": {"head_dim": 8}}}, "per_layer_config = "),
        ({"per_layer_config": {"1": {"head_dim": 10}}}, "per_layer_config = "),
        ({"per_layer_config": {"1": {"head_dim": 10, "b": 1}, "3": {"head_dim": 10, "b": 1}}}, "per_layer_config = "),
    ],
)
def test_what_is_built_otherwise_is_refused(changes: dict[str, Any], line: str) -> None:
    values = Golden("gemma4").config() | changes
    with pytest.raises(ModelError, match=line.replace("{", r"\{")):
        architecture_of(values, "huggingface", "gemma4").config_from_huggingface(values)


def test_keys_that_no_layer_reads_may_be_in_the_file(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = Golden("gemma4").folder
    shutil.copy(folder / "config.json", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    spare = {
        name.replace("layers.0.", "layers.2."): array + 1
        for name, array in tensors.items()
        if "layers.0.self_attn.k_" in name or "layers.0.self_attn.v_" in name
    }
    save_file({**spare, **tensors}, tmp_path / "model.safetensors")
    found = open_model(str(tmp_path), offline=True).run(IDS).stream_TD
    assert np.array_equal(found, open_model(str(folder), offline=True).run(IDS).stream_TD)
    assert json.loads((tmp_path / "config.json").read_text())["num_kv_shared_layers"] == 2


def test_the_text_part_of_one_that_sees_and_hears_is_the_same(tmp_path: Path) -> None:
    """As its makers publish it: the settings one object deeper, and a front before the names."""
    from safetensors.numpy import load_file, save_file

    folder = Golden("gemma4").folder
    inner = {key: value for key, value in Golden("gemma4").config().items() if key != "architectures"}
    outer = {"model_type": "gemma4", "text_config": inner, "vision_config": {"hidden_size": 8}, "audio_config": None}
    more = {"image_token_id": 40, "audio_token_id": 41, "boi_token_id": 42, "eoa_token_index": 43}
    (tmp_path / "config.json").write_text(json.dumps({**outer, **more, "tie_word_embeddings": True}))
    tensors = {
        name.replace("model.", "model.language_model.", 1): array
        for name, array in load_file(folder / "model.safetensors").items()
    }
    eye = {
        "model.vision_tower.patch_embedder.input_proj.weight": np.zeros((2, 2), np.float32),
        "model.embed_audio.embedding_projection.weight": np.zeros((2, 2), np.float32),
    }
    save_file({**tensors, **eye}, tmp_path / "model.safetensors")
    found = open_model(str(tmp_path), offline=True).run(IDS).stream_TD
    assert np.array_equal(found, open_model(str(folder), offline=True).run(IDS).stream_TD)


def test_info_says_of_it_what_most_kinds_do_not_have(called: Program) -> None:
    lines = {name: called("info", str(Golden(name).folder)).out for name in ("gemma4", "llama")}
    for step, value in (("layers that share keys", "2"), ("embedding of each layer", "4"), ("norms of values", "yes")):
        assert re.search(rf"^{step} +{value} *$", lines["gemma4"], re.MULTILINE)
        assert not re.search(rf"^{step} ", lines["llama"], re.MULTILINE)


def test_it_is_not_compiled() -> None:
    from llminspect.backends.jax.settings import EngineSettings
    from llminspect.backends.jax.start import on_jax

    model = open_model(str(Golden("gemma4").folder), offline=True)
    with pytest.raises(UsageError, match=r"--engine jax: the layers of .* use others' keys"):
        on_jax(model, EngineSettings())
