"""GTE (gte-multilingual, gte v1.5; arctic-embed 2): a BERT that turns queries and keys, with gated feed-forward steps.

Zhang et al. 2024, "mGTE: Generalized Long-Context Text Representation and Reranking Models", section 3.1.
"""

from __future__ import annotations

from functools import partial

from llminspect.core.rotary import Linear, Rotary
from llminspect.model import rotary_files
from llminspect.model.config import HUGGINGFACE, read_older, read_sizes
from llminspect.model.decoder_files import QUERY_KEY_VALUE
from llminspect.model.families.bert import DEFAULTS, BertConfig, kin, readout_of, tensors
from llminspect.model.settings import Settings
from llminspect.model.spec import fused_specs, linear_specs


def from_huggingface(settings: Settings) -> BertConfig:
    """Today's form, and that of the model's own code, which is called `new`."""
    settings.skip("unpad_inputs", "use_memory_efficient_attention")  # How it is computed.
    settings.skip("logn_attention_clip1")
    for key, value in (("layer_norm_type", "layer_norm"), ("pack_qkv", True), ("position_embedding_type", "rope")):
        settings.only(key, value)
    settings.only("logn_attention_scale", False)
    sizes = read_sizes(settings, HUGGINGFACE)
    segments = 0 if settings.get("type_vocab_size") == 0 else settings.whole("type_vocab_size")
    rotary = rotation(settings, sizes.E, sizes.context)
    return read_older(BertConfig, settings, sizes, segments=segments, rotary=rotary)


def rotation(settings: Settings, width: int, context: int) -> Rotary:
    """That code has a scaling of its own, `ntk`: the base is `factor` times as large, and every pair slower by the
    root of the factor that has as many parts as there are pairs (Su 2023, "Transformer upgrade path 10 and 11")."""
    scaling = settings.get("rope_scaling")
    if not isinstance(scaling, dict) or scaling.get("type", scaling.get("rope_type")) != "ntk":
        return rotary_files.from_huggingface(settings, width, context)
    inner = settings.under("rope_scaling")
    inner.skip("type", "rope_type")
    inner.only("mixed_b", None)
    factor = inner.number("factor")
    inner.done()
    return Rotary(width, settings.number("rope_theta") * factor, Linear(factor ** (2 / width)))


LAYER = (
    *fused_specs(dict.fromkeys(QUERY_KEY_VALUE, "HE D"), "attention.qkv_proj", "", bias=True),
    *linear_specs(
        ("attention.output", "D HE", "attention.o_proj", None), ("middle.norm", "D", "attn_ln", None), bias=True
    ),
    *fused_specs({"feedforward.up": "F D", "feedforward.gate": "F D"}, "mlp.up_gate_proj", ""),
    *linear_specs(("feedforward.down", "D F", "mlp.down_proj", None), ("output.norm", "D", "mlp_ln", None), bias=True),
)
HEAD = ("lm_head.dense", "lm_head.norm", "lm_head.decoder", "lm_head.decoder.bias")

ARCHITECTURE = kin(
    "gte",
    HEAD,
    model_types=("gte", "new"),
    read_huggingface=from_huggingface,
    tensors=partial(tensors, layer=LAYER, stack="encoder.layer", head=HEAD),
    readout=readout_of("gelu"),
    fronts=("new.",),
    defaults={**DEFAULTS, "type_vocab_size": 1, "max_position_embeddings": 8192, "rope_theta": 160_000.0},
)
