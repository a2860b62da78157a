"""BERT and its kin RoBERTa and DistilBERT: encoders, in which every token sees every other.

Devlin et al. 2019, "BERT", section 3; Liu et al. 2019, "RoBERTa", section 4; Sanh et al. 2019, "DistilBERT", section 2.
The norm stands after each sum, as in Vaswani et al. 2017. Sentence encoders such as all-MiniLM are BERTs without the
head that predicts words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from llminspect.core import feedforward
from llminspect.core.array import mapped
from llminspect.core.unembed import logits
from llminspect.errors import ModelError
from llminspect.model.config import GGUF, HUGGINGFACE, Config, Sizes, read_sizes
from llminspect.model.layer import norm
from llminspect.model.settings import ACTIVATIONS
from llminspect.model.spec import Architecture, TensorSpec, for_layers, linear_specs, norm_specs
from llminspect.model.transformer import forward, output_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params
    from llminspect.model.settings import Settings


@dataclass(frozen=True, kw_only=True)
class BertConfig(Config):
    norm = "layer"
    sizes: Sizes
    norm_epsilon: float
    activation: str
    positions: int
    """Rows of the position table."""
    segments: int
    """Rows of the table of segments; a text is all of segment 0."""
    padding_id: int | None = None
    """RoBERTa counts positions from after this id, and only tokens that are not it."""
    tied: bool = True
    causal: bool = False


UNREAD = """
    qa_dropout seq_classif_dropout tie_weights_ directionality
    pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
""".split()
"""Of training, of other heads, and of the program that the first BERTs were trained with."""


DISTILBERT_KEYS = {"L": "n_layers", "D": "dim", "H": "n_heads", "F": "hidden_dim"}


def bert_from_huggingface(settings: Settings, counts_from_padding: bool) -> BertConfig:
    settings.skip(*UNREAD)
    positions = settings.whole("max_position_embeddings")
    padding_id = int(settings.need("pad_token_id")) if counts_from_padding else None
    settings.only("position_embedding_type", "absolute")
    settings.only("is_decoder", False)
    settings.only("add_cross_attention", False)
    return BertConfig(
        sizes=read_sizes(
            settings, HUGGINGFACE, context=positions if padding_id is None else positions - padding_id - 1
        ),
        norm_epsilon=settings.number("layer_norm_eps"),
        activation=settings.one_of("hidden_act", ACTIVATIONS),
        positions=positions,
        segments=settings.whole("type_vocab_size"),
        padding_id=padding_id,
        tied=settings.flag("tie_word_embeddings", True),
    )


def distilbert_from_huggingface(settings: Settings) -> BertConfig:
    positions = settings.whole("max_position_embeddings")
    settings.skip(*UNREAD, "sinusoidal_pos_embds")  # How the table was first filled; the file holds the table.
    return BertConfig(
        sizes=read_sizes(settings, DISTILBERT_KEYS, context=positions),
        norm_epsilon=1e-12,  # Fixed in the family's definition.
        activation=settings.one_of("activation", ACTIVATIONS),
        positions=positions,
        segments=0,
        tied=settings.flag("tie_word_embeddings", True),
    )


def bert_from_gguf(settings: Settings) -> BertConfig:
    positions = settings.whole("context_length")
    settings.only("attention.causal", False)
    # How sentence vectors were meant to be made of the tokens', and the number of heads once more.
    settings.skip("pooling_type", "attention.head_count_kv")
    segments = settings.metadata.get("tokenizer.ggml.token_type_count")
    return BertConfig(
        sizes=read_sizes(settings, GGUF),
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu",
        positions=positions,
        segments=2 if segments is None else int(segments),
    )


def _layer(names: Mapping[str, str]) -> list[TensorSpec]:
    """One layer's specs, `names` saying what a Hugging Face file calls each part."""
    parts = [
        ("attention.query", "HE D", "attn_q"),
        ("attention.key", "HE D", "attn_k"),
        ("attention.value", "HE D", "attn_v"),
        ("attention.output", "D HE", "attn_output"),
        ("middle.norm", "D", "attn_output_norm"),
        ("feedforward.up", "F D", "ffn_up"),
        ("feedforward.down", "D F", "ffn_down"),
        ("output.norm", "D", "layer_output_norm"),
    ]
    return [spec for name, shape, gguf in parts for spec in linear_specs(name, shape, names[name], gguf, True)]


