"""ALBERT: a BERT with a narrow embedding, whose layers are all the same one, or as many as there are groups.

Lan et al. 2020, "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", section 3.1.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.dataclass import dataclass
from llminspect.model.families.bert import DEFAULTS, BertConfig, bert_from_huggingface, kin, layer_specs, tensors
from llminspect.model.heads import HeadFiles, OutputHead
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, for_layers


@dataclass(frozen=True, kw_only=True)
class AlbertConfig(BertConfig):
    groups: int
    """Layers that the file holds; each stands for as many that follow each other."""


def from_huggingface(settings: Settings) -> AlbertConfig:
    settings.skip("classifier_dropout_prob", "net_structure_type", "gap_size", "num_memory_blocks", "down_scale_factor")
    settings.only("inner_group_num", 1)
    found = bert_from_huggingface(settings, counts_from_padding=False)
    groups = settings.whole("num_hidden_groups")
    if groups > found.sizes.L:
        raise settings.wrong("num_hidden_groups", f"at most {found.sizes.L}, as many as there are layers")
    found = replace(found, embedding_width=settings.whole("embedding_size"))
    return AlbertConfig(**vars(found), groups=groups)


LAYER = layer_specs(
    *("attention.query", "attention.key", "attention.value", "attention.dense", "attention.LayerNorm"),
    *("ffn", "ffn_output", "full_layer_layer_norm"),
)
HEAD = ("predictions.dense", "predictions.LayerNorm", "predictions.decoder", "predictions.bias")
GROUP = "encoder.albert_layer_groups.{}.albert_layers.0."


def its_tensors(config: AlbertConfig) -> list[TensorSpec]:
    layers = config.sizes.L

    def layer(index: int) -> list[TensorSpec]:
        group = GROUP.format(int(index / (layers / config.groups)))
        return [replace(spec, huggingface=f"{group}{spec.huggingface}") for spec in LAYER]

    projection, names = "encoder.embedding_hidden_mapping_in", ("pooler", "sop_classifier.classifier")
    return [
        *tensors(config, (), "", HEAD, projection=projection, names=names),
        *for_layers(layers, layer, huggingface=""),
    ]


POOLER = ("pooler", "pooler", "tanh")
ORDER = OutputHead(
    "sequence classification",
    ("in order", "swapped"),
    "single_label_classification",
    HeadFiles("sop_classifier.classifier", None, POOLER),
    beside=True,
)
"""Whether the second of two texts is what came after the first, or before it (section 3.1)."""

ARCHITECTURE = kin(
    "albert",
    HEAD,
    read_huggingface=from_huggingface,
    tensors=its_tensors,
    heads=HeadFiles("classifier", "classifier", POOLER, choice=POOLER, special=(("ForPreTraining", ORDER),)),
    defaults={
        **DEFAULTS,
        "hidden_act": "gelu_new",
        "embedding_size": 128,
        "num_hidden_groups": 1,
        "hidden_size": 4096,
        "num_hidden_layers": 12,
        "num_attention_heads": 64,
        "intermediate_size": 16_384,
        "vocab_size": 30_000,
    },
)
