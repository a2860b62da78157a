"""NeoBERT: an encoder with Llama's layers, neighbours turned together; queries, keys and values in one matrix, head by
head.

Le Breton et al. 2025, "NeoBERT: A Next-Generation BERT", section 3.1.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.rotary import Rotary
from llminspect.model import decoder_files as files
from llminspect.model.config import read_sizes
from llminspect.model.families.falcon import part_of_groups
from llminspect.model.families.phi3 import GATE_UP
from llminspect.model.heads import HeadFiles
from llminspect.model.spec import Architecture, for_layers

MULTIPLE = 8
"""Of which the hidden width is one: two thirds of what the file states, as a gate makes three matrices of two."""


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.skip("kwargs", "embedding_init_range", "encoder_init_range", "decoder_init_range", "classifier_init_range")
    width, heads, stated = (settings.whole(key) for key in ("hidden_size", "num_attention_heads", "intermediate_size"))
    if not heads or width % (2 * heads):
        raise settings.wrong("num_attention_heads", f"a number of heads that share {width} numbers in pairs")
    settings.only("dim_head", width // heads)
    units = -(-int(2 * stated / 3) // MULTIPLE) * MULTIPLE
    sizes = read_sizes(settings, {"L": "num_hidden_layers", "context": "max_length"}, D=width, H=heads, F=units)
    return files.DecoderConfig(
        sizes=sizes,
        norm_epsilon=settings.number("norm_eps"),
        scale=sizes.E**-0.5,
        rotary=Rotary(sizes.E, 10_000.0, pairs="interleaved"),
        tied=False,
        causal=False,
    )


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    parts = [
        files.TensorSpec(f"attention.{part}.weight", "HE D", "qkv.weight", huggingface_fix=part_of_groups(part))
        for part in ("query", "key", "value")
    ]
    layer = [
        *files.linear_specs(
            ("attention.norm", "D", "attention_norm", None),
            ("attention.output", "D HE", "wo", None),
            ("feedforward.norm", "D", "ffn_norm", None),
            ("feedforward.down", "D F", "ffn.w3", None),
        ),
        *parts,
        *files.fused_specs(GATE_UP, "ffn.w12", ""),
    ]
    words = files.linear_specs(("unembedding", "V D", "decoder", None), bias=True)
    return [
        files.TensorSpec("embedding.weight", "V D", "encoder.weight"),
        *files.linear_specs(("final.norm", "D", "layer_norm", None)),
        *for_layers(config.sizes.L, layer, huggingface="transformer_encoder.{}."),
        *(replace(spec, optional="words") for spec in words),
    ]


ARCHITECTURE = Architecture(
    name="neobert",
    read_huggingface=from_huggingface,
    tensors=tensors,
    capabilities=frozenset({"encode", "fill"}),
    requires={"fill": "unembedding.weight"},
    prefix="model.",
    heads=HeadFiles("classifier", None, ("labels.dense", "dense", "tanh"), question=None),
    defaults={"norm_eps": 1e-6, "max_length": 1024},
)
