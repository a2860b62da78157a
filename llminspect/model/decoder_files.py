"""How files keep the decoders since Llama: the settings that these families write alike, and their tensors.

With it a family's file has all that it is written with: the types that are imported here are its names too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from llminspect.core.array import Array as Array
from llminspect.core.feedforward import GatedUnit
from llminspect.core.feedforward import Glu as Glu
from llminspect.core.rotary import Rotary
from llminspect.model import rotary_files
from llminspect.model.config import GGUF, HUGGINGFACE, read_sizes
from llminspect.model.config import DecoderConfig as DecoderConfig
from llminspect.model.config import Experts as Experts
from llminspect.model.config import Sizes as Sizes
from llminspect.model.heads import DECODER_HEADS
from llminspect.model.maps import attention_maps as attention_maps
from llminspect.model.maps import expert_specs as expert_specs
from llminspect.model.maps import gated_maps as gated_maps
from llminspect.model.maps import in_one as in_one
from llminspect.model.settings import ACTIVATIONS
from llminspect.model.settings import Settings as Settings
from llminspect.model.spec import Architecture, RowOrder, for_layers
from llminspect.model.spec import TensorSpec as TensorSpec
from llminspect.model.spec import flat as flat
from llminspect.model.spec import fused_specs as fused_specs
from llminspect.model.spec import linear_specs as linear_specs
from llminspect.model.spec import renamed as renamed

Norm = Literal["rms", "layer"]
Reads = tuple[str, ...] | Callable[[Settings], tuple[str, ...]]
"""Which maps of a layer have a bias, or what reads it."""

QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")
ATTENTION = (*QUERY_KEY_VALUE, "attention.output")
UNGATED = ("feedforward.up", "feedforward.down")
FEED_FORWARD = ("feedforward.gate", *UNGATED)


def sizes_from_huggingface(settings: Settings, width_key: str = "intermediate_size", experts: int = 0) -> Sizes:
    width, heads = settings.whole("hidden_size"), settings.whole("num_attention_heads")
    if width < heads and settings.get("head_dim") is None:
        raise settings.wrong("hidden_size", f"at least {heads}, as many as heads, where there is no head_dim")
    shared, head_width = settings.whole("num_key_value_heads", heads), settings.whole("head_dim", width // heads)
    return read_sizes(settings, {**HUGGINGFACE, "F": width_key}, K=shared, E=head_width, X=experts)


def from_huggingface(
    settings: Settings,
    sizes: Sizes | None = None,
    *,
    unit: GatedUnit | None = None,
    rotary: Rotary | None = None,
    norm: Norm = "rms",
    epsilon: str = "",
    biased: Reads = (),
    **known: Any,
) -> DecoderConfig:
    """What every family writes alike, and what is `known`; `sizes`, `unit`, `rotary` and `epsilon`, the key of the
    norms' ε, where the family has other keys for them; `biased`: which maps have a bias, or what reads it."""
    sizes = sizes or sizes_from_huggingface(settings)
    found = DecoderConfig(
        sizes=sizes,
        norm=norm,
        norm_epsilon=settings.number(epsilon or {"rms": "rms_norm_eps", "layer": "layer_norm_eps"}[norm]),
        scale=sizes.E**-0.5,
        rotary=rotary or rotary_files.from_huggingface(settings, sizes.E, sizes.context),
        biased=biased(settings) if callable(biased) else biased,
        tied=settings.flag("tie_word_embeddings"),
        unit=unit or Glu(settings.one_of("hidden_act", ACTIVATIONS)),
        causal=settings.flag("is_causal", True),
    )
    return replace(found, **known)


def interleaved(config: DecoderConfig) -> DecoderConfig:
    """With the rotation of neighbours: of the numbers 2i and 2i + 1 of a head."""
    return replace(config, rotary=replace(config.rotary, pairs="interleaved"))


def turned_in_windows(config: DecoderConfig) -> DecoderConfig:
    """With positions in the layers that have a window alone."""
    return replace(config, unturned=tuple(index for index in range(config.sizes.L) if index not in config.windowed))


def chosen_experts(settings: Settings, key: str, experts: int) -> int:
    """How many experts work on a token: some of those that there are."""
    chosen = settings.whole(key)
    if chosen > experts:
        raise settings.wrong(key, f"at most {experts}, as many experts as there are")
    return chosen


def attention_biases(settings: Settings, key: str = "attention_bias") -> tuple[str, ...]:
    return ATTENTION if settings.flag(key) else ()


def feed_forward_biases(settings: Settings) -> tuple[str, ...]:
    return FEED_FORWARD if settings.flag("mlp_bias") else ()


def all_biases(settings: Settings) -> tuple[str, ...]:
    return attention_biases(settings) + feed_forward_biases(settings)


