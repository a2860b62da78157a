"""How files keep multi-head latent attention: the widths of its vectors, the scale of its scores, its matrices.

DeepSeek-AI 2024, "DeepSeek-V2", section 2.1: each token is kept as one short vector, of which a matrix makes the keys
and the values of all heads, and as one rotary key that all heads share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llminspect.core.rotary import Rotary, Yarn, yarn_gain
from llminspect.errors import ModelError
from llminspect.model import decoder_files as files
from llminspect.model import rotary_files
from llminspect.model.config import GGUF, HUGGINGFACE, read_sizes

EPSILON = 1e-6
"""Of the norms of the short vectors: the reference takes no setting for it."""
BIASED = ("attention.query.latent", "attention.latent", "attention.output")


def from_huggingface(
    settings: files.Settings, width_key: str = "intermediate_size", **known: Any
) -> files.DecoderConfig:
    """What families with this attention write alike; `known` as in `decoder_files.from_huggingface`, and `experts_in`,
    the number of experts."""
    heads, experts = settings.whole("num_attention_heads"), known.pop("experts_in", 0)
    plain, turned = settings.whole("qk_nope_head_dim"), settings.whole("qk_rope_head_dim")
    sizes = read_sizes(
        settings,
        {**HUGGINGFACE, "F": width_key},
        E=plain + turned,
        X=experts,
        U=settings.whole("v_head_dim", settings.whole("hidden_size") // heads),
        M=plain,
        G=turned,
        Z=settings.whole("kv_lora_rank"),
        Q=0 if settings.get("q_lora_rank") is None else settings.whole("q_lora_rank"),
    )
    settings.only("num_key_value_heads", heads)
    settings.only("head_dim", turned)
    settings.only("qk_head_dim", sizes.E)
    rotary = rotary_files.from_huggingface(settings, turned, sizes.context)
    stated = settings.get("rope_scaling") or settings.get("rope_parameters") or {}
    biases = BIASED if settings.flag("attention_bias") else ()
    scale = scale_of(sizes.E, rotary, stated.get("mscale_all_dim"))
    given = {"latent_epsilon": EPSILON, "scale": scale, "biased": biases, **known}
    return files.from_huggingface(settings, sizes, rotary=rotary, **given)


def scale_of(width: int, rotary: Rotary, weight: float | None) -> float:
    """What scores are multiplied by: 1/√E, and where the rotation is stretched the square of YaRN's gain
    (`mscale_all_dim`), which there holds for the whole of a score and not for its rotary part alone."""
    gain = yarn_gain(rotary.scaling.factor, weight) if isinstance(rotary.scaling, Yarn) and weight else 1.0
    scale: float = width**-0.5 * gain**2
    return scale


def from_gguf(settings: files.Settings, **known: Any) -> files.DecoderConfig:
    """The same of a GGUF file. Newer ones (`attention.key_length_mla`) state the widths of what is kept of a token
    where older ones state those of a head, and hold the matrices of keys and values apart."""
    heads, kept, turned = settings.whole("attention.head_count"), *map(settings.whole, KEPT)
    split, experts = settings.get("attention.key_length_mla") is not None, known.pop("experts_in", 0)
    if split:
        settings.only("attention.key_length", kept + turned)
        settings.only("attention.value_length", kept)
    ending = "_mla" if split else ""
    width = settings.whole(f"attention.key_length{ending}")
    if width <= turned:
        raise settings.wrong(f"attention.key_length{ending}", f"more than the {turned} numbers that are turned")
    settings.only("attention.head_count_kv", heads, 1)
    sizes = read_sizes(
        settings,
        GGUF,
        K=heads,
        E=width,
        X=experts,
        U=settings.whole(f"attention.value_length{ending}", settings.whole("embedding_length") // heads),
        M=width - turned,
        G=turned,
        Z=kept,
        Q=0 if settings.get("attention.q_lora_rank") is None else settings.whole("attention.q_lora_rank"),
    )
    rotary = rotary_files.from_gguf(settings, turned, sizes.context)
    weight = settings.perhaps("rope.scaling.yarn_log_multiplier")
    if weight is not None and isinstance(rotary.scaling, Yarn):
        rotary = replace(rotary, scaling=replace(rotary.scaling, gain=1.0))
    scale = scale_of(width, rotary, weight and 10 * weight)
    given = {"latent_epsilon": EPSILON, "scale": scale, "biased": (), "rotary": rotary, "split": split, **known}
    return files.from_gguf(settings, sizes, **given)


KEPT = ("attention.kv_lora_rank", "rope.dimension_count")


def attention_specs(config: files.DecoderConfig) -> list[files.TensorSpec]:
    read, short = ("HE Q", "q_b") if config.sizes.Q else ("HE D", "q")
    shortened = (
        *files.linear_specs(("attention.query.latent", "Q D", "self_attn.q_a_proj", "attn_q_a"), bias=config.biased),
        *files.linear_specs(("attention.query.latent.norm", "Q", "self_attn.q_a_layernorm", "attn_q_a_norm")),
    )
    kept = {"attention.latent": "Z D", "attention.key.shared": "G D"}
    biased, in_gguf = (
        "attention.latent" in (config.biased or ()),
        ("attn_k_b", "attn_v_b") if config.split else ("attn_kv_b", "attn_kv_b"),
    )
    key_of, value_of = (key_of_split, value_of_split) if config.split else (key_of_both, value_of_both)
    both = "self_attn.kv_b_proj.weight"
    return [
        *(shortened if config.sizes.Q else ()),
        *files.linear_specs(("attention.query", read, f"self_attn.{short}_proj", f"attn_{short}")),
        *files.fused_specs(kept, "self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa", bias=biased),
        *files.linear_specs(("attention.latent.norm", "Z", "self_attn.kv_a_layernorm", "attn_kv_a_norm")),
        files.TensorSpec("attention.key.weight", "HM Z", both, f"{in_gguf[0]}.weight", key_of_both, key_of),
        files.TensorSpec("attention.value.weight", "HU Z", both, f"{in_gguf[1]}.weight", value_of_both, value_of),
        *files.linear_specs(("attention.output", "D HU", "self_attn.o_proj", "attn_output"), bias=config.biased),
    ]


def _of_both(part: Callable[[files.Sizes], slice]) -> Callable[[files.Array, files.DecoderConfig], files.Array]:
    """Of one matrix that has for each head the rows of its keys and after them those of its values."""

    def cut(both: files.Array, config: files.DecoderConfig) -> files.Array:
        sizes = config.sizes
        if both.shape != (rows := sizes.H * (sizes.M + sizes.U), sizes.Z):
            raise ModelError(f"a tensor of keys and values has the shape {both.shape}, not {(rows, sizes.Z)}")
        return both.reshape(sizes.H, -1, sizes.Z)[:, part(sizes)].reshape(-1, sizes.Z)

    return cut


key_of_both = _of_both(lambda sizes: slice(sizes.M))
value_of_both = _of_both(lambda sizes: slice(sizes.M, None))


def key_of_split(key_HZM: files.Array, config: files.DecoderConfig) -> files.Array:
    """What newer GGUF files hold turns a query into what meets the short vectors."""
    return _checked(key_HZM, config.sizes.H, config.sizes.Z, config.sizes.M).swapaxes(1, 2).reshape(-1, config.sizes.Z)


def value_of_split(value_HUZ: files.Array, config: files.DecoderConfig) -> files.Array:
    return _checked(value_HUZ, config.sizes.H, config.sizes.U, config.sizes.Z).reshape(-1, config.sizes.Z)


def _checked(array: files.Array, *shape: int) -> files.Array:
    if array.shape != shape:
        raise ModelError(f"a tensor of keys or values has the shape {array.shape}, not {shape}")
    return array


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    """Of a family with a norm before each step and one gated feed-forward step in each layer."""
    return files.around_layers(
        config, [*files.NORMS_BEFORE, *attention_specs(config), *files.feed_forward_specs(config)]
    )
