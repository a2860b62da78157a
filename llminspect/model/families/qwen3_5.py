"""Qwen3-Next and Qwen 3.5 (its text part): three layers in four are a gated DeltaNet, the fourth has attention and then
a gate. The first, and the larger of the second, are mixtures with an expert for every token as well.

Yang, Kautz and Hatamizadeh 2024, "Gated Delta Networks", section 3; Qiu et al. 2025, "Gated Attention for Large
Language Models", section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model import state_files
from llminspect.model.copies import Copy
from llminspect.model.families.qwen import without_places
from llminspect.model.selective_states import GatedDeltaNet
from llminspect.model.spec import TensorSpec, plus_one


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    without_places(settings)
    settings.skip("mamba_ssm_dtype")  # In which precision it was trained.
    settings.only("attn_output_gate", True)
    settings.only("mlp_only_layers", [])
    return with_deltas(files.from_huggingface(settings, biased=files.attention_biases(settings)), settings)


def next_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    step = settings.whole("decoder_sparse_step", 1)
    experts = {"among_chosen": settings.flag("norm_topk_prob"), "plain_width": settings.whole("intermediate_size")}
    plain = set(settings.get("mlp_only_layers") or ())
    return _mixture(settings, lambda layers: plain | {index for index in range(layers) if (index + 1) % step}, experts)


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    without_places(settings)
    settings.skip("mamba_ssm_dtype")
    settings.only("attn_output_gate", True)
    settings.only("norm_topk_prob", True)
    settings.only("decoder_sparse_step", 1)
    settings.skip("intermediate_size")  # Of a layer without experts, and there is none.
    return _mixture(settings, lambda _: set(), {})


def _mixture(settings: files.Settings, plain: Callable[[int], set[int]], known: dict[str, Any]) -> files.DecoderConfig:
    """`plain`: of how many layers there are, those that have one network; what is `known` of the router."""
    experts = settings.whole("num_experts", settings.get("num_local_experts"))
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", experts)
    mixture = files.Experts(
        chosen=files.chosen_experts(settings, "num_experts_per_tok", experts),
        plain_layers=tuple(sorted(plain(sizes.L))),
        shared_width=settings.whole("shared_expert_intermediate_size"),
        **known,
    )
    biased = files.attention_biases(settings)
    return with_deltas(files.from_huggingface(settings, sizes, biased=biased, experts=mixture), settings)


def with_deltas(config: files.DecoderConfig, settings: files.Settings) -> files.DecoderConfig:
    heads = settings.whole("linear_num_value_heads")
    state = GatedDeltaNet(
        heads,
        settings.whole("linear_value_head_dim"),
        state_files.groups(settings, "linear_num_key_heads", heads),
        settings.whole("linear_key_head_dim"),
        settings.whole("linear_conv_kernel_dim"),
        config.norm_epsilon,
    )
    settings.only("hidden_act", "silu")
    others = delta_layers(settings, config.sizes.L)
    return state_files.with_state(config, state, others, others)


def delta_layers(settings: files.Settings, layers: int) -> tuple[int, ...]:
    """Those that `layer_types` names; without it all but each fourth, or each that the file says."""
    every, kinds = settings.whole("full_attention_interval", 4), settings.get("layer_types")
    if kinds is None:
        return tuple(index for index in range(layers) if (index + 1) % every)
    if len(kinds) != layers or not set(kinds) <= {"linear_attention", "full_attention"}:
        raise settings.wrong("layer_types", f"linear_attention or full_attention for each of {layers} layers")
    return tuple(index for index, kind in enumerate(kinds) if kind == "linear_attention")


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return deltas_from_gguf(settings, files.from_gguf)


def mixture_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    shared = settings.whole("expert_shared_feed_forward_length")
    settings.skip("feed_forward_length")  # Of a layer without experts, and there is none.
    settings.values = {**settings.values, "feed_forward_length": settings.whole("expert_feed_forward_length")}
    return deltas_from_gguf(settings, partial(mixtures.from_gguf, router={"shared_width": shared}))


def deltas_from_gguf(
    settings: files.Settings, read: Callable[[files.Settings], files.DecoderConfig]
) -> files.DecoderConfig:
    settings.skip("rope.dimension_sections")  # The places of a text's token are the same (`without_places`).
    config = read(settings)
    every = settings.whole("full_attention_interval", 4)
    others = tuple(index for index in range(config.sizes.L) if (index + 1) % every)
    state = GatedDeltaNet(*state_files.grouped_of_gguf(settings), config.norm_epsilon)
    return state_files.with_state(config, state, others, others)


def norm_specs(*maps: tuple[str, str, str, str]) -> list[TensorSpec]:
    """The files hold the weight of a norm less one."""
    return files.linear_specs(*maps, huggingface_fix=plus_one)


def half(which: int) -> Callable[[Array, files.DecoderConfig], Array]:
    """The rows of the queries, or of the gate: head by head they stand side by side."""

    def cut(array: Array, config: files.DecoderConfig) -> Array:
        sizes = config.sizes
        pairs = array.reshape(sizes.H, 2, sizes.E, *array.shape[1:])
        return pairs[:, which].reshape(sizes.H * sizes.E, *array.shape[1:])

    return cut


def attention_specs(config: files.DecoderConfig) -> list[TensorSpec]:
    others = [spec for spec in files.attention_specs(config) if not spec.name.startswith("attention.query.")]
    both, bias = ("attention.query", "attention.gate"), None if config.biased is None else bool(config.biased)
    halves = [
        replace(spec, huggingface_fix=half(which), gguf_fix=half(which))
        for which, name in enumerate(both)
        for spec in files.linear_specs((name, "HE D", "self_attn.q_proj", "attn_q"), bias=bias)
    ]
    return [*halves, *others, *norm_specs(*files.OF_HEADS)]


def of_groups(*which: int) -> Callable[[Array, files.DecoderConfig], Array]:
    """Of a fused tensor the parts that are named, one below the other: group by group it holds queries, keys, values,
    and the gate, or rate and step."""

    def cut(array: Array, config: files.DecoderConfig) -> Array:
        state = config.state
        assert isinstance(state, GatedDeltaNet)
        shared = state.heads // state.groups
        four = [state.keys, state.keys, shared * state.values, shared * state.values]
        lengths = four if max(which) > 1 or len(which) > 1 else [shared, shared]
        parts = np.split(array.reshape(state.groups, sum(lengths), -1), np.cumsum(lengths)[:-1], axis=1)
        return np.concatenate([parts[part].reshape(-1, array.shape[-1]) for part in which])

    return cut


def in_groups(after: int = 0, axis: int = 0) -> Callable[[Array, files.DecoderConfig], Array]:
    """Along an axis the heads of values, from the number `after` on, so that those that share a key stand together:
    GGUF files of Qwen 3.5 hold the first head of each group, then the second of each."""

    def turned(array: Array, config: files.DecoderConfig) -> Array:
        state, rows = config.state, np.moveaxis(array, axis, 0)
        assert isinstance(state, GatedDeltaNet)
        front, heads = rows[:after], rows[after:]
        tiles = heads.reshape(state.heads // state.groups, state.groups, -1, *rows.shape[1:])
        return np.moveaxis(np.concatenate([front, tiles.swapaxes(0, 1).reshape(heads.shape)]), 0, axis)

    return turned


def logarithm_in_groups(speed: Array, config: files.DecoderConfig) -> Array:
    return in_groups()(state_files.logarithm(speed, config), config)


def delta_specs(state: GatedDeltaNet, fused: bool) -> list[TensorSpec]:
    """`fused`, as Qwen3-Next has it: whether two tensors hold what a token is read as, and the gate, and the two
    numbers of each head. The others' GGUF files have the heads of values in another order."""
    heads, channels, after = str(state.heads), state.channels, 2 * state.groups * state.keys
    names = ("in_proj_qkvz", "in_proj_qkvz", "in_proj_ba", "in_proj_ba")
    names = names if fused else ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a")
    in_gguf = ("attn_qkv", "attn_gate", *(("ssm_ba", "ssm_ba") if fused else ("ssm_beta", "ssm_alpha")))
    shapes = {"input": str(state.convolved), "gate": str(channels), "rate": heads, "step": heads}
    cuts = (of_groups(0, 1, 2), of_groups(3), of_groups(0), of_groups(1))
    turns = (None, None, cuts[2], cuts[3]) if fused else (in_groups(after), *[in_groups()] * 3)
    kernel = state_files.kernel_specs(str(state.convolved), state.kernel, "linear_attn.conv1d", "ssm_conv1d")
    (output,) = files.linear_specs(("state.output", f"D {channels}", "linear_attn.out_proj", "ssm_out"))
    return [
        *(
            files.TensorSpec(
                f"state.{part}.weight",
                f"{rows} D",
                f"linear_attn.{name}.weight",
                f"{gguf}.weight",
                huggingface_fix=cut if fused else None,
                gguf_fix=turn,
            )
            for (part, rows), name, gguf, cut, turn in zip(shapes.items(), names, in_gguf, cuts, turns, strict=True)
        ),
        output if fused else replace(output, gguf_fix=in_groups(axis=1)),
        *(kernel if fused else [replace(spec, gguf_fix=in_groups(after)) for spec in kernel]),
        files.TensorSpec(
            "state.step.bias", heads, "linear_attn.dt_bias", "ssm_dt.bias", gguf_fix=None if fused else in_groups()
        ),
        files.TensorSpec(
            "state.speed",
            heads,
            "linear_attn.A_log",
            "ssm_a",
            gguf_fix=state_files.logarithm if fused else logarithm_in_groups,
        ),
        files.TensorSpec("state.read.norm.weight", str(state.values), "linear_attn.norm.weight", "ssm_norm.weight"),
    ]


