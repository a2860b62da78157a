"""BART, Marian and their kin: the first Transformer, an encoder and a decoder with one embedding.

Vaswani et al. 2017, "Attention Is All You Need". In what its kin differ is a table (`KINDS`): Lewis et al. 2020,
"BART"; Junczys-Dowmunt et al. 2018, "Marian"; Liu et al. 2020, "mBART"; Zhang et al. 2020, "PEGASUS"; Fan et al. 2021,
"M2M-100" (NLLB is one); Roller et al. 2021, "Recipes for building an open-domain chatbot" (Blenderbot).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Literal

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model.config import OlderConfig, read_sizes, start_token
from llminspect.model.copies import Copy, waves
from llminspect.model.heads import HeadFiles
from llminspect.model.maps import attention_maps
from llminspect.model.settings import ACTIVATIONS, Settings
from llminspect.model.spec import Architecture, TensorSpec, flat, for_layers, linear_specs
from llminspect.model.transformer import encode_source


@dataclass(frozen=True)
class Kind:
    """In what a family differs from the others."""

    norms_before: bool = False
    """Whether the norms stand before each step, and one at the end of each stack; else after each sum."""
    waves: Literal["", "marian", "fairseq"] = ""
    """Positions: sines and cosines; "": a table that is learned …"""
    unused: int = 0
    """… which begins with so many rows that no token has."""
    normed: Literal["", "sum", "tokens"] = ""
    """Whether the embedding is normed; in the decoder before positions are added ("tokens"), or after."""
    activation: str = "gelu"
    scaled: bool = False
    """Whether the embedding is scaled where the file does not say."""


KINDS = {
    "bart": Kind(unused=2, normed="sum"),
    "mbart": Kind(norms_before=True, unused=2, normed="sum"),
    "marian": Kind(waves="marian"),
    "pegasus": Kind(norms_before=True, waves="marian"),
    "m2m_100": Kind(norms_before=True, waves="fairseq", activation="relu", scaled=True),
    "blenderbot": Kind(norms_before=True),
    "blenderbot-small": Kind(normed="tokens"),
    "plbart": Kind(unused=2, normed="sum", scaled=True),
}


BART_HEADS = HeadFiles(
    "classification_head.out_proj", None, ("labels.dense", "classification_head.dense", "tanh"), end_id=2
)
HEADS = {"bart": BART_HEADS, **dict.fromkeys(("mbart", "plbart"), replace(BART_HEADS, wraps=True))}


@dataclass(frozen=True, kw_only=True)
class BartConfig(OlderConfig):
    """Its sizes are the decoder's; `tied`: whether encoder, decoder and output matrix share one table."""

    stated = """
        sizes encoder_layers encoder_heads encoder_width activation embedding_scale start_id waves padding_id causal
        tied
    """
    norm_epsilon: float = 1e-5  # Fixed in the definitions of all of them.
    encoder_layers: int
    encoder_heads: int
    encoder_width: int
    """F of the encoder."""
    start_id: int | None
    """What the decoder starts from: the stated id, else BOS, as the reference writes; None: the file says neither."""

    @property
    def encoder(self) -> BartConfig:
        heads = self.encoder_heads
        sizes = replace(self.sizes, L=self.encoder_layers, H=heads, K=heads, E=self.sizes.D // heads)
        return replace(self, sizes=sizes, causal=False)


UNREAD = """
    encoder_layerdrop decoder_layerdrop classif_dropout extra_pos_embeddings
    force_bos_token_to_be_generated replacing_rate save_step student_decoder_layers student_encoder_layers
    do_blenderbot_90_layernorm layernorm_variant extra_layer_norm
""".split()
"""Of training and of generating, or repeats; the fourth holds the size of the vocabulary in many files, and no version
reads it."""


KEYS = {
    "L": "decoder_layers",
    "D": "d_model",
    "H": "decoder_attention_heads",
    "F": "decoder_ffn_dim",
    "context": "max_position_embeddings",
}


def from_huggingface(settings: Settings, kind: Kind) -> BartConfig:
    sizes = read_sizes(settings, KEYS)
    for key, only in (
        ("decoder_vocab_size", sizes.V),
        ("share_encoder_decoder_embeddings", True),
        ("static_position_embeddings", bool(kind.waves)),
        ("normalize_before", kind.norms_before),
        ("normalize_embedding", bool(kind.normed)),
        ("add_final_layer_norm", kind.norms_before),
        ("add_bias_logits", False),
        ("is_encoder_decoder", True),
    ):
        settings.only(key, only)
    settings.skip(*UNREAD)
    layers, heads = settings.whole("encoder_layers"), settings.whole("encoder_attention_heads")
    settings.only("num_hidden_layers", layers)  # Another name of it, which the reference follows where it stands.
    if sizes.D % heads:
        raise settings.wrong("encoder_attention_heads", f"a divisor of {sizes.D}, the width of the model")
    counts, last = kind.waves == "fairseq", sizes.V - 1
    padding = ("pad_token_id", 0, last, f"0 to {last}: positions count from after it")
    if counts and sizes.D < 4:
        raise settings.wrong("d_model", "4 or more: its half less one divides")
    return BartConfig(
        sizes=sizes,
        encoder_layers=layers,
        encoder_heads=heads,
        encoder_width=settings.whole("encoder_ffn_dim"),
        activation=settings.one_of("activation_function", ACTIVATIONS),
        embedding_scale=math.sqrt(sizes.D) if settings.flag("scale_embedding") else 1.0,
        start_id=start_token(settings, sizes.V, settings.get("bos_token_id")),
        waves=kind.waves,
        padding_id=settings.between(*padding, settings.need("pad_token_id")) if counts else None,
        tied=settings.flag("tie_word_embeddings", True),
    )


def _attention(step: str, name: str, heads: str) -> list[TensorSpec]:
    maps = attention_maps(f"{name}.{{}}_proj", f"{name}.out_proj", step=step, heads=heads, keys=heads)
    return linear_specs(*maps, bias=True)


def _layer(kind: Kind, heads: str, width: str, decoder: bool) -> list[TensorSpec]:
    before = ("attention.norm", "cross_attention.norm", "feedforward.norm")
    first, second, third = before if kind.norms_before else ("middle.norm", "crossed.norm", "output.norm")
    crossing = [
        *_attention("cross_attention", "encoder_attn", heads),
        *linear_specs((second, "D", "encoder_attn_layer_norm", None), bias=True),
    ]
    return [
        *_attention("attention", "self_attn", heads),
        *linear_specs((first, "D", "self_attn_layer_norm", None), bias=True),
        *(crossing if decoder else ()),
        *linear_specs(
            ("feedforward.up", f"{width} D", "fc1", None),
            ("feedforward.down", f"D {width}", "fc2", None),
            (third, "D", "final_layer_norm", None),
            bias=True,
        ),
    ]


def _around(config: BartConfig, kind: Kind, stack: str, front: str = "") -> list[TensorSpec]:
    """The positions of a stack, and the norms at its beginning and end."""

    def used(table_PD: Array, _: BartConfig) -> Array:
        return table_PD[kind.unused :]

    name = "embedding.tokens.norm" if kind.normed == "tokens" and not front else "embedding.norm"
    name, rows = f"{front}{name}", f"{config.sizes.context} D"
    fix = used if kind.unused else None
    table = TensorSpec(f"{front}position.weight", rows, f"{stack}.embed_positions.weight", huggingface_fix=fix)
    first = linear_specs((name, "D", f"{stack}.layernorm_embedding", None), bias=True)
    last = linear_specs((f"{front}final.norm", "D", f"{stack}.layer_norm", None), bias=True)
    return [*([] if kind.waves else [table]), *(first if kind.normed else []), *(last if kind.norms_before else [])]


SHARED = [TensorSpec("embedding.weight", "V D", "shared.weight")]
APART = [
    TensorSpec("embedding.weight", "V D", "decoder.embed_tokens.weight", other=("shared.weight", None)),
    TensorSpec("encoder.embedding.weight", "V D", "encoder.embed_tokens.weight", other=("shared.weight", None)),
    TensorSpec("unembedding.weight", "V D", "lm_head.weight", optional=True),
]
"""Files of before transformers 5 keep an output matrix apart, and the other two in one."""


def tensors(config: BartConfig, kind: Kind) -> list[TensorSpec]:
    # The letters are the decoder's; an encoder with other numbers (no published one) has none.
    heads = "HE" if config.encoder_heads == config.sizes.H else "D"
    width = "F" if config.encoder_width == config.sizes.F else str(config.encoder_width)
    encoder, decoder = _layer(kind, heads, width, decoder=False), _layer(kind, "HE", "F", decoder=True)
    return [
        *(SHARED if config.tied else APART),
        *_around(config, kind, "encoder", "encoder."),
        *for_layers(config.encoder_layers, encoder, huggingface="encoder.layers.{}.", stack="encoder.layers"),
        *_around(config, kind, "decoder"),
        *for_layers(config.sizes.L, decoder, huggingface="decoder.layers.{}."),
        TensorSpec("unembedding.bias", "V", "final_logits_bias", huggingface_fix=flat, optional=True),
    ]


def _family(name: str, kind: Kind) -> Architecture:
    return Architecture(
        name=name,
        read_huggingface=partial(from_huggingface, kind=kind),
        tensors=partial(tensors, kind=kind),
        encode_source=encode_source,
        capabilities=frozenset({"generate", "source"}),
        requires={"generate": "unembedding.bias"} if name == "marian" else {},
        prefix="model.",
        heads=HEADS.get(name),
        defaults={
            "activation_function": kind.activation,
            "max_position_embeddings": {"blenderbot": 128, "blenderbot-small": 512}.get(name, 1024),
            "scale_embedding": kind.scaled,
            "pad_token_id": 1,
        },
        ignored=(
            Copy("*.embed_positions.weight*", agrees=waves),
            Copy("*coder.embed_tokens.weight", of="embedding.weight"),
            Copy("lm_head.weight", of="embedding.weight"),
            Copy("shared.weight"),
            Copy("*coder.version"),
        ),
    )


ARCHITECTURES = tuple(_family(name, kind) for name, kind in KINDS.items())
