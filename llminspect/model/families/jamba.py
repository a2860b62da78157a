"""Jamba: Mamba with norms of what a token chooses, attention without positions each few layers, experts each few.

Lieber et al. 2024, "Jamba: A Hybrid Transformer-Mamba Language Model", section 2.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.files.weights import WeightFile
from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model import state_files
from llminspect.model.families import hybrid
from llminspect.model.selective_states import Mamba
from llminspect.model.spec import TensorSpec


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.only("hidden_act", "silu")
    settings.only("mamba_inner_layernorms", True)
    settings.skip("use_mamba_kernels", "use_mambapy", "use_associative_scan")
    settings.skip("num_logits_to_keep", "calc_logits_for_entire_prompt")
    experts = settings.whole("num_experts", settings.get("num_local_experts"))
    sizes = files.sizes_from_huggingface(settings, experts=experts if experts > 1 else 0)
    attending, mixing = (each(settings, kind, sizes.L) for kind in ("attn_layer", "expert_layer"))
    for key in ("layers_block_type", "layer_types"):
        settings.only(key, ["attention" if index in attending else "mamba" for index in range(sizes.L)])
    router = files.Experts(
        chosen=files.chosen_experts(settings, "num_experts_per_tok", max(experts, 2)),
        among_chosen=False,
        plain_width=sizes.F,
        plain_layers=tuple(index for index in range(sizes.L) if index not in mixing),
    )
    biased = state_files.biases(settings, "mamba_proj_bias", "mamba_conv_bias")
    config = files.from_huggingface(settings, sizes, experts=router if sizes.X else None, biased=biased)
    rank = -(sizes.D // -16)
    state = Mamba(
        settings.whole("mamba_expand") * sizes.D,
        settings.whole("mamba_d_state"),
        rank if settings.get("mamba_dt_rank", "auto") == "auto" else settings.whole("mamba_dt_rank"),
        settings.whole("mamba_d_conv"),
        config.norm_epsilon,
    )
    return with_mamba(config, state, attending)


def each(settings: files.Settings, kind: str, layers: int) -> tuple[int, ...]:
    """The layers that a period and the first of them name."""
    period = settings.whole(f"{kind}_period")
    first = settings.between(f"{kind}_offset", 0, period - 1, f"a whole number from 0 to {period - 1}")
    return tuple(range(first, layers, period))


def with_mamba(config: files.DecoderConfig, state: Mamba, attending: tuple[int, ...]) -> files.DecoderConfig:
    others = state_files.others(attending, config)
    return state_files.with_state(state_files.without_rotation(config), state, others, others)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    attending, experts = state_files.attending_of_gguf(settings), settings.get("expert_count") or 0
    if experts in (0, 1):
        settings.skip("expert_used_count")
        config = files.from_gguf(settings)
    else:
        config = mixtures.from_gguf(settings, router={"among_chosen": False})
    return with_mamba(config, Mamba(*state_files.of_gguf(settings), config.norm_epsilon), attending)


def settle(config: files.DecoderConfig, file: WeightFile) -> files.DecoderConfig:
    """Which layers have experts the tensors of a GGUF file tell."""
    if config.experts is None or "token_embd.weight" not in file.tensors:
        return config
    layers = range(config.sizes.L)
    plain = tuple(index for index in layers if f"blk.{index}.ffn_gate_inp.weight" not in file.tensors)
    return replace(config, experts=replace(config.experts, plain_layers=plain))


def tensors(config: files.DecoderConfig) -> list[TensorSpec]:
    experts, state = config.experts, config.state
    plain = files.linear_specs(*hybrid.FED)
    mixture = files.expert_specs(config.sizes.X, "feed_forward.router", "feed_forward.experts.{}")

    def layer(index: int) -> list[TensorSpec]:
        mixer = "attention" if config.attends(index) else "state"
        assert state is None or isinstance(state, Mamba)
        return [
            *files.linear_specs((f"{mixer}.norm", "D", "input_layernorm", "attn_norm")),
            *(
                files.attention_specs(replace(config, biased=()))
                if state is None or mixer == "attention"
                else [
                    *state_files.chosen_norms(state, "mamba"),
                    *state_files.mamba_specs(state, "mamba", config.biased),
                ]
            ),
            *hybrid.BEFORE_FED,
            *(plain if experts is None or index in experts.plain_layers else mixture),
        ]

    return files.around_layers(config, layer, hybrid.FINAL)


ARCHITECTURE = files.family(
    "jamba",
    from_huggingface,
    tensors,
    read_gguf=from_gguf,
    settle=settle,
    defaults={
        "num_key_value_heads": 8,
        "max_position_embeddings": 262_144,
        "num_experts": 16,
        "num_experts_per_tok": 2,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "attn_layer_period": 8,
        "attn_layer_offset": 4,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
    },
)
