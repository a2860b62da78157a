"""How files keep BERT, RoBERTa and DistilBERT."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.model import settings as settings_of
from llminspect.model.decoder_files import ACTIVATIONS
from llminspect.model.families.bert import Config, forward, readout
from llminspect.model.spec import Architecture, Sizes, TensorSpec, for_layers, linear_specs, norm_specs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from llminspect.model.settings import Settings

HARMLESS = """
    qa_dropout seq_classif_dropout tie_weights_ directionality
    pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
""".split()
"""Of training, of other heads, and of the program that the first BERTs were trained with."""


def _sizes(settings: Settings, keys: Mapping[str, str], context: int) -> Sizes:
    width, heads = settings.whole(keys["D"]), settings.whole(keys["H"])
    return Sizes(
        L=settings.whole(keys["L"]),
        D=width,
        H=heads,
        K=heads,
        E=width // heads,
        F=settings.whole(keys["F"]),
        V=settings.whole("vocab_size"),
        context=context,
    )


BERT_KEYS = {"L": "num_hidden_layers", "D": "hidden_size", "H": "num_attention_heads", "F": "intermediate_size"}
DISTILBERT_KEYS = {"L": "n_layers", "D": "dim", "H": "n_heads", "F": "hidden_dim"}
GGUF_KEYS = {
    "L": "block_count",
    "D": "embedding_length",
    "H": "attention.head_count",
    "F": "feed_forward_length",
}


def bert_from_huggingface(config: Mapping[str, Any], counts_from_padding: bool) -> Config:
    settings = settings_of.huggingface(config)
    positions = settings.whole("max_position_embeddings")
    padding_id = int(settings.need("pad_token_id")) if counts_from_padding else None
    settings.only("position_embedding_type", "absolute")
    settings.only("is_decoder", False)
    settings.only("add_cross_attention", False)
    found = Config(
        sizes=_sizes(settings, BERT_KEYS, positions if padding_id is None else positions - padding_id - 1),
        norm_epsilon=settings.number("layer_norm_eps"),
        activation=settings.one_of("hidden_act", ACTIVATIONS),
        positions=positions,
        segments=settings.whole("type_vocab_size"),
        padding_id=padding_id,
        tied=bool(settings.get("tie_word_embeddings", True)),
    )
    settings.done(HARMLESS)
    return found


def distilbert_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    positions = settings.whole("max_position_embeddings")
    settings.get("sinusoidal_pos_embds")  # How the table was first filled; the file holds the table.
    found = Config(
        sizes=_sizes(settings, DISTILBERT_KEYS, positions),
        norm_epsilon=1e-12,  # Fixed in the family's definition.
        activation=settings.one_of("activation", ACTIVATIONS),
        positions=positions,
        segments=0,
        tied=bool(settings.get("tie_word_embeddings", True)),
    )
    settings.done(HARMLESS)
    return found


def bert_from_gguf(metadata: Mapping[str, Any]) -> Config:
    settings = settings_of.gguf(metadata, "bert")
    positions = settings.whole("context_length")
    settings.only("attention.causal", False)
    settings.get("pooling_type")  # How sentence vectors were meant to be made of the tokens'.
    settings.get("attention.head_count_kv")
    segments = metadata.get("tokenizer.ggml.token_type_count")
    found = Config(
        sizes=_sizes(settings, GGUF_KEYS, positions),
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu",
        positions=positions,
        segments=2 if segments is None else int(segments),
    )
    settings.done()
    return found


def _layer(names: Mapping[str, str]) -> list[TensorSpec]:
    """One layer's specs, `names` saying what a Hugging Face file calls each part."""
    return [
        *linear_specs("attention.query", "HE D", names["query"], "attn_q", True),
        *linear_specs("attention.key", "HE D", names["key"], "attn_k", True),
        *linear_specs("attention.value", "HE D", names["value"], "attn_v", True),
        *linear_specs("attention.output", "D HE", names["attention"], "attn_output", True),
        *norm_specs("middle.norm", names["middle"], "attn_output_norm"),
        *linear_specs("feedforward.up", "F D", names["up"], "ffn_up", True),
        *linear_specs("feedforward.down", "D F", names["down"], "ffn_down", True),
        *norm_specs("output.norm", names["output"], "layer_output_norm"),
    ]


BERT_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention": "attention.output.dense",
    "middle": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output": "output.LayerNorm",
}
DISTILBERT_LAYER = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention": "attention.out_lin",
    "middle": "sa_layer_norm",
    "up": "ffn.lin1",
    "down": "ffn.lin2",
    "output": "output_layer_norm",
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
    config: Config, layer: Mapping[str, str], stack: str, head: tuple[str, str, str, str]
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
        *map(_perhaps, linear_specs("pooler", "D D", "pooler.dense", None, True)),
        *map(_perhaps, linear_specs("next_sentence", "2 D", "cls.seq_relationship", None, True)),
        *map(_perhaps, linear_specs("head", "D D", dense, None, True)),
        *map(_perhaps, norm_specs("head.norm", norm, None)),
        TensorSpec("unembedding.weight", "V D", matrix, optional=True),
        TensorSpec("unembedding.bias", "V", bias, optional=True),
    ]


def _perhaps(spec: TensorSpec) -> TensorSpec:
    return TensorSpec(spec.name, spec.shape, spec.huggingface, spec.gguf, optional=True)


SAME = {"roberta": ("xlm-roberta", "camembert")}
"""Models of another name that differ in their vocabulary alone (Conneau et al. 2020; Martin et al. 2020)."""


def _family(
    name: str,
    read: Callable[[Mapping[str, Any]], Config],
    prefix: str,
    layer: Mapping[str, str],
    stack: str,
    head: tuple[str, str, str, str],
) -> Architecture:
    return Architecture(
        name=name,
        model_types=(name, *SAME.get(name, ())),
        gguf_names=("bert",) if name == "bert" else (),
        config_from_huggingface=read,
        config_from_gguf=bert_from_gguf if name == "bert" else None,
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