def inner_biases(settings: Settings, key: str = "attention_bias") -> tuple[str, ...]:
    """Those of the attention, but for its output's."""
    return QUERY_KEY_VALUE if settings.flag(key) else ()


def with_windows(
    config: DecoderConfig, settings: Settings, sliding: Callable[[int], bool] | None = None
) -> DecoderConfig:
    """A window on the layers that `layer_types` names.

    Where the file has none: on those that `sliding` names (of a layer's number). Without that on all if there is one,
    and the file may not say otherwise: the reference does not read `layer_types` of such kinds.
    """
    layers, window = config.sizes.L, settings.get("sliding_window")  # May be written where no layer has one.
    slides = [window is not None if sliding is None else sliding(index) for index in range(layers)]
    usual = ["sliding_attention" if slide else "full_attention" for slide in slides]
    kinds = settings.get("layer_types", usual)
    if sliding is None and kinds != usual:
        raise settings.wrong("layer_types", f"{usual[0]} for each of {layers} layers")
    if len(kinds) != layers or not set(kinds) <= {"sliding_attention", "full_attention"}:
        raise settings.wrong("layer_types", f"sliding_attention or full_attention for each of {layers} layers")
    windowed = tuple(index for index, kind in enumerate(kinds) if kind == "sliding_attention")
    return replace(config, window=settings.whole("sliding_window") if windowed else None, windowed=windowed)


