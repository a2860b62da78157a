"""RWKV-7 "Goose": every layer keeps a state that forgets by key, and its feed-forward step looks back on one token.

Peng et al. 2025, "RWKV-7 'Goose' with Expressive Dynamic State Evolution" (arXiv 2503.14456), section 4.
"""

from __future__ import annotations

from typing import Any

from llminspect.core.dataclass import dataclass
from llminspect.model import decoder_files as files
from llminspect.model.config import OlderConfig, read_sizes
from llminspect.model.copies import Copy
from llminspect.model.families.mamba import NO_ATTENTION
from llminspect.model.rwkv_states import Rwkv7
from llminspect.model.spec import Architecture, for_layers

RANKS = ("decay", "a", "v", "gate")
RANKS_OF_GGUF = ("decay", "iclr", "value_residual_mix", "gate")
OF_STATE = ("decay_rank", "rate_rank", "value_rank", "gate_rank")
USUAL = (2.5, 2.5, 1.7, 5.0)
"""Where a file leaves out a rank it is about so many times √D, rounded to 32."""


@dataclass(frozen=True, kw_only=True)
class RwkvConfig(OlderConfig):
    stated = "sizes norm_epsilon tied state state_layers embedding_norm norm_biases norm activation causal"
    state: Rwkv7
    embedding_norm: bool = True
    """Whether the embedding is normed."""
    norm_biases: bool = True
    """Whether the norms have a bias."""
    activation: str = "relu_squared"


