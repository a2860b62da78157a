"""SqueezeBERT: a BERT whose maps go by groups, each of a part of the stream alone.

Iandola et al. 2020, "SqueezeBERT: What can computer vision teach NLP about efficient neural networks?", section 3.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model.families.bert import BERT_HEAD, BertConfig, bert_from_huggingface, kin, layer_specs, tensors
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec

GROUPS = {
    "attention.query": "q_groups",
    "attention.key": "k_groups",
    "attention.value": "v_groups",
    "attention.output": "post_attention_groups",
    "feedforward.up": "intermediate_groups",
    "feedforward.down": "output_groups",
}


@dataclass(frozen=True, kw_only=True)
class SqueezeBertConfig(BertConfig):
    groups: tuple[int, ...]
    """In how many each map goes, in the order of GROUPS."""


def from_huggingface(settings: Settings) -> SqueezeBertConfig:
    found = bert_from_huggingface(settings, counts_from_padding=False)
    settings.only("embedding_size", found.sizes.D)
    groups = tuple(settings.whole(key) for key in GROUPS.values())
    for name, many in zip(GROUPS, groups, strict=True):
        widths = (found.sizes.D, found.sizes.F if name.startswith("feedforward") else found.sizes.D)
        if not many or any(width % many for width in widths):
            raise settings.wrong(GROUPS[name], f"a number that divides {' and '.join(map(str, {*widths}))}")
    return SqueezeBertConfig(**vars(found), groups=groups)


def whole(array: Array, config: Any, groups: int) -> Array:
    """The matrix [O, I] of a convolution over one token [O, I / groups, 1]: nought outside the groups."""
    outputs, inputs, _ = array.shape
    blocks = array.reshape(groups, outputs // groups, inputs)
    made = np.zeros((groups, outputs // groups, groups, inputs), array.dtype)
    made[range(groups), :, range(groups)] = blocks
    return made.reshape(outputs, groups * inputs)


LAYER = layer_specs(
    *("attention.query", "attention.key", "attention.value", "post_attention.conv1d", "post_attention.layernorm"),
    *("intermediate.conv1d", "output.conv1d", "output.layernorm"),
)


def its_tensors(config: SqueezeBertConfig) -> list[TensorSpec]:
    many = {f"{name}.weight": groups for name, groups in zip(GROUPS, config.groups, strict=True)}
    layer = [
        replace(spec, huggingface_fix=partial(whole, groups=many[spec.name])) if spec.name in many else spec
        for spec in LAYER
    ]
    return tensors(config, layer, "encoder.layers", BERT_HEAD)


ARCHITECTURE = kin(
    "squeezebert",
    BERT_HEAD,
    read_huggingface=from_huggingface,
    tensors=its_tensors,
    prefix="transformer.",
    defaults={
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "tie_word_embeddings": True,
        "embedding_size": 768,
        **{key: 1 if key == "post_attention_groups" else 4 for key in GROUPS.values()},
    },
)
