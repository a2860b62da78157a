"""ELECTRA: a BERT with a narrow embedding, trained to see which tokens a smaller one of its kind had put in.

Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", sections 2 and 3.1.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model.families import bert
from llminspect.model.heads import HeadFiles, OutputHead
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec

UNREAD = ("summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout")
HEAD = (
    *("generator_predictions.dense", "generator_predictions.LayerNorm"),
    *("generator_lm_head", "generator_lm_head.bias"),
)


SUMMARY = {
    "summary_type": "first",
    "summary_use_proj": True,
    "summary_activation": "gelu",
    "summary_proj_to_labels": False,
}
"""What the layer in front of a choice's number reads and applies: no other is known."""


def from_huggingface(settings: Settings) -> bert.BertConfig:
    settings.skip(*UNREAD)
    if any(name.endswith("ForMultipleChoice") for name in settings.classes()):
        for key, only in SUMMARY.items():
            settings.only(key, only)
    found, width = bert.bert_from_huggingface(settings, counts_from_padding=False), settings.whole("embedding_size")
    return found if width == found.sizes.D else replace(found, embedding_width=width)


def its_tensors(config: bert.BertConfig) -> list[TensorSpec]:
    projection = "embeddings_project" if config.embedding_width else None
    return bert.tensors(config, bert.BERT_LAYER, "encoder.layer", HEAD, projection=projection)


DISCRIMINATOR = OutputHead(
    "token classification",
    ("replaced",),
    "multi_label_classification",
    HeadFiles(
        None,
        "discriminator_predictions.dense_prediction",
        ("labels.dense", "discriminator_predictions.dense", ""),
        everywhere=True,
    ),
)
"""How probable it is that a token is not what stood there."""

ARCHITECTURE = bert.kin(
    "electra",
    HEAD,
    read_huggingface=from_huggingface,
    tensors=its_tensors,
    readout=bert.readout_of("gelu"),
    heads=HeadFiles(
        "classifier.out_proj",
        "classifier",
        ("labels.dense", "classifier.dense", "gelu"),
        choice=("labels.dense", "sequence_summary.summary", "gelu"),
        special=(("ForPreTraining", DISCRIMINATOR),),
    ),
    defaults={**bert.DEFAULTS, "embedding_size": 128},
)