def from_huggingface(settings: files.Settings) -> RwkvConfig:
    settings.only("hidden_act", "sqrelu")
    settings.only("attn", None)  # Layers with attention among the others.
    settings.only("is_causal", True)
    # How it is computed, and how long texts were in training.
    settings.skip("attn_mode", "fuse_norm", "fuse_cross_entropy", "fuse_linear_cross_entropy", "use_l2warp")
    settings.skip("max_position_embeddings")
    width = settings.whole("hidden_size")
    layers, ratio = settings.whole("num_hidden_layers"), settings.number("hidden_ratio", 4.0)
    head = width // settings.whole("num_heads") if settings.get("head_dim") is None else settings.whole("head_dim")
    settings.skip("num_heads")  # Which counts where no width of a head is stated alone.
    values = settings.get("value_dim")
    if values not in (None, width, [width] * layers):
        raise settings.wrong("value_dim", f"{width}, the width of the model, in each layer")
    if not head or width % head:
        raise settings.wrong("head_dim", f"a divisor of {width}, the width of the model")
    ranks = []
    for name, times in zip(RANKS, USUAL, strict=True):
        grows = 1.0 if name == "gate" else head / 64
        usual = max(32, round(times * width**0.5 * grows / 32) * 32)
        ranks.append(settings.whole(f"{name}_low_rank_dim", usual))
    units = settings.whole("intermediate_size", -(int(width * ratio) // -32) * 32)
    epsilon = settings.number("norm_eps")
    return RwkvConfig(
        sizes=read_sizes(settings, {"L": "num_hidden_layers", "D": "hidden_size"}, **NO_ATTENTION | {"F": units}),
        norm_epsilon=epsilon,
        tied=settings.flag("tie_word_embeddings"),
        state=Rwkv7(width // head, head, norm_epsilon=head * epsilon, **dict(zip(OF_STATE, ranks, strict=True))),
        state_layers=tuple(range(layers)),
        embedding_norm=settings.flag("norm_first", True),
        norm_biases=settings.flag("norm_bias", True),
    )


def from_gguf(settings: files.Settings) -> RwkvConfig:
    settings.skip("attention.head_count", "context_length")  # 0, and a number that is made up.
    settings.only("token_shift_count", 2)
    width, head = settings.whole("embedding_length"), settings.whole("wkv.head_size")
    if width % head:
        raise settings.wrong("wkv.head_size", f"a divisor of {width}, the width of the model")
    ranks = [settings.whole(f"attention.{name}_lora_rank") for name in RANKS_OF_GGUF]
    keys = {"L": "block_count", "D": "embedding_length", "F": "feed_forward_length"}
    sizes = read_sizes(settings, keys, **{key: value for key, value in NO_ATTENTION.items() if key != "F"})
    return RwkvConfig(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        tied=False,
        state=Rwkv7(
            width // head, head, norm_epsilon=64e-5, **dict(zip(OF_STATE, ranks, strict=True))
        ),  # As llama.cpp has it for all.
        state_layers=tuple(range(sizes.L)),
    )


def shares(array: files.Array, config: RwkvConfig) -> files.Array:
    """For each purpose, those of a vector's numbers that come from the token before."""
    return array.reshape(6, config.sizes.D)


def flat_spec(name: str, huggingface: str, gguf: str) -> files.TensorSpec:
    return files.TensorSpec(name, "D", huggingface, gguf, files.flat, files.flat)


def through_specs(part: str, rank: int, huggingface: str, gguf: str) -> list[files.TensorSpec]:
    """Of a map through fewer numbers; that of the gate has no bias."""
    into, out = (f"attn.{huggingface}_lora.lora.{at}.weight" for at in (0, 2))
    bias = files.TensorSpec(
        f"state.{part}.out.bias", "D", f"attn.{huggingface}_lora.lora.2.bias", f"time_mix_{gguf}0.weight"
    )
    return [
        files.TensorSpec(f"state.{part}.in.weight", f"{rank} D", into, f"time_mix_{gguf}1.weight"),
        files.TensorSpec(f"state.{part}.out.weight", f"D {rank}", out, f"time_mix_{gguf}2.weight"),
        *([] if part == "gate" else [bias]),
    ]


def tensors(config: RwkvConfig) -> list[files.TensorSpec]:
    state = config.state
    six = tuple(f"attn.x_{purpose}" for purpose in "rwkvag")
    fused = "time_mix_lerp_fused.weight"

    def layer(index: int) -> list[files.TensorSpec]:
        return [
            *files.linear_specs(("state.norm", "D", "attn_norm", "attn_norm"), bias=config.norm_biases),
            *files.linear_specs(("feedforward.norm", "D", "ffn_norm", "attn_norm_2"), bias=config.norm_biases),
            files.TensorSpec("state.shift", "6 D", six, fused, shares, shares),
            files.TensorSpec("state.shift", "6 D", "attn.x_x", None, shares),  # As the first files have it.
            *files.linear_specs(
                ("state.query", "D D", "attn.r_proj", "time_mix_receptance"),
                ("state.key", "D D", "attn.k_proj", "time_mix_key"),
                ("state.value", "D D", "attn.v_proj", "time_mix_value"),
                ("state.output", "D D", "attn.o_proj", "time_mix_output"),
            ),
            *through_specs("decay", state.decay_rank, "w", "w"),
            *through_specs("rate", state.rate_rank, "a", "a"),
            *(through_specs("first", state.value_rank, "v", "v") if index else ()),
            *through_specs("gate", state.gate_rank, "g", "g"),
            flat_spec("state.removal", "attn.k_k", "time_mix_k_k.weight"),
            flat_spec("state.writing", "attn.k_a", "time_mix_k_a.weight"),
            files.TensorSpec(
                "state.bonus",
                f"{state.heads} {state.width}",
                "attn.r_k",
                "time_mix_r_k.weight",
                gguf_fix=lambda array, config: array.reshape(config.state.heads, -1),
            ),
            *files.linear_specs(("state.read.norm", "D", "attn.g_norm", "time_mix_ln"), bias=True),
            flat_spec("feedforward.shift", "ffn.x_k", "channel_mix_lerp_k.weight"),
            *files.linear_specs(
                ("feedforward.up", "F D", "ffn.key", "channel_mix_key"),
                ("feedforward.down", "D F", "ffn.value", "channel_mix_value"),
            ),
        ]

    before = [("embedding.norm", "D", "layers.0.pre_norm", "token_embd_norm")] if config.embedding_norm else []
    return [
        files.TensorSpec("embedding.weight", "V D", "embeddings.weight", "token_embd.weight"),
        *files.linear_specs(*before, bias=config.norm_biases),
        *files.linear_specs(("final.norm", "D", "norm", "output_norm"), bias=config.norm_biases),
        files.TensorSpec("unembedding.weight", "V D", "lm_head.weight", "output.weight", optional=True),
        *for_layers(config.sizes.L, layer, huggingface="layers.{}.", gguf="blk.{}."),
    ]


UNUSED = (Copy("layers.0.attn.v_lora.*"), Copy("blk.0.time_mix_v[012].weight"))
"""The first layer may have what others mix its values by; no version of the model reads it there."""
DEFAULTS: dict[str, Any] = {
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "hidden_act": "sqrelu",
    "norm_eps": 1e-5,
    "vocab_size": 32_000,
}
ARCHITECTURE = Architecture(
    name="rwkv7",
    read_huggingface=from_huggingface,
    tensors=tensors,
    gguf_names=("rwkv7",),
    read_gguf=from_gguf,
    prefix="model.",
    ignored=UNUSED,
    defaults=DEFAULTS,
)
