"""LFM2: most layers are a gated short convolution, some have attention, with a norm on each query and key.

Liquid AI 2025, "LFM2 Technical Report", section 2.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files
from llminspect.model import state_files
from llminspect.model.config import GGUF, read_sizes
from llminspect.model.states import ShortConvolution

BIASED = ("state.input", "state.output", "state.convolution")


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
    """How many key/value heads each layer has says which have attention: the others have none."""
    shared = settings.get("attention.head_count_kv")
    layers, heads, width = (settings.whole(GGUF[letter]) for letter in "LHD")
    stated = shared if isinstance(shared, list) else [shared] * layers
    counts = {count for count in stated if count != 0}
    if len(stated) != layers or len(counts) > 1 or not all(type(count) is int and count > 0 for count in counts):
        raise settings.wrong("attention.head_count_kv", f"one number, or 0, for each of {layers} layers")
    sizes = read_sizes(settings, GGUF, K=max(counts, default=heads), E=width // heads)
    config = files.from_gguf(settings, sizes)
    attending = tuple(index for index, count in enumerate(stated) if count)
    return with_convolutions(config, settings.whole("shortconv.l_cache"), attending)


def with_convolutions(config: files.DecoderConfig, width: int, attending: tuple[int, ...]) -> files.DecoderConfig:
    others = tuple(index for index in range(config.sizes.L) if index not in attending)
    return state_files.with_state(config, ShortConvolution(config.sizes.D, width), others, others)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    def layer(index: int) -> list[files.TensorSpec]:
        mixer = "attention" if config.attends(index) else "state"
        return [
            *files.linear_specs((f"{mixer}.norm", "D", "operator_norm", "attn_norm")),
            *(attention_specs(config) if mixer == "attention" else convolution_specs(config)),
            *files.linear_specs(
                ("feedforward.norm", "D", "ffn_norm", "ffn_norm"),
                ("feedforward.gate", "F D", "feed_forward.w1", "ffn_gate"),
                ("feedforward.up", "F D", "feed_forward.w3", "ffn_up"),
                ("feedforward.down", "D F", "feed_forward.w2", "ffn_down"),
            ),
        ]

    return files.around_layers(
        config, layer, files.linear_specs(("final.norm", "D", "embedding_norm", "token_embd_norm"))
    )


def attention_specs(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return files.linear_specs(
        ("attention.query", "HE D", "self_attn.q_proj", "attn_q"),
        ("attention.key", "KE D", "self_attn.k_proj", "attn_k"),
        ("attention.value", "KE D", "self_attn.v_proj", "attn_v"),
        ("attention.output", "D HE", "self_attn.out_proj", "attn_output"),
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
    "norm_eps": 1e-5,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 128_000,
    "conv_L_cache": 3,
    "block_multiple_of": 256,
    "block_ffn_dim_multiplier": 1.0,
}
ARCHITECTURES = (files.family("lfm2", from_huggingface, tensors, gguf="lfm2", read_gguf=from_gguf, defaults=DEFAULTS),)