def tensors(config: files.DecoderConfig, fused: bool = False) -> list[TensorSpec]:
    """`fused`: as Qwen3-Next has them."""
    without_bias = replace(config, biased=())
    fed = files.feed_forward_specs(without_bias)
    if config.experts is not None:
        name = "mlp.experts"  # One tensor each, or one for all.
        stacked = mixtures.stacked_specs("mlp.gate.weight", f"{name}.gate_up_proj", f"{name}.down_proj")
        fed = [
            *files.expert_specs(config.sizes.X, "mlp.gate", f"{name}.{{}}"),
            *(replace(spec, gguf=None) for spec in stacked[1:] if not fused),
            *mixtures.shared_specs(config, "mlp.shared_expert", "mlp.shared_expert_gate"),
        ]
    fed_of = mixtures.layers(without_bias, [], fed)

    def layer(index: int) -> list[TensorSpec]:
        state = config.state_of(index)
        mixer = "attention" if state is None else "state"
        assert state is None or isinstance(state, GatedDeltaNet)
        return [
            *norm_specs((f"{mixer}.norm", "D", "input_layernorm", "attn_norm")),
            *(attention_specs(config) if state is None else delta_specs(state, fused)),
            *norm_specs(("feedforward.norm", "D", "post_attention_layernorm", "post_attention_norm")),
            *fed_of(index),
        ]

    return files.around_layers(config, layer, norm_specs(("final.norm", "D", "norm", "output_norm")))


