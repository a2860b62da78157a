"""LFM2: most layers are a gated short convolution, some have attention, with a norm on each query and key; and its
mixture, whose router has sigmoids.

Liquid AI 2025, "LFM2 Technical Report", section 2.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model import state_files
from llminspect.model.states import ShortConvolution

BIASED = ("state.input", "state.output", "state.convolution")
CHOICE = "feedforward.router.choice"
"""Named where a bias counts in the choice of experts."""
ADDED = 1e-6
"""To the sum of the weights of a token's experts."""


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    # What these say is so in every model of this kind.
    settings.skip("block_dim", "conv_dim", "conv_dim_out", "num_heads", "block_norm_eps", "use_pos_enc")
    settings.skip("block_use_swiglu", "block_use_xavier_init", "conv_use_xavier_init")
    settings.skip("block_mlp_init_scale", "block_out_init_scale", "theta")
    older = settings.get("block_ff_dim") is not None
    width_key = "block_ff_dim" if older else "intermediate_size"
    settings.skip("intermediate_size")
    sizes = files.sizes_from_huggingface(settings, width_key)
    sizes = replace(sizes, F=feed_forward_width(settings, sizes.F))
    config = files.from_huggingface(
        settings,
        sizes,
        unit=Glu("silu"),
        epsilon="norm_eps",
        tied=settings.flag("tie_embedding", settings.flag("tie_word_embeddings", True)),
        biased=BIASED if settings.flag("conv_bias") else (),
    )
    return with_convolutions(config, settings.whole("conv_L_cache"), attention_layers(settings, sizes.L))


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", settings.whole("num_experts"))
    dense = settings.between("num_dense_layers", 0, sizes.L, f"how many of the {sizes.L} layers have one network")
    experts = files.Experts(
        chosen=files.chosen_experts(settings, "num_experts_per_tok", sizes.X),
        among_chosen=settings.flag("norm_topk_prob"),
        kind="sigmoid",
        factor=settings.number("routed_scaling_factor"),
        added=ADDED,
        plain_width=settings.whole("intermediate_size"),
        plain_layers=tuple(range(dense)),
    )
    settings.skip("theta")
    config = files.from_huggingface(
        settings,
        sizes,
        unit=Glu("silu"),
        epsilon="norm_eps",
        experts=experts,
        tied=settings.flag("tie_embedding", settings.flag("tie_word_embeddings", True)),
        biased=(
            *(BIASED if settings.flag("conv_bias") else ()),
            *((CHOICE,) if settings.flag("use_expert_bias", True) else ()),
        ),
    )
    return with_convolutions(config, settings.whole("conv_L_cache"), attention_layers(settings, sizes.L))


def feed_forward_width(settings: files.Settings, width: int) -> int:
    """Two thirds of what is stated, times a factor, up to the next multiple: unless the file says that it is exact."""
    factor, multiple = settings.perhaps("block_ffn_dim_multiplier"), settings.whole("block_multiple_of")
    if not settings.flag("block_auto_adjust_ff_dim", True):
        return width
    width = int(2 * width / 3)
    return width if factor is None else -(-int(factor * width) // multiple) * multiple


def attention_layers(settings: files.Settings, layers: int) -> tuple[int, ...]:
    """Those that `layer_types` names, or the older `full_attn_idxs`; without either all."""
    kinds, stated = settings.get("layer_types"), settings.get("full_attn_idxs", list(range(layers)))
    if kinds is None:
        if not isinstance(stated, list) or not all(type(at) is int and 0 <= at < layers for at in stated):
            raise settings.wrong("full_attn_idxs", f"numbers of layers, from 0 to {layers - 1}")
        return tuple(sorted(set(stated)))
    if len(kinds) != layers or not set(kinds) <= {"conv", "full_attention"}:
        raise settings.wrong("layer_types", f"conv or full_attention for each of {layers} layers")
    return tuple(index for index, kind in enumerate(kinds) if kind == "full_attention")


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    attending = state_files.attending_of_gguf(settings)
    return with_convolutions(files.from_gguf(settings), settings.whole("shortconv.l_cache"), attending)


def mixture_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    attending = state_files.attending_of_gguf(settings)
    config = mixtures.from_gguf(settings, router={"kind": "sigmoid", "added": ADDED})
    return with_convolutions(config, settings.whole("shortconv.l_cache"), attending)


def with_convolutions(config: files.DecoderConfig, width: int, attending: tuple[int, ...]) -> files.DecoderConfig:
    others = state_files.others(attending, config)
    return state_files.with_state(config, ShortConvolution(config.sizes.D, width), others, others)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    experts, biased = config.experts, config.biased
    names = ("w1", "w3", "w2")
    mixture = files.expert_specs(config.sizes.X, "feed_forward.gate", "feed_forward.experts.{}", names)
    if biased is None or CHOICE in biased:
        mixture.append(replace(mixtures.choice_spec("feed_forward.expert_bias"), optional=biased is None))

    def layer(index: int) -> list[files.TensorSpec]:
        width = "F" if experts is None else str(experts.plain_width)
        plain = files.linear_specs(*files.gated_maps("feed_forward", width, ends=names))
        mixer = "attention" if config.attends(index) else "state"
        return [
            *files.linear_specs((f"{mixer}.norm", "D", "operator_norm", "attn_norm")),
            *(attention_specs(config) if mixer == "attention" else convolution_specs(config)),
            *files.linear_specs(("feedforward.norm", "D", "ffn_norm", "ffn_norm")),
            *(plain if experts is None or index in experts.plain_layers else mixture),
        ]

    return files.around_layers(
        config, layer, files.linear_specs(("final.norm", "D", "embedding_norm", "token_embd_norm"))
    )


def attention_specs(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return files.linear_specs(
        *files.attention_maps("self_attn.{}_proj", "self_attn.out_proj", files.IN_GGUF, keys="KE"),
        ("attention.query.norm", "E", "self_attn.q_layernorm", "attn_q_norm"),
        ("attention.key.norm", "E", "self_attn.k_layernorm", "attn_k_norm"),
    )


def convolution_specs(config: files.DecoderConfig) -> list[files.TensorSpec]:
    assert isinstance(config.state, ShortConvolution)
    rows = str(3 * config.sizes.D)
    return [
        *files.linear_specs(
            ("state.input", f"{rows} D", "conv.in_proj", "shortconv.in_proj"),
            ("state.output", "D D", "conv.out_proj", "shortconv.out_proj"),
            bias=config.biased,
        ),
        *state_files.kernel_specs("D", config.state.kernel, "conv.conv", "shortconv.conv", bias=config.biased),
    ]


DEFAULTS = {
    "num_key_value_heads": 8,
    "norm_eps": 1e-5,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 128_000,
    "conv_L_cache": 3,
    "block_multiple_of": 256,
    "block_ffn_dim_multiplier": 1.0,
}
MIXTURE = {
    "num_dense_layers": 2,
    "num_experts": 32,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 1792,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.0,
}
ARCHITECTURES = (
    files.family("lfm2", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS),
    files.family(
        "lfm2_moe",
        mixture_from_huggingface,
        tensors,
        gguf="lfm2moe",
        read_gguf=mixture_from_gguf,
        defaults={**DEFAULTS, **MIXTURE},
    ),
)
