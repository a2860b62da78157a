"""The tiny models that are no plain decoders: encoders, encoder–decoders, bodies, heads for labels and spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as t
from golden_families import SIZES, Family, eager

BERT = {**SIZES, "type_vocab_size": 2}
ENCODERS = [
    Family("bert", eager(t.BertConfig, **BERT), t.BertForMaskedLM, "masked", lambda model: model.bert.encoder.layer),
    Family(
        "bert-untied",
        eager(t.BertConfig, **BERT, tie_word_embeddings=False, hidden_act="relu"),
        t.BertForMaskedLM,
        "masked",
        lambda model: model.bert.encoder.layer,
    ),
    Family("bert-encoder", eager(t.BertConfig, **BERT), t.BertModel, "encoder", lambda model: model.encoder.layer),
    Family(
        "roberta",
        eager(t.RobertaConfig, **{**BERT, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0}),
        t.RobertaForMaskedLM,
        "masked",
        lambda model: model.roberta.encoder.layer,
    ),
    Family(
        "roberta-untied",
        eager(
            t.RobertaConfig,
            **{**BERT, "type_vocab_size": 2, "pad_token_id": 1, "bos_token_id": 0},
            tie_word_embeddings=False,
            hidden_act="relu",
        ),
        t.RobertaForMaskedLM,
        "masked",
        lambda model: model.roberta.encoder.layer,
    ),
    Family(
        "distilbert",
        eager(
            t.DistilBertConfig, vocab_size=131, dim=36, hidden_dim=52, n_layers=2, n_heads=3, max_position_embeddings=40
        ),
        t.DistilBertForMaskedLM,
        "masked",
        lambda model: model.distilbert.transformer.layer,
    ),
]


def t5(name: str, **settings: Any) -> Family:
    return Family(
        name,
        eager(
            t.T5Config,
            vocab_size=131,
            d_model=36,
            d_kv=10,
            d_ff=52,
            num_layers=2,
            num_decoder_layers=3,
            num_heads=6,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=20,
            decoder_start_token_id=0,
            **settings,
        ),
        t.T5ForConditionalGeneration,
        "encoder-decoder",
        lambda model: model.decoder.block,
        lambda model: model.encoder.block,
        prompt=13,
        untied="feed_forward_proj" in settings,
    )


ENCODER_DECODERS = [
    t5("t5"),
    t5("t5-gated", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    Family(
        "marian",
        eager(
            t.MarianConfig,
            vocab_size=131,
            decoder_vocab_size=131,
            d_model=36,
            encoder_layers=2,
            decoder_layers=3,
            encoder_attention_heads=6,
            decoder_attention_heads=3,
            encoder_ffn_dim=52,
            decoder_ffn_dim=44,
            max_position_embeddings=64,
            activation_function="swish",
            scale_embedding=True,
            pad_token_id=130,
            decoder_start_token_id=130,
            eos_token_id=0,
            forced_eos_token_id=0,
        ),
        t.MarianMTModel,
        "encoder-decoder",
        lambda model: model.model.decoder.layers,
        lambda model: model.model.encoder.layers,
        prompt=13,
    ),
]

SMALL = {
    **SIZES,
    "vocab_size": 41,
    "hidden_size": 18,
    "intermediate_size": 22,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 24,
    "pad_token_id": 3,
}
MULTIPLE = "multi_label_classification"
BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "bert": (t.BertConfig, SMALL),
    "roberta": (t.RobertaConfig, {**SMALL, "type_vocab_size": 1, "pad_token_id": 1}),
    "distilbert": (
        t.DistilBertConfig,
        {"vocab_size": 41, "dim": 18, "hidden_dim": 22, "n_layers": 2, "n_heads": 3, "max_position_embeddings": 24},
    ),
    "llama": (t.LlamaConfig, {**SMALL, "num_key_value_heads": 1}),
}
LAYERS: dict[str, Callable[[Any], Any]] = {
    "bert": lambda model: model.bert.encoder.layer,
    "roberta": lambda model: model.roberta.encoder.layer,
    "distilbert": lambda model: model.distilbert.transformer.layer,
    "llama": lambda model: (model.transformer if hasattr(model, "transformer") else model.model).layers,
}


def with_head(body: str, head: str, model: Callable[[Any], Any], labels: int = 3, **settings: Any) -> Family:
    """`labels`: how many; a decoder's text ends in padding, which is not what its head reads."""
    config, sizes = BODIES[body]
    named = {"id2label": {index: f"kind {index}" for index in range(labels)}} if labels != 2 else {}
    return Family(
        f"{body}-{head}",
        eager(config, **{**sizes, **named, **settings}),
        model,
        "span" if head == "question" else "labels",
        LAYERS[body],
        tokens=13,
        vocabulary=41,
        padding=2 if (body, head) == ("llama", "sequence") else 0,
    )


def t5_encoder(name: str, model: Callable[[Any], Any], kind: str, **settings: Any) -> Family:
    return Family(
        name,
        eager(
            t.T5Config,
            vocab_size=41,
            d_model=18,
            d_kv=5,
            d_ff=22,
            num_layers=2,
            num_heads=3,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=10,
            **settings,
        ),
        model,
        kind,
        lambda model: (model.transformer if hasattr(model, "transformer") else model).encoder.block,
        tokens=13,
        vocabulary=41,
    )


HEADS = [
    with_head("bert", "sequence", t.BertForSequenceClassification),
    with_head("bert", "token", t.BertForTokenClassification),
    with_head("bert", "question", t.BertForQuestionAnswering, 2),
    with_head("roberta", "sequence", t.RobertaForSequenceClassification, problem_type=MULTIPLE),
    with_head("roberta", "token", t.RobertaForTokenClassification, 2),
    with_head("roberta", "question", t.RobertaForQuestionAnswering, 2),
    with_head("distilbert", "sequence", t.DistilBertForSequenceClassification, 1),
    with_head("distilbert", "token", t.DistilBertForTokenClassification, 5),
    with_head("distilbert", "question", t.DistilBertForQuestionAnswering, 2),
    with_head("llama", "sequence", t.LlamaForSequenceClassification, 5),
    with_head("llama", "token", t.LlamaForTokenClassification),
    with_head("llama", "question", t.LlamaForQuestionAnswering, 2),
    Family(
        "llama-body",
        eager(t.LlamaConfig, **SMALL),
        t.LlamaModel,
        "body",
        lambda model: model.layers,
        tokens=13,
        vocabulary=41,
    ),
    t5_encoder("t5-encoder", t.T5EncoderModel, "body", feed_forward_proj="gated-gelu"),
    t5_encoder(
        "t5-token", t.T5ForTokenClassification, "labels", id2label={index: f"kind {index}" for index in range(3)}
    ),
]

FAMILIES = [*ENCODERS, *ENCODER_DECODERS, *HEADS]
