"""Qwen3-Next and Qwen 3.5 (its text part): three layers in four are a gated DeltaNet, the fourth has attention behind a
gate. The first is a mixture with an expert for every token as well.

Yang, Kautz and Hatamizadeh 2024, "Gated Delta Networks", section 3; Qiu et al. 2025, "Gated Attention for Large
Language Models", section 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model import state_files
from llminspect.model.copies import Copy
from llminspect.model.delta_states import GatedDeltaNet
from llminspect.model.families.qwen import without_places

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.core.array import Array
    from llminspect.model.spec import TensorSpec


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    without_places(settings)
    settings.skip("mamba_ssm_dtype")  # In which precision it was trained.
    settings.only("attn_output_gate", True)
    settings.only("mlp_only_layers", [])
    return with_deltas(files.from_huggingface(settings, biased=files.attention_biases(settings)), settings)


def next_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    experts = settings.whole("num_experts", settings.get("num_local_experts"))
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", experts)
    step = settings.whole("decoder_sparse_step", 1)
    plain = {index for index in range(sizes.L) if (index + 1) % step} | set(settings.get("mlp_only_layers") or ())
    mixture = files.Experts(
        chosen=files.chosen_experts(settings, "num_experts_per_tok", experts),
        among_chosen=settings.flag("norm_topk_prob"),
        plain_width=settings.whole("intermediate_size"),
        plain_layers=tuple(sorted(plain)),
        shared_width=settings.whole("shared_expert_intermediate_size"),
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


def one_more(weight: Array, config: files.DecoderConfig) -> Array:
    """The files hold the weight of a norm less one."""
    return weight + 1


def norm_specs(*maps: tuple[str, str, str]) -> list[TensorSpec]:
    named = [(name, shape, huggingface, None) for name, shape, huggingface in maps]
    return files.linear_specs(*named, huggingface_fix=one_more)


def half(which: int) -> Callable[[Array, files.DecoderConfig], Array]:
    """The rows of the queries, or of the gate: head by head they stand side by side."""

    def cut(array: Array, config: files.DecoderConfig) -> Array:
        sizes = config.sizes
        pairs = array.reshape(sizes.H, 2, sizes.E, *array.shape[1:])
        return pairs[:, which].reshape(sizes.H * sizes.E, *array.shape[1:])

    return cut


def attention_specs(config: files.DecoderConfig) -> list[TensorSpec]:
    others = [spec for spec in files.attention_specs(config) if not spec.name.startswith("attention.query.")]
    both = ("attention.query", "attention.gate")
    halves = [
        replace(spec, huggingface_fix=half(which))
        for which, name in enumerate(both)
        for spec in files.linear_specs((name, "HE D", "self_attn.q_proj", None), bias=bool(config.biased))
    ]
    norms = norm_specs(
        ("attention.query.norm", "E", "self_attn.q_norm"), ("attention.key.norm", "E", "self_attn.k_norm")
    )
    return [*halves, *others, *norms]


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


def delta_specs(state: GatedDeltaNet, fused: bool) -> list[TensorSpec]:
    """`fused`: whether two tensors hold what a token is read as, and the gate, and the two numbers of each head."""
    heads, channels = str(state.heads), state.channels
    names = ("in_proj_qkvz", "in_proj_qkvz", "in_proj_ba", "in_proj_ba")
    names = names if fused else ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a")
    shapes = {"input": str(state.convolved), "gate": str(channels), "rate": heads, "step": heads}
    cuts = ((0, 1, 2), (3,), (0,), (1,))
    return [
        *(
            files.TensorSpec(
                f"state.{part}.weight",
                f"{rows} D",
                f"linear_attn.{name}.weight",
                huggingface_fix=of_groups(*cut) if fused else None,
            )
            for (part, rows), name, cut in zip(shapes.items(), names, cuts, strict=True)
        ),
        *files.linear_specs(("state.output", f"D {channels}", "linear_attn.out_proj", None)),
        *state_files.kernel_specs(str(state.convolved), state.kernel, "linear_attn.conv1d", ""),
        files.TensorSpec("state.step.bias", heads, "linear_attn.dt_bias"),
        files.TensorSpec("state.speed", heads, "linear_attn.A_log"),
        files.TensorSpec("state.read.norm.weight", str(state.values), "linear_attn.norm.weight"),
    ]


def tensors(config: files.DecoderConfig) -> list[TensorSpec]:
    fused = config.experts is not None  # As Qwen3-Next, the mixture, has it.
    experts = files.expert_specs(config.sizes.X, "mlp.gate", "mlp.experts.{}")
    shared = mixtures.shared_specs(config, "mlp.shared_expert", "mlp.shared_expert_gate")
    without_bias = replace(config, biased=())
    step = files.feed_forward_specs(without_bias)
    fed = mixtures.layers(without_bias, [], [*experts, *shared] if fused else step)

    def layer(index: int) -> list[TensorSpec]:
        state = config.state_of(index)
        mixer = "attention" if state is None else "state"
        assert state is None or isinstance(state, GatedDeltaNet)
        return [
            *norm_specs((f"{mixer}.norm", "D", "input_layernorm")),
            *(attention_specs(config) if state is None else delta_specs(state, fused)),
            *norm_specs(("feedforward.norm", "D", "post_attention_layernorm")),
            *fed(index),
        ]

    return files.around_layers(config, layer, norm_specs(("final.norm", "D", "norm")))


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
FORETELLING = (Copy("mtp.*"),)
"""What guesses further tokens ahead, and is not run."""
ARCHITECTURES = (
    files.family("qwen3_5_text", from_huggingface, tensors, ignored=FORETELLING, defaults=DEFAULTS),
    files.family("qwen3_next", next_from_huggingface, tensors, ignored=FORETELLING, defaults={**DEFAULTS, **NEXT}),
)