DEFAULTS = {
    "head_dim": 256,
    "num_key_value_heads": 4,
    "partial_rotary_factor": 0.25,
    "max_position_embeddings": 32_768,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
}
NEXT = {
    "num_key_value_heads": 2,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "norm_topk_prob": True,
}
MIXTURE = {
    "num_key_value_heads": 2,
    "num_experts": 256,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
}
FORETELLING = (Copy("mtp.*"),)
"""What guesses further tokens ahead, and is not run."""
ARCHITECTURES = (
    files.family(
        "qwen3_5_text",
        from_huggingface,
        tensors,
        gguf="qwen35",
        read_gguf=from_gguf,
        ignored=FORETELLING,
        defaults=DEFAULTS,
    ),
    files.family(
        "qwen3_5_moe_text",
        mixture_from_huggingface,
        tensors,
        gguf="qwen35moe",
        read_gguf=mixture_from_gguf,
        ignored=FORETELLING,
        defaults={**DEFAULTS, **MIXTURE},
    ),
    files.family(
        "qwen3_next",
        next_from_huggingface,
        partial(tensors, fused=True),
        gguf="qwen3next",
        read_gguf=mixture_from_gguf,
        ignored=FORETELLING,
        defaults={**DEFAULTS, **NEXT},
    ),
)
