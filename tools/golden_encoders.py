"""Which tiny models stand for the encoders after BERT."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import transformers as t
from golden_families import Family, eager

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = {
    "vocab_size": 61,
    "hidden_size": 24,
    "intermediate_size": 34,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "max_position_embeddings": 40,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LABELS = {"id2label": {index: f"kind {index}" for index in range(3)}}


def encoder(
    name: str,
    config: Any,
    model: Any,
    layers: Callable[[Any], Any],
    kind: str = "masked",
    tokens: int = 13,
    **settings: Any,
) -> Family:
    given = {**SIZES, **(LABELS if kind == "labels" else {}), **settings}
    return Family(name, eager(config, **given), model, kind, layers, tokens=tokens, vocabulary=61)


BASES = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
    "full_attention": {"rope_type": "default", "rope_theta": 900.0},
}
MODERN = {"local_attention": 6, "rope_parameters": BASES, "cls_token_id": 1, "sep_token_id": 2}
ONE = {"num_hidden_layers": 2, "pad_token_id": 1, "bos_token_id": 0}
DISTANCES = {"num_hidden_layers": 2, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
NARROW = {"num_hidden_layers": 2, "embedding_size": 14}


def protein(name: str, **settings: Any) -> Family:
    """With masks in its text."""
    given = {"num_hidden_layers": 2, "vocab_size": 12, "mask_token_id": 7, "token_dropout": True, **settings}
    family = encoder(name, t.EsmConfig, t.EsmForMaskedLM, lambda model: model.esm.encoder.layer, **given)
    return replace(family, vocabulary=12)


FAMILIES = [
    encoder(
        "modernbert",
        t.ModernBertConfig,
        t.ModernBertForMaskedLM,
        lambda model: model.model.layers,
        tokens=17,
        **MODERN,
        num_hidden_layers=4,
    ),
    encoder(
        "modernbert-sequence",
        t.ModernBertConfig,
        t.ModernBertForSequenceClassification,
        lambda model: model.model.layers,
        "labels",
        **MODERN,
        num_hidden_layers=2,
    ),
    encoder(
        "modernbert-token",
        t.ModernBertConfig,
        t.ModernBertForTokenClassification,
        lambda model: model.model.layers,
        "labels",
        **MODERN,
        num_hidden_layers=2,
        norm_bias=True,
        attention_bias=True,
        mlp_bias=True,
        classifier_bias=True,
        classifier_activation="silu",
    ),
    encoder(
        "nomic-bert",
        t.NomicBertConfig,
        t.NomicBertForMaskedLM,
        lambda model: model.nomic_bert.layers,
        num_hidden_layers=2,
        rope_parameters={"rope_type": "default", "rope_theta": 70.0},
    ),
    encoder("mpnet", t.MPNetConfig, t.MPNetForMaskedLM, lambda model: model.mpnet.encoder.layer, **ONE, tokens=20),
    encoder(
        "electra",
        t.ElectraConfig,
        t.ElectraForMaskedLM,
        lambda model: model.electra.encoder.layer,
        **NARROW,
        hidden_act="relu",
    ),
    encoder(
        "electra-token",
        t.ElectraConfig,
        t.ElectraForPreTraining,
        lambda model: model.electra.encoder.layer,
        "labels",
        **NARROW,
    ),
    encoder(
        "albert",
        t.AlbertConfig,
        t.AlbertForMaskedLM,
        lambda model: [group.albert_layers[0] for group in model.albert.encoder.albert_layer_groups],
        **{**NARROW, "num_hidden_layers": 4},
        num_hidden_groups=2,
    ),
    protein("esm", position_embedding_type="rotary"),
    protein("esm-absolute", position_embedding_type="absolute", emb_layer_norm_before=True, pad_token_id=1),
    encoder(
        "deberta",
        t.DebertaV2Config,
        t.DebertaV2ForMaskedLM,
        lambda model: model.deberta.encoder.layer,
        **DISTANCES,
        share_att_key=True,
        position_buckets=6,
        max_relative_positions=10,
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
    ),
    encoder(
        "deberta-sequence",
        t.DebertaV2Config,
        t.DebertaV2ForSequenceClassification,
        lambda model: model.deberta.encoder.layer,
        "labels",
        **DISTANCES,
        position_buckets=4,
        max_relative_positions=8,
        type_vocab_size=2,
    ),
    encoder(
        "eurobert",
        t.EuroBertConfig,
        t.EuroBertForMaskedLM,
        lambda model: model.model.layers,
        num_key_value_heads=1,
        num_hidden_layers=2,
        mlp_bias=True,
    ),
    encoder(
        "eurobert-sequence",
        t.EuroBertConfig,
        t.EuroBertForSequenceClassification,
        lambda model: model.model.layers,
        "labels",
        num_key_value_heads=1,
        num_hidden_layers=2,
    ),
]
