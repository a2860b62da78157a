"""Mamba 2 beside attention: in Granite 4 and Bamba each layer has one or the other.

IBM 2025, "Granite 4.0" (model cards); IBM, Princeton, CMU and UIUC 2024, "Bamba".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llminspect.model import decoder_files as files
from llminspect.model import state_files
from llminspect.model.families import granite
from llminspect.model.selective_states import Mamba2
from llminspect.model.spec import TensorSpec

STATES, ATTENTIONS = ("linear_attention", "mamba"), ("full_attention", "attention")
"""What today's files and older ones call the kinds of layer."""


def with_mamba(
    config: files.DecoderConfig,
    settings: files.Settings,
    inner: int,
    layers: tuple[int, ...],
    alone: bool,
    **known: Any,
) -> files.DecoderConfig:
    """With Mamba 2 in `layers`, of `inner` channels; `alone`: there is no attention there; what is `known` of it."""
    settings.only("hidden_act", "silu")
    settings.skip("mamba_chunk_size", "num_logits_to_keep", "z_loss_coefficient")  # No number of a pass hangs on these.
    heads, stated = settings.whole("mamba_n_heads"), settings.get("mamba_d_head", "auto")
    if inner % heads or stated not in ("auto", inner // heads):
        raise settings.wrong("mamba_d_head", f"as many as {heads} heads have of {inner} channels, or auto")
    state = Mamba2(
        heads,
        inner // heads,
        state_files.groups(settings, "mamba_n_groups", heads),
        settings.whole("mamba_d_state"),
        settings.whole("mamba_d_conv"),
        config.norm_epsilon,
        limits=state_files.step_limits(settings),
        **known,
    )
    biased = state_files.biases(settings, "mamba_proj_bias", "mamba_conv_bias")
    config = replace(config, biased=(*(config.biased or ()), *biased))
    return state_files.with_state(config, state, layers, layers if alone else ())


def granite_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    experts = settings.get("num_local_experts") != 0
    if experts:
        config = granite.mixture_from_huggingface(settings)
    else:  # What is said of experts is said of none.
        settings.skip("intermediate_size", "num_experts_per_tok")
        config = granite.from_huggingface(settings, files.sizes_from_huggingface(settings, "shared_intermediate_size"))
    layers = config.sizes.L
    settings.only("position_embedding_type", "rope", "nope")
    if settings.get("position_embedding_type") != "rope":
        config = replace(config, unturned=tuple(range(layers)))
    kinds = settings.get("layer_types", settings.get("layers_block_type", ["mamba"] * layers))
    if len(kinds) != layers or not set(kinds) <= {*STATES, *ATTENTIONS}:
        raise settings.wrong("layer_types", f"{STATES[0]} or {ATTENTIONS[0]} for each of {layers} layers")
    stateful = tuple(index for index, kind in enumerate(kinds) if kind in STATES)
    return with_mamba(config, settings, settings.whole("mamba_expand") * config.sizes.D, stateful, alone=True)


def granite_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    attending = state_files.attending_of_gguf(settings)
    if settings.get("expert_count"):
        config = granite.mixture_from_gguf(settings)
    else:
        settings.skip("expert_used_count", "expert_shared_feed_forward_length")
        config = granite.from_gguf(settings)
    if not settings.flag("rope.scaling.finetuned", True):  # As these files say that nothing is turned.
        config = replace(config, unturned=tuple(range(config.sizes.L)))
    others = state_files.others(attending, config)
    return state_files.with_state(config, state_files.mamba2_of_gguf(settings), others, others)


def bamba_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    config = files.from_huggingface(settings, biased=files.all_biases)
    layers, attending = config.sizes.L, settings.get("attn_layer_indices", [])
    if not isinstance(attending, list) or not all(type(at) is int and 0 <= at < layers for at in attending):
        raise settings.wrong("attn_layer_indices", f"numbers of layers, from 0 to {layers - 1}")
    others = tuple(index for index in range(layers) if index not in attending)
    return with_mamba(config, settings, settings.whole("mamba_expand") * config.sizes.D, others, alone=True)


def mixer_specs(config: files.DecoderConfig, index: int) -> list[TensorSpec]:
    """A layer's attention, or its state, with the norm before it."""
    state = config.state_of(index)
    assert state is None or isinstance(state, Mamba2)
    mixer = "attention" if state is None else "state"
    return [
        *files.linear_specs((f"{mixer}.norm", "D", "input_layernorm", "attn_norm")),
        *(
            files.attention_specs(config, permuted=True)
            if state is None
            else state_files.mamba2_specs(state, "mamba", config.biased)
        ),
    ]


def granite_tensors(config: files.DecoderConfig) -> list[TensorSpec]:
    norm = files.linear_specs(("feedforward.norm", "D", "post_attention_layernorm", "ffn_norm"))
    fed = granite.fed_specs(config) if config.experts else granite.shared_specs("feedforward", "F", "")
    return files.around_layers(config, lambda index: [*mixer_specs(config, index), *norm, *fed])


FED = files.gated_maps("feed_forward", "F")
BEFORE_FED = files.linear_specs(("feedforward.norm", "D", "pre_ff_layernorm", "ffn_norm"))
FINAL = files.linear_specs(("final.norm", "D", "final_layernorm", "output_norm"))


def bamba_tensors(config: files.DecoderConfig) -> list[TensorSpec]:
    fed = [*BEFORE_FED, *files.linear_specs(*FED, bias=config.biased)]
    return files.around_layers(config, lambda index: [*mixer_specs(config, index), *fed], FINAL)


MAMBA = {"mamba_n_heads": 128, "mamba_n_groups": 1, "mamba_d_state": 256, "mamba_d_conv": 4, "mamba_expand": 2}
ARCHITECTURES = (
    files.family(
        "granitemoehybrid",
        granite_from_huggingface,
        granite_tensors,
        gguf="granitehybrid",
        read_gguf=granite_from_gguf,
        spellings=granite.SPELLINGS,
        defaults={
            **MAMBA,
            **dict.fromkeys(granite.MULTIPLIERS, 1.0),
            "shared_intermediate_size": 1024,
            "max_position_embeddings": 2048,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
        },
    ),
    files.family(
        "bamba",
        bamba_from_huggingface,
        bamba_tensors,
        defaults={
            **MAMBA,
            "rms_norm_eps": 1e-5,
            "num_key_value_heads": 8,
            "partial_rotary_factor": 0.5,
            "max_position_embeddings": 262_144,
        },
    ),
)