BERT_LAYER = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "middle.norm": "attention.output.LayerNorm",
    "feedforward.up": "intermediate.dense",
    "feedforward.down": "output.dense",
    "output.norm": "output.LayerNorm",
}
DISTILBERT_LAYER = {
    "attention.query": "attention.q_lin",
    "attention.key": "attention.k_lin",
    "attention.value": "attention.v_lin",
    "attention.output": "attention.out_lin",
    "middle.norm": "sa_layer_norm",
    "feedforward.up": "ffn.lin1",
    "feedforward.down": "ffn.lin2",
    "output.norm": "output_layer_norm",
}
"""Of the head that predicts words: its layer, its norm, the output matrix and its bias."""
BERT_HEAD = (
    "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm",
    "cls.predictions.decoder.weight",
    "cls.predictions.bias",
)
ROBERTA_HEAD = ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder.weight", "lm_head.bias")
DISTILBERT_HEAD = ("vocab_transform", "vocab_layer_norm", "vocab_projector.weight", "vocab_projector.bias")


def tensors(
    config: BertConfig, layer: Mapping[str, str], stack: str, head: tuple[str, str, str, str]
) -> Iterable[TensorSpec]:
    dense, norm, matrix, bias = head
    kinds = TensorSpec(
        "segment.weight", f"{config.segments} D", "embeddings.token_type_embeddings.weight", "token_types.weight"
    )
    return [
        TensorSpec("embedding.weight", "V D", "embeddings.word_embeddings.weight", "token_embd.weight"),
        TensorSpec(
            "position.weight",
            f"{config.positions} D",
            "embeddings.position_embeddings.weight",
            "position_embd.weight",
        ),
        *([kinds] if config.segments else []),
        *norm_specs("embedding.norm", "embeddings.LayerNorm", "token_embd_norm"),
        *for_layers(config.sizes.L, _layer(layer), huggingface=f"{stack}.{{}}.", gguf="blk.{}."),
        *(
            replace(spec, optional=True)
            for name, shape, source in (
                ("pooler", "D D", "pooler.dense"),
                ("next_sentence", "2 D", "cls.seq_relationship"),
                ("head", "D D", dense),
                ("head.norm", "D", norm),
            )
            for spec in linear_specs(name, shape, source, None, True)
        ),
        TensorSpec("unembedding.weight", "V D", matrix, optional=True),
        TensorSpec("unembedding.bias", "V", bias, optional=True),
    ]


def readout(params: Params, config: BertConfig, stream_TD: Array, tap: Tap) -> Array:
    """The head that predicts words: one more layer and norm, then the product with the vocabulary."""
    if "head.weight" not in params:
        raise ModelError("this model encodes text; it has no output matrix to predict words with")
    hidden_TD = feedforward.ACTIVATIONS[config.activation](mapped(params, "head", stream_TD))
    hidden_TD = tap("final.norm", norm(params, "head.norm", hidden_TD, config))
    return tap("final.logits", logits(hidden_TD, output_matrix(params), params["unembedding.bias"]))


SAME = {"roberta": ("xlm-roberta", "camembert")}
"""Models of another name that differ in their vocabulary alone (Conneau et al. 2020; Martin et al. 2020)."""


def _family(
    name: str,
    read: Callable[[Settings], BertConfig],
    prefix: str,
    layer: Mapping[str, str],
    stack: str,
    head: tuple[str, str, str, str],
) -> Architecture:
    return Architecture(
        name=name,
        model_types=(name, *SAME.get(name, ())),
        gguf_names=("bert",) if name == "bert" else (),
        read_huggingface=read,
        read_gguf=bert_from_gguf if name == "bert" else None,
        tensors=partial(tensors, layer=layer, stack=stack, head=head),
        forward=forward,
        readout=readout,
        capabilities=frozenset({"encode", "fill"}),
        requires={"fill": "head.weight"},
        prefix=prefix,
        older_spellings=((".gamma", ".weight"), (".beta", ".bias")),
        # Row numbers, and second copies of the output matrix's bias.
        ignored=("embeddings.position_ids", "cls.predictions.decoder.bias", "lm_head.decoder.bias"),
    )


ARCHITECTURES = (
    _family(
        "bert",
        partial(bert_from_huggingface, counts_from_padding=False),
        "bert.",
        BERT_LAYER,
        "encoder.layer",
        BERT_HEAD,
    ),
    _family(
        "roberta",
        partial(bert_from_huggingface, counts_from_padding=True),
        "roberta.",
        BERT_LAYER,
        "encoder.layer",
        ROBERTA_HEAD,
    ),
    _family(
        "distilbert", distilbert_from_huggingface, "distilbert.", DISTILBERT_LAYER, "transformer.layer", DISTILBERT_HEAD
    ),
)
