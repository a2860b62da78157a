"""Later kin of BERT and RoBERTa: norms before the steps (Megatron's BERT, XLM-RoBERTa XL, pre-norm RoBERTa), vectors of
another width at the end (RemBERT), turned queries and keys (RoFormer), entities that stay out (LUKE), tasks (ERNIE).

Shoeybi et al. 2019, "Megatron-LM"; Goyal et al. 2021, "Larger-Scale Transformers for Multilingual Masked Language
Modeling"; Wettig et al. 2023; Chung et al. 2021, "Rethinking Embedding Coupling"; Su et al. 2021, "RoFormer"; Yamada et
al. 2020, "LUKE"; Sun et al. 2020, "ERNIE 2.0".
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.core.positions import sinusoids
from llminspect.core.rotary import Rotary
from llminspect.model.copies import Copy
from llminspect.model.families import bert
from llminspect.model.families.bert import ARCHITECTURES as BERTS
from llminspect.model.heads import NO_LAYER, HeadFiles
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, linear_specs

BERT, ROBERTA = BERTS[:2]
NORMED = ("middle.norm", "output.norm")


def before(attention: str, step: str) -> list[TensorSpec]:
    """A layer whose norms, which its files call so, stand before the steps."""
    norms = (("attention.norm", "D", attention, None), ("feedforward.norm", "D", step, None))
    kept = [spec for spec in bert.BERT_LAYER if not spec.name.startswith(NORMED)]
    return [*kept, *linear_specs(*norms, bias=True)]


def ending_in(norm: str, layer: list[TensorSpec], head: Any, embedded: str | None = None) -> Any:
    """`tensors` of a family whose layers a norm ends."""

    def its_tensors(config: bert.BertConfig) -> list[TensorSpec]:
        last = linear_specs(("final.norm", "D", norm, None), bias=True)
        return [*bert.tensors(config, layer, "encoder.layer", head, norm=embedded), *last]

    return its_tensors


def rembert_from_huggingface(settings: Settings) -> bert.BertConfig:
    settings.skip("classifier_dropout_prob")
    width, last = settings.whole("input_embedding_size"), settings.whole("output_embedding_size")
    found = bert.bert_from_huggingface(settings, counts_from_padding=False)
    if found.tied and last != width:
        raise settings.wrong("tie_word_embeddings", f"false: rows of {last} and {width} numbers cannot be the same")
    return replace(found, embedding_width=width, head_width=last)


REMBERT_HEAD = ("cls.predictions.dense", "cls.predictions.LayerNorm", "cls.predictions.decoder", "cls.predictions.bias")


def roformer_from_huggingface(settings: Settings) -> bert.BertConfig:
    settings.only("rotary_value", False)
    found = bert.bert_from_huggingface(settings, counts_from_padding=False)
    width = settings.whole("embedding_size", found.sizes.D)
    turned = replace(found, positions=0, rotary=Rotary(found.sizes.E, 10_000.0, pairs="interleaved"))
    return turned if width == found.sizes.D else replace(turned, embedding_width=width)


def roformer_tensors(config: bert.BertConfig) -> list[TensorSpec]:
    projection = "embeddings_project" if config.embedding_width else None
    return bert.tensors(config, bert.BERT_LAYER, "encoder.layer", bert.BERT_HEAD, projection=projection)


def angles(found_TE: Array, config: bert.BertConfig) -> bool:
    """Sines and cosines of the angles by which each position turns a head."""
    places = np.arange(len(found_TE))
    made = found_TE.shape[-1] == config.sizes.E and sinusoids(found_TE, places, config.sizes.E)
    return made is not False and np.allclose(found_TE, made, rtol=1e-2, atol=1e-2)


def ernie_from_huggingface(settings: Settings) -> bert.BertConfig:
    rows, used = settings.whole("task_type_vocab_size", 3), settings.flag("use_task_id")
    return replace(bert.bert_from_huggingface(settings, counts_from_padding=False), tasks=rows if used else 0)


def luke_from_huggingface(settings: Settings) -> bert.BertConfig:
    settings.skip("entity_vocab_size", "entity_emb_size", "use_entity_aware_attention", "cls_entity_prediction")
    return bert.bert_from_huggingface(settings, counts_from_padding=True)


def luke_tensors(config: bert.BertConfig) -> list[TensorSpec]:
    """The bias of the words is called either of two names."""
    plain = bert.tensors(config, bert.BERT_LAYER, "encoder.layer", bert.ROBERTA_HEAD)
    bias = plain.pop()
    names = ("lm_head.bias", "lm_head.decoder.bias")
    return [*plain, *(replace(bias, huggingface=name, optional=True) for name in names)]


def kin(like: Architecture, name: str, prefix: str, its_tensors: Any = None, **more: Any) -> Architecture:
    """Another of a family's kin: `more` is what it has of its own."""
    defaults = {**like.defaults, **more.pop("defaults", {})}
    given = {"gguf_names": (), "read_gguf": None, **more, **({"tensors": its_tensors} if its_tensors else {})}
    return replace(like, name=name, model_types=(name,), prefix=prefix, defaults=defaults, **given)


LUKE_UNREAD = (
    *("entity_embeddings.*", "entity_predictions.*"),
    *(f"*.attention.self.{pair}_query.*" for pair in ("w2e", "e2w", "e2e")),
)
"""What entities are made of, and how words and they look at each other: a text alone has none."""

ARCHITECTURES = (
    kin(BERT, "megatron-bert", "bert.", ending_in("encoder.ln", before("attention.ln", "ln"), bert.BERT_HEAD)),
    kin(
        ROBERTA,
        "xlm-roberta-xl",
        "roberta.",
        ending_in("encoder.LayerNorm", before("attention.self_attn_layer_norm", "LayerNorm"), bert.ROBERTA_HEAD),
        defaults={"layer_norm_eps": 1e-5, "max_position_embeddings": 514, "type_vocab_size": 1},
    ),
    kin(
        ROBERTA,
        "roberta-prelayernorm",
        "roberta_prelayernorm.",
        ending_in(
            "LayerNorm",
            before("attention.LayerNorm", "intermediate.LayerNorm"),
            bert.ROBERTA_HEAD,
            "embeddings.LayerNorm",
        ),
    ),
    kin(
        BERT,
        "rembert",
        "rembert.",
        partial(
            bert.tensors,
            layer=bert.BERT_LAYER,
            stack="encoder.layer",
            head=REMBERT_HEAD,
            projection="encoder.embedding_hidden_mapping_in",
        ),
        read_huggingface=rembert_from_huggingface,
        ignored=bert.copies(REMBERT_HEAD),
        defaults={"input_embedding_size": 256, "output_embedding_size": 1664, "tie_word_embeddings": False},
    ),
    kin(
        BERT,
        "roformer",
        "roformer.",
        roformer_tensors,
        read_huggingface=roformer_from_huggingface,
        heads=HeadFiles("classifier.out_proj", "classifier", ("labels.dense", "classifier.dense", ""), choice=NO_LAYER),
        ignored=(*bert.copies(bert.BERT_HEAD), Copy("encoder.embed_positions.weight", agrees=angles)),
        defaults={"max_position_embeddings": 1536},
    ),
    kin(BERT, "ernie", "ernie.", read_huggingface=ernie_from_huggingface),
    kin(
        ROBERTA,
        "luke",
        "luke.",
        luke_tensors,
        read_huggingface=luke_from_huggingface,
        heads=bert.HEADS["bert"],
        ignored=(*bert.copies(bert.ROBERTA_HEAD), *(Copy(pattern) for pattern in LUKE_UNREAD)),
    ),
)
