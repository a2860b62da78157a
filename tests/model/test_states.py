"""Layers with a state: their effective weights are exact; what only an attention can do is refused by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.attend import attend
from llminspect.analysis.attention_arrays import attention_arrays
from llminspect.analysis.experiments import experiment_taps
from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.analysis.patching import other_text
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.analysis.sweeping import sweep
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.generate import GenerateOptions
from llminspect.commands.attend.view import render
from llminspect.core.tap import Capture, Chain, Edit
from llminspect.errors import ModelError, UsageError
from llminspect.files.folder import open_safetensors
from llminspect.model.registry import architecture_of, claim
from tests.closeness import assert_close
from tests.model.golden import NAMES, Golden, with_arrays
from tests.model.test_golden import in_float64
from tests.render.samples import lines

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program
    from tests.model.conftest import Opened

IDS = [3, 7, 9, 3, 7, 5, 11]


def config_of(name: str) -> Any:
    values = Golden(name).config()
    return architecture_of(values, "huggingface", name).config_from_huggingface(values)


STATEFUL = [name for name in NAMES if config_of(name).state is not None]
HYBRID = [name for name in STATEFUL if config_of(name).without_attention and config_of(name).attending]


def without_bias(model: Model) -> Model:
    """Nothing beside the values in what is read from the state: their weights alone tell it."""
    biases = {name: array for name, array in model.params.arrays.items() if name.endswith("state.convolution.bias")}
    return with_arrays(model, {name: np.zeros_like(array) for name, array in biases.items()})


@pytest.mark.parametrize("name", STATEFUL)
def test_effective_weights_are_exact_and_can_be_changed(name: str, opened: Opened) -> None:
    _, model = opened(name)
    model, layer = in_float64(without_bias(model)), model.config.state_layers[0]
    seen = Capture(f"layers.{layer}.state.*")
    model.run(IDS, seen)
    weights, value, mixed = (seen[f"layers.{layer}.state.{step}"] for step in ("weights", "value", "mixed"))
    assert model.config.state is not None and len(weights) == model.config.state.heads
    assert_close(weights @ value, mixed)
    assert not np.triu(weights, 1).any()
    changed = Capture(f"layers.{layer}.state.mixed")
    edit = Edit(f"layers.{layer}.state.weights", lambda array: array * 3)
    model.run(IDS, Chain([edit, changed]))
    assert_close(changed[f"layers.{layer}.state.mixed"], 3 * mixed)


@pytest.mark.parametrize("name", STATEFUL)
def test_attend_shows_them_and_says_which_layers_have_attention(name: str, opened: Opened) -> None:
    _, model = opened(name)
    config, layer = model.config, model.config.state_layers[-1]
    assert config.state is not None
    prompt = prompt_of_ids(IDS, model.tokenizer, None)
    every = attend(model, AttendOptions(), prompt)
    assert every.attention_layers == list(config.attending)
    assert every.states is not None and [state.layer for state in every.states] == list(config.state_layers)
    assert all(0 <= state.on_itself <= 1 and 0 <= state.distance <= len(IDS) for state in every.states)
    assert all(state.weights is None for state in every.states)
    one = attend(model, AttendOptions(layer=str(layer), head="1"), prompt)
    alone = attend(model, AttendOptions(head="1"), prompt)
    assert alone.states is not None and [state.layer for state in alone.states] == list(config.state_layers)
    assert [state.head for state in alone.states] == [None if config.attending else 1] * len(alone.states)
    arrays = attention_arrays(model, AttendOptions(), every)
    assert arrays["state_weights"].shape == (len(config.state_layers), len(IDS), len(IDS))
    assert arrays["state_weights"].dtype == np.float32 and arrays["layers"].dtype == int
    assert one.states is not None and one.states[0].head == 1
    whole = attend(model, AttendOptions(layer=str(layer)), prompt)
    seen = Capture(f"layers.{layer}.state.weights")
    model.run(IDS, seen)
    weights = seen[f"layers.{layer}.state.weights"]
    assert whole.states is not None and whole.states[0].weights is not None and one.states[0].weights is not None
    assert_close(np.asarray(one.states[0].weights), weights[1])
    assert_close(np.asarray(whole.states[0].weights), np.abs(weights).mean(axis=0))
    for width in (60, 80):
        drawn = [line for result in (every, one, whole) for line in lines(render(result), width)]
        assert max(map(len, drawn)) <= width
        assert "effective weights" in " ".join(" ".join(drawn).split()).lower()


@pytest.mark.parametrize("name", HYBRID)
def test_what_only_an_attention_can_do_is_refused_by_layer(name: str, opened: Opened) -> None:
    _, model = opened(name)
    layer = model.config.without_attention[0]
    prompt = prompt_of_ids(IDS, model.tokenizer, None)
    wanted: list[dict[str, Any]] = [{"query": "5"}, {"find": "5->9"}, {"mean": True}, {"show": "scores"}]
    refused: list[Any] = [
        *(lambda more=more: attend(model, AttendOptions(layer=str(layer), **more), prompt) for more in wanted),
        lambda: attend(model, AttendOptions(rollout=True), prompt),
        lambda: experiment_taps(model, ExperimentOptions(ablate=[f"{layer}.0"]), IDS),
        lambda: experiment_taps(model, ExperimentOptions(ablate=[f"{layer}.attention"]), IDS),
        lambda: sweep(model, IDS, other_text(model, IDS, IDS[::-1]), 6, "head", (None, None), []),
    ]
    for ask in refused:
        with pytest.raises(UsageError, match="no attention") as raised:
            ask()
        assert raised.value.hint is not None and str(model.config.attending[0]) in raised.value.hint


@pytest.mark.parametrize("name", STATEFUL)
def test_a_state_is_ablated_and_not_taken_back(name: str, opened: Opened) -> None:
    _, model = opened(name)
    layer = model.config.state_layers[0]
    (tap,), (made,) = experiment_taps(model, ExperimentOptions(ablate=[f"{layer}.state"]), IDS)
    seen = Capture(f"layers.{layer}.input", f"layers.{layer}.middle")
    cache = model.run(IDS, Chain([tap, seen])).cache
    assert made.where == f"{layer}.state" and cache is not None
    if not model.config.attends(layer):
        assert_close(seen[f"layers.{layer}.middle"], seen[f"layers.{layer}.input"])
    assert cache.cut(len(IDS)) is cache
    with pytest.raises(UsageError, match="cannot be taken back"):
        cache.cut(len(IDS) - 1)
    with pytest.raises(UsageError, match=r"--lookup: layers? .* a state"):
        generate(model, GenerateQuestion(options=GenerateOptions(lookup=2)), prompt_of_ids(IDS, model.tokenizer, None))


@pytest.mark.parametrize("name", STATEFUL)
def test_a_hidden_token_offers_nothing(name: str, opened: Opened) -> None:
    _, model = opened(name)
    layer = model.config.state_layers[0]
    hidden = np.array([at == 2 for at in range(len(IDS))])
    seen = Capture(f"layers.{layer}.state.weights", f"layers.{layer}.state.value")
    model.run(IDS, seen, hidden_S=hidden)
    weights, value = (seen[f"layers.{layer}.state.{step}"] for step in ("weights", "value"))
    assert not (weights[:, 2:, 2, None] * value[:, 2, None]).any()


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("lfm2", "layer_types", ["conv", "full_attention"]),
        ("lfm2", "layer_types", ["conv", "full_attention", "sliding_attention"]),
        ("lfm2", "conv_L_cache", 0),
        ("lfm2", "block_auto_adjust_ff_dim", "yes"),
        ("lfm2", "is_causal", False),
        ("mamba", "hidden_act", "gelu"),
        ("mamba", "is_causal", False),
        ("mamba", "intermediate_size", 30),
        ("mamba2", "num_heads", 3),
        ("granitemoehybrid", "layer_types", ["mamba", "conv"]),
        ("granitemoehybrid-experts", "num_experts_per_tok", 5),
        ("lfm2_moe", "num_dense_layers", 3),
        ("lfm2_moe", "num_dense_layers", "all"),
        ("qwen3_5_moe", "norm_topk_prob", False),
        ("falcon_h1", "ssm_multipliers", [1.0, 2.0]),
        ("falcon_h1", "mlp_multipliers", [0.0, 1.0]),
        ("jamba", "attn_layer_offset", 2),
        ("jamba", "mamba_inner_layernorms", False),
        ("nemotron_h", "layers_block_type", ["mlp", "conv"]),
        ("nemotron_h", "num_hidden_layers", 3),
        ("nemotron_h", "time_step_min", -1.0),
        ("granitemoehybrid", "mamba_d_head", 5),
        ("granitemoehybrid", "position_embedding_type", "alibi"),
        ("bamba", "attn_layer_indices", [7]),
        ("qwen3_5", "linear_num_key_heads", 3),
        ("qwen3_5", "layer_types", ["linear_attention", "sliding_attention"]),
        ("qwen3_5", "hidden_act", "gelu"),
        ("qwen3_5", "attn_output_gate", False),
        ("rwkv7", "hidden_act", "relu"),
        ("rwkv7", "attn", {"layers": [1], "num_heads": 2}),
        ("rwkv7", "value_dim", [12, 24]),
        ("rwkv7", "head_dim", 5),
        ("rwkv7", "hidden_ratio", 0.0),
        ("rwkv7", "is_causal", False),
        ("mamba2", "n_groups", 3),
        ("mamba2", "time_step_limit", [0.1]),
        ("mamba2", "time_step_limit", [0.1, "inf"]),
    ],
)
def test_what_is_not_computed_is_refused(name: str, key: str, value: Any) -> None:
    values = {**Golden(name).config(), key: value}
    with pytest.raises(ModelError, match=key):
        architecture_of(values, "huggingface", name).config_from_huggingface(values)


def test_rwkv7_keeps_its_six_shares_in_one_tensor_or_in_six() -> None:
    values = Golden("rwkv7").config()
    family = architecture_of(values, "huggingface", "rwkv7")
    config = family.config_from_huggingface(values)
    shapes = {name: info.shape for name, info in open_safetensors(Golden("rwkv7").folder).tensors.items()}
    without = {name: shape for name, shape in shapes.items() if ".attn.x_" not in name}
    dummy = {"model.layers.0.attn.v_lora.lora.2.bias": (12,)}
    first = {f"model.layers.{layer}.attn.x_x": (6, 1, 1, 12) for layer in (0, 1)}
    for held in (shapes, {**without, **first, **dummy}):
        assert len(claim(family, config, "huggingface", held)) == len({*claim(family, config, "huggingface", shapes)})
    with pytest.raises(ModelError, match=r"tensors are missing: layers\.0\.attn\.x_r, layers\.0\.attn\.x_w"):
        claim(family, config, "huggingface", without)
    with pytest.raises(ModelError, match=r"missing: layers\.1\.attn\.x_g"):
        claim(family, config, "huggingface", {name: shapes[name] for name in shapes if "1.attn.x_g" not in name})


def test_rwkv7_finds_ranks_and_widths_that_a_file_leaves_out() -> None:
    values = Golden("rwkv7").config() | {"hidden_size": 768, "head_dim": None, "num_heads": 12, "value_dim": None}
    values |= {"intermediate_size": None, **dict.fromkeys((key for key in values if "low_rank" in key), None)}
    config = architecture_of(values, "huggingface", "rwkv7").config_from_huggingface(values)
    state = config.state
    assert (state.decay_rank, state.rate_rank, state.value_rank, state.gate_rank) == (64, 64, 32, 128)
    assert (state.heads, config.sizes.F) == (12, 3072)


def test_the_first_files_of_nemotron_h_say_the_same() -> None:
    values = Golden("nemotron_h").config()
    older = {key: value for key, value in values.items() if key != "layers_block_type"}
    older |= {"hybrid_override_pattern": "ME*-", "num_hidden_layers": 4}
    read = architecture_of(values, "huggingface", "nemotron_h").config_from_huggingface
    assert read(older) == read(values)


def test_the_first_files_of_lfm2_say_the_same() -> None:
    values = Golden("lfm2").config()
    older = {key: value for key, value in values.items() if key not in ("layer_types", "intermediate_size")}
    older |= {"full_attn_idxs": [1], "block_ff_dim": values["intermediate_size"], "block_dim": 18, "use_pos_enc": True}
    read = architecture_of(values, "huggingface", "lfm2").config_from_huggingface
    assert read(older) == read(values)
    with pytest.raises(ModelError, match="full_attn_idxs"):
        read({**older, "full_attn_idxs": [3]})


@pytest.mark.parametrize(
    ("name", "ahead"), [("qwen3_5", "mtp.fc.weight"), ("ernie4_5_moe", "model.mtp_block.0.mlp.up_proj.weight")]
)
def test_what_guesses_tokens_ahead_is_passed_over_and_nothing_else(name: str, ahead: str) -> None:
    values = Golden(name).config()
    family = architecture_of(values, "huggingface", name)
    config = family.config_from_huggingface(values)
    shapes = {name: info.shape for name, info in open_safetensors(Golden(name).folder).tensors.items()}
    assert claim(family, config, "huggingface", {**shapes, ahead: (3, 3)})
    with pytest.raises(ModelError, match=r"model\.more\.weight"):
        claim(family, config, "huggingface", {**shapes, "model.more.weight": (3, 3)})


def test_states_beside_attention_are_called_so(opened: Opened) -> None:
    for name, stands in (("falcon_h1", "a state beside attention"), ("jamba", "a state instead of attention")):
        _, model = opened(name)
        result = attend(model, AttendOptions(), prompt_of_ids(IDS, model.tokenizer, None))
        assert stands in " ".join(lines(render(result), 100))


def test_nothing_is_shown_of_what_cannot_be_continued(called: Program) -> None:
    ran = called("generate", "--ids", "3", "--lookup", "3", "--model", str(Golden("jamba").folder))
    assert (ran.code, ran.out) == (2, "")