def sizes_from_gguf(settings: Settings, experts: int = 0) -> Sizes:
    width, heads = settings.whole("embedding_length"), settings.whole("attention.head_count")
    head_width = settings.whole("attention.key_length", width // heads)
    settings.only("attention.value_length", head_width)
    return read_sizes(settings, GGUF, K=settings.whole("attention.head_count_kv", heads), E=head_width, X=experts)


def from_gguf(
    settings: Settings,
    sizes: Sizes | None = None,
    *,
    norm: Norm = "rms",
    epsilon: str = "",
    rotary: Rotary | None = None,
    **known: Any,
) -> DecoderConfig:
    """What every family writes alike, and what is `known`. Whether there is an output matrix and which biases, the
    file's tensors say."""
    sizes = sizes or sizes_from_gguf(settings)
    found = DecoderConfig(
        sizes=sizes,
        norm=norm,
        norm_epsilon=settings.number(epsilon or f"attention.layer_norm_{'rms_' if norm == 'rms' else ''}epsilon"),
        scale=sizes.E**-0.5,
        rotary=rotary or rotary_files.from_gguf(settings, sizes.E, sizes.context),
        tied=True,
        biased=None,
        causal=settings.flag("attention.causal", True),
    )
    return replace(found, **known)


def with_windows_of_gguf(config: DecoderConfig, settings: Settings, every: int) -> DecoderConfig:
    """A window on all layers but each `every`th, or on those that the file marks, or on all but those it counts; none
    where it states no width."""
    key, layers = "attention.sliding_window_pattern", config.sizes.L
    stated = settings.get(key, every)
    if isinstance(stated, list):
        if len(stated) != layers or not all(isinstance(slides, bool | int) for slides in stated):
            raise settings.wrong(key, f"true or false for each of {layers} layers")
        windowed = tuple(index for index, slides in enumerate(stated) if slides)
    else:
        every = settings.whole(key, every)
        windowed = tuple(index for index in range(layers) if (index + 1) % every)
    if not windowed or not settings.get("attention.sliding_window"):
        return config
    return replace(config, window=settings.whole("attention.sliding_window"), windowed=windowed)


def around_layers(
    config: DecoderConfig,
    layer: Iterable[TensorSpec] | Callable[[int], Iterable[TensorSpec]],
    final: Iterable[TensorSpec] | None = None,
) -> list[TensorSpec]:
    """The embedding, the `final` norm, the output matrix, and the specs of each layer: by its number, or the same."""
    return [
        TensorSpec("embedding.weight", "V D", "embed_tokens.weight", "token_embd.weight"),
        *(linear_specs(("final.norm", "D", "norm", "output_norm")) if final is None else final),
        TensorSpec("unembedding.weight", "V D", "lm_head.weight", "output.weight", optional=True),
        *for_layers(config.sizes.L, layer, huggingface="layers.{}.", gguf="blk.{}."),
    ]


BEFORE = (
    ("attention.norm", "D", "input_layernorm", "attn_norm"),
    ("feedforward.norm", "D", "post_attention_layernorm", "ffn_norm"),
)
NORMS_BEFORE = linear_specs(*BEFORE)
RENAMED_NORMS_BEFORE = linear_specs(BEFORE[0], (*BEFORE[1][:3], "post_attention_norm"))
"""Those of newer GGUF files, which call the second by Hugging Face's name."""
BIASED_NORMS_BEFORE = linear_specs(*BEFORE, bias=True)
BIASED_FINAL_NORM = linear_specs(("final.norm", "D", "norm", "output_norm"), bias=True)
AROUND = (
    BEFORE[0],
    ("attention.norm_after", "D", "post_attention_layernorm", "post_attention_norm"),
    ("feedforward.norm", "D", "pre_feedforward_layernorm", "ffn_norm"),
    ("feedforward.norm_after", "D", "post_feedforward_layernorm", "post_ffw_norm"),
)
OF_HEADS = (
    ("attention.query.norm", "E", "self_attn.q_norm", "attn_q_norm"),
    ("attention.key.norm", "E", "self_attn.k_norm", "attn_k_norm"),
)
HEAD_NORMS = linear_specs(*OF_HEADS)


IN_GGUF = ("attn_{}", "attn_output")
"""What GGUF files call the maps of the attention."""


def _of_halves(rows: int, config: DecoderConfig, heads: str) -> Array:
    """Some GGUF files hold each head's rows interleaved for the rotation; which of them is each row of its halves."""
    count = getattr(config.sizes, heads)
    return np.arange(rows).reshape(count, rows // count // 2, 2).swapaxes(1, 2).reshape(rows)


def attention_specs(config: DecoderConfig, permuted: bool = False) -> list[TensorSpec]:
    """`permuted`: whether GGUF files hold the rows of queries and keys in another order."""
    maps = attention_maps("self_attn.{}_proj", "self_attn.o_proj", IN_GGUF, keys="KE")
    fixes = (*(RowOrder(partial(_of_halves, heads=heads)) for heads in "HK"), None, None) if permuted else (None,) * 4
    return [
        spec
        for one, fix in zip(maps, fixes, strict=True)
        for spec in linear_specs(one, bias=config.biased, gguf_fix=fix)
    ]


def feed_forward_specs(config: DecoderConfig, letter: str = "F") -> list[TensorSpec]:
    return linear_specs(*gated_maps("mlp", letter), bias=config.biased)


def if_there(there: bool | None, specs: Iterable[TensorSpec]) -> list[TensorSpec]:
    """Arrays that are there, or are not; None: the file knows, and has all of them or none."""
    if there is False:
        return []
    return [replace(spec, optional=there is None and "norms of queries and keys") for spec in specs]


def ungated_specs(config: DecoderConfig, up: str = "up_proj", down: str = "down_proj") -> list[TensorSpec]:
    """Of a feed-forward step without a gate, by what Hugging Face files call its maps."""
    maps = (("feedforward.up", "F D", f"mlp.{up}", "ffn_up"), ("feedforward.down", "D F", f"mlp.{down}", "ffn_down"))
    return linear_specs(*maps, bias=config.biased)


def plain_tensors(config: DecoderConfig, permuted: bool = False) -> list[TensorSpec]:
    """Of a family with a norm before each step and nothing more."""
    layer = [*NORMS_BEFORE, *attention_specs(config, permuted), *feed_forward_specs(config)]
    return [*around_layers(config, layer), *divisor_specs(config)]


def divisor_specs(config: DecoderConfig) -> list[TensorSpec]:
    """What slows each pair of the rotation, where a GGUF file has it as a tensor (`rotary_files.from_gguf`)."""
    return [TensorSpec("rotary.divisors", str(config.rotary.width // 2), None, "rope_freqs.weight", optional=True)]


def long_and_short_divisor_specs(config: DecoderConfig) -> list[TensorSpec]:
    """The same where there are some for short texts and others for long ones (`core.rotary.Divided`)."""
    pairs = str(config.rotary.width // 2)
    return [
        TensorSpec(f"rotary.divisors.{texts}", pairs, None, f"rope_factors_{texts}.weight", optional=True)
        for texts in ("short", "long")
    ]


DEFAULTS = {"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10_000.0}


def family(
    name: str,
    read_huggingface: Callable[[Settings], DecoderConfig],
    tensors: Callable[[Any], Iterable[TensorSpec]] = plain_tensors,
    *,
    gguf: str | tuple[str, ...] | None = None,
    read_gguf: Callable[[Settings], DecoderConfig] | None = None,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    spellings: tuple[tuple[str, str], ...] = (),
    **other: Any,
) -> Architecture:
    """A decoder since Llama; `gguf`: where it is not `name`; `spellings`: other ends of names; and what is `other`.

    `defaults` are what the reference takes where a `config.json` lacks a key, beside DEFAULTS.
    """
    gguf = (name if read_gguf else ()) if gguf is None else gguf
    usual = {"model_types": (name.replace("-", "_"),), "prefix": "model.", "heads": DECODER_HEADS}
    return Architecture(
        name=name,
        read_huggingface=read_huggingface,
        tensors=tensors,
        gguf_names=(gguf,) if isinstance(gguf, str) else gguf,
        read_gguf=read_gguf,
        defaults={**DEFAULTS, **defaults},
        older_spellings=spellings,
        **{**usual, **other},
    )
