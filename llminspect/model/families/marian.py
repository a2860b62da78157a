"""Marian, the translators of OPUS-MT: the Transformer as it was first written down.

Vaswani et al. 2017, "Attention Is All You Need": sinusoidal positions, the norm after each sum, an encoder and a
decoder with one embedding. Junczys-Dowmunt et al. 2018, "Marian".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llminspect.model.config import Config, Sizes, read_sizes, start_token
from llminspect.model.copies import Copy, waves
from llminspect.model.settings import ACTIVATIONS
from llminspect.model.spec import Architecture, TensorSpec, for_layers, linear_specs
from llminspect.model.transformer import encode_source, forward, readout

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.settings import Settings


@dataclass(frozen=True, kw_only=True)
class MarianConfig(Config):
    norm = "layer"
    norm_epsilon = 1e-5  # Fixed in the family's definition.
    waves = True
    sizes: Sizes
    """Of the decoder."""
    encoder_layers: int
    encoder_heads: int
    encoder_width: int
    """F of the encoder."""
    activation: str
    embedding_scale: float
    start_id: int | None
    """What the decoder starts from; None: the file does not say."""
    causal: bool = True

    @property
    def encoder(self) -> MarianConfig:
        heads = self.encoder_heads
        sizes = replace(self.sizes, L=self.encoder_layers, H=heads, K=heads, E=self.sizes.D // heads)
        return replace(self, sizes=sizes, causal=False)


UNREAD = "encoder_layerdrop decoder_layerdrop classif_dropout num_hidden_layers extra_pos_embeddings".split()
"""Of training, or repeats; the last holds the size of the vocabulary in many files, and no version reads it."""


KEYS = {
    "L": "decoder_layers",
    "D": "d_model",
    "H": "decoder_attention_heads",
    "F": "decoder_ffn_dim",
    "context": "max_position_embeddings",
}


def from_huggingface(settings: Settings) -> MarianConfig:
    sizes = read_sizes(settings, KEYS)
    for key, only in (
        ("decoder_vocab_size", sizes.V),
        ("share_encoder_decoder_embeddings", True),
        ("tie_word_embeddings", True),
        ("static_position_embeddings", True),
        ("normalize_before", False),
        ("normalize_embedding", False),
        ("add_final_layer_norm", False),
        ("add_bias_logits", False),
        ("is_encoder_decoder", True),
    ):
        settings.only(key, only)
    settings.skip(*UNREAD)
    return MarianConfig(
        sizes=sizes,
        encoder_layers=settings.whole("encoder_layers"),
        encoder_heads=settings.whole("encoder_attention_heads"),
        encoder_width=settings.whole("encoder_ffn_dim"),
        activation=settings.one_of("activation_function", ACTIVATIONS),
        embedding_scale=math.sqrt(sizes.D) if settings.flag("scale_embedding") else 1.0,
        start_id=start_token(settings, sizes.V, settings.get("bos_token_id")),
    )


def _attention(step: str, name: str, heads: str) -> list[TensorSpec]:
    return linear_specs(
        (f"{step}.query", f"{heads} D", f"{name}.q_proj", None),
        (f"{step}.key", f"{heads} D", f"{name}.k_proj", None),
        (f"{step}.value", f"{heads} D", f"{name}.v_proj", None),
        (f"{step}.output", f"D {heads}", f"{name}.out_proj", None),
        bias=True,
    )


def _layer(heads: str, width: str, crossing: list[TensorSpec]) -> list[TensorSpec]:
    return [
        *_attention("attention", "self_attn", heads),
        *linear_specs(("middle.norm", "D", "self_attn_layer_norm", None), bias=True),
        *crossing,
        *linear_specs(
            ("feedforward.up", f"{width} D", "fc1", None),
            ("feedforward.down", f"D {width}", "fc2", None),
            ("output.norm", "D", "final_layer_norm", None),
            bias=True,
        ),
    ]


def one_row(bias_1V: Array, _: MarianConfig) -> Array:
    return bias_1V.reshape(-1)


def tensors(config: MarianConfig) -> list[TensorSpec]:
    # The letters are the decoder's; an encoder with other numbers (no published one) has none.
    heads = "HE" if config.encoder_heads == config.sizes.H else "D"
    width = "F" if config.encoder_width == config.sizes.F else str(config.encoder_width)
    crossing = [
        *_attention("cross_attention", "encoder_attn", "HE"),
        *linear_specs(("crossed.norm", "D", "encoder_attn_layer_norm", None), bias=True),
    ]
    encoder, decoder = _layer(heads, width, []), _layer("HE", "F", crossing)
    return [
        TensorSpec("embedding.weight", "V D", "shared.weight"),
        *for_layers(config.encoder_layers, encoder, huggingface="encoder.layers.{}.", stack="encoder.layers"),
        *for_layers(config.sizes.L, decoder, huggingface="decoder.layers.{}."),
        TensorSpec("unembedding.bias", "V", "final_logits_bias", huggingface_fix=one_row, optional=True),
    ]


ARCHITECTURES = (
    Architecture(
        name="marian",
        model_types=("marian",),
        read_huggingface=from_huggingface,
        tensors=tensors,
        forward=forward,
        readout=readout,
        encode_source=encode_source,
        capabilities=frozenset({"generate", "source"}),
        requires={"generate": "unembedding.bias"},
        prefix="model.",
        defaults={
            "activation_function": "gelu",
            "max_position_embeddings": 1024,
            "decoder_start_token_id": 58100,  # Of the published vocabulary; in a smaller one it is no id.
        },
        ignored=(
            Copy("*.embed_positions.weight", agrees=waves),
            Copy("*coder.embed_tokens.weight", of="embedding.weight"),
            Copy("lm_head.weight", of="embedding.weight"),
        ),
    ),
)
