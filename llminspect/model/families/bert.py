"""BERT and its kin RoBERTa and DistilBERT: encoders, in which every token sees every other.

Devlin et al. 2019, "BERT", section 3; Liu et al. 2019, "RoBERTa", section 4; Sanh et al. 2019, "DistilBERT", section 2.
The norm stands after each sum, as in Vaswani et al. 2017. Sentence encoders such as all-MiniLM are BERTs without the
head that predicts words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from llminspect.core import feedforward
from llminspect.core.array import Array, mapped
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import GatedUnit, Glu
from llminspect.core.tap import Tap
from llminspect.errors import ModelError
from llminspect.model.config import GGUF, HUGGINGFACE, Config, OlderConfig, read_older, read_sizes
from llminspect.model.copies import Copy, row_numbers
from llminspect.model.heads import HeadFiles, OutputHead
from llminspect.model.layer import final_norm, norm
from llminspect.model.params import Params
from llminspect.model.settings import ACTIVATIONS, Settings
from llminspect.model.spec import Architecture, Readout, TensorSpec, for_layers, linear_specs
from llminspect.model.transformer import as_words


@dataclass(frozen=True, kw_only=True)
class BertConfig(OlderConfig):
    stated = """
        sizes norm_epsilon activation positions segments padding_id tied causal rotary embedding_width head_width tasks
    """
    causal: bool = False
    positions: int = 0
    """Rows of the position table; 0: it has none."""
    segments: int = 0
    """Rows of the table of segments; a text is all of segment 0."""
    embedding_width: int = 0
    """Of the rows of the embedding, where a matrix makes of them what enters the stream; 0: there is none."""
    head_width: int = 0
    """Of the rows of the output matrix, where they have another."""
    tasks: int = 0
    """Rows of a table of tasks; a text is of the first."""

    @property
    def unit(self) -> GatedUnit:
        return Glu(self.activation)


UNREAD = """
    qa_dropout seq_classif_dropout tie_weights_ directionality
    pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
""".split()
"""Of training, of other heads, and of the program that the first BERTs were trained with."""


DISTILBERT_KEYS = {"L": "n_layers", "D": "dim", "H": "n_heads", "F": "hidden_dim"}


def bert_from_huggingface(settings: Settings, counts_from_padding: bool) -> BertConfig:
    settings.skip(*UNREAD)
    positions = settings.whole("max_position_embeddings")
    padding_id = settings.need("pad_token_id") if counts_from_padding else None
    if padding_id is not None and not 0 <= padding_id < positions - 1:
        raise settings.wrong("pad_token_id", f"0 to {positions - 2}: positions count from after it")
    settings.only("position_embedding_type", "absolute")
    settings.only("is_decoder", False)
    settings.only("add_cross_attention", False)
    sizes = read_sizes(settings, HUGGINGFACE, context=positions if padding_id is None else positions - padding_id - 1)
    segments = settings.whole("type_vocab_size")
    return read_older(BertConfig, settings, sizes, positions=positions, segments=segments, padding_id=padding_id)


def distilbert_from_huggingface(settings: Settings) -> BertConfig:
    positions = settings.whole("max_position_embeddings")
    settings.skip(*UNREAD, "sinusoidal_pos_embds")  # How the table was first filled; the file holds the table.
    return BertConfig(
        sizes=read_sizes(settings, DISTILBERT_KEYS, context=positions),
        norm_epsilon=1e-12,  # Fixed in the family's definition.
        activation=settings.one_of("activation", ACTIVATIONS),
        positions=positions,
        tied=settings.flag("tie_word_embeddings"),
    )


def bert_from_gguf(settings: Settings) -> BertConfig:
    positions = settings.whole("context_length")
    settings.only("attention.causal", False)
    settings.skip("attention.head_count_kv")  # The number of heads once more.
    segments = settings.metadata.get("tokenizer.ggml.token_type_count")
    return BertConfig(
        sizes=read_sizes(settings, GGUF),
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu",
        positions=positions,
        segments=2 if segments is None else int(segments),
    )


PARTS = (
    ("attention.query", "HE D", "attention.self.query", "attention.q_lin", "attn_q"),
    ("attention.key", "HE D", "attention.self.key", "attention.k_lin", "attn_k"),
    ("attention.value", "HE D", "attention.self.value", "attention.v_lin", "attn_v"),
    ("attention.output", "D HE", "attention.output.dense", "attention.out_lin", "attn_output"),
    ("middle.norm", "D", "attention.output.LayerNorm", "sa_layer_norm", "attn_output_norm"),
    ("feedforward.up", "F D", "intermediate.dense", "ffn.lin1", "ffn_up"),
    ("feedforward.down", "D F", "output.dense", "ffn.lin2", "ffn_down"),
    ("output.norm", "D", "output.LayerNorm", "output_layer_norm", "layer_output_norm"),
)
"""Of a layer: name, shape, and what files of BERT, of DistilBERT, and GGUF files call it."""
BERT_LAYER = linear_specs(*((name, shape, its, gguf) for name, shape, its, _, gguf in PARTS), bias=True)
DISTILBERT_LAYER = linear_specs(*((name, shape, its, gguf) for name, shape, _, its, gguf in PARTS), bias=True)


def layer_specs(*names: str) -> list[TensorSpec]:
    """Of a layer of another kin, by what its files call each of `PARTS`."""
    return linear_specs(*((*part[:2], its, None) for part, its in zip(PARTS, names, strict=True)), bias=True)


BERT_HEAD = (
    "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm",
    "cls.predictions.decoder",
    "cls.predictions.bias",
)
ROBERTA_HEAD = ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias")
DISTILBERT_HEAD = ("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias")
"""Of the head that predicts words: its layer, its norm, the output matrix and its bias."""


def tensors(
    config: BertConfig,
    layer: Sequence[TensorSpec],
    stack: str,
    head: tuple[str, str, str, str],
    norm: str | None = "embeddings.LayerNorm",
    projection: str | None = None,
    names: tuple[str, str] = ("pooler.dense", "cls.seq_relationship"),
) -> list[TensorSpec]:
    """`head`, `norm`, `projection`, `names`: what the files call the parts of the head, the norm of the embedding, the
    matrix after it, the pooler and what says whether two texts follow each other."""
    dense, head_norm, decoder, tied_bias = head
    bias = tied_bias if config.tied else f"{decoder}.bias"
    width = str(config.embedding_width or "D")
    places, kinds = f"{config.positions} {width}", f"{config.segments} {width}"
    table = TensorSpec("position.weight", places, "embeddings.position_embeddings.weight", "position_embd.weight")
    segments = TensorSpec("segment.weight", kinds, "embeddings.token_type_embeddings.weight", "token_types.weight")
    tasks = TensorSpec("task.weight", f"{config.tasks} {width}", "embeddings.task_type_embeddings.weight")
    last = str(config.head_width or width)
    perhaps = linear_specs(
        ("pooler", "D D", names[0], None),
        ("next_sentence", "2 D", names[1], None),
        ("head", f"{last} D", dense, None),
        ("head.norm", last, head_norm, None),
        bias=True,
    )
    return [
        TensorSpec("embedding.weight", f"V {width}", "embeddings.word_embeddings.weight", "token_embd.weight"),
        *([table] if config.positions else []),
        *([segments] if config.segments else []),
        *([tasks] if config.tasks else []),
        *(linear_specs(("embedding.norm", width, norm, "token_embd_norm"), bias=True) if norm else ()),
        *(linear_specs(("embedding.projection", f"D {width}", projection, None), bias=True) if projection else ()),
        *for_layers(config.sizes.L, layer, huggingface=f"{stack}.{{}}.", gguf="blk.{}."),
        # The parts of a head are all there, or none.
        *(replace(spec, optional=spec.name.partition(".")[0]) for spec in perhaps),
        TensorSpec("unembedding.weight", f"V {last}", f"{decoder}.weight", optional=True if config.tied else "head"),
        TensorSpec("unembedding.bias", "V", bias, optional="head"),
    ]


def readout(params: Params, config: Config, stream_TD: Array, tap: Tap, activation: str = "") -> Array:
    """The head that predicts words: one more layer and norm, then the product with the vocabulary.

    `activation`: of that layer, where it is not that of the others. Where a norm ends the layers it comes first.
    """
    stream_TD = final_norm(params, config, stream_TD, tap)
    if "head.weight" not in params:
        raise ModelError("this model encodes text; it has no output matrix to predict words with")
    hidden_TD = feedforward.ACTIVATIONS[activation or str(config.activation)](mapped(params, "head", stream_TD))
    step = "final.head" if "final.norm.weight" in params else "final.norm"
    return as_words(params, config, tap(step, norm(params, "head.norm", hidden_TD, config)), tap)


DEFAULTS = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "tie_word_embeddings": True,
    "pad_token_id": 1,
}
"""(The last is of those that count positions from after it: BERT's own is 0, and is not read.)"""
DISTILBERT_DEFAULTS = {"activation": "gelu", "max_position_embeddings": 512, "tie_word_embeddings": True}

POOLER = ("pooler", "pooler.dense", "tanh")
BEFORE_LABELS = ("labels.dense", "pre_classifier", "relu")
FOLLOWS = OutputHead(
    "sequence classification",
    ("IsNext", "NotNext"),
    "single_label_classification",
    HeadFiles("cls.seq_relationship", None, POOLER),
)
"""Whether the second of two texts is what came after the first; the names are those of BERT's own code."""
HEADS = {
    "bert": HeadFiles(
        *("classifier", "classifier", POOLER),
        choice=POOLER,
        special=(("ForNextSentencePrediction", FOLLOWS), ("ForPreTraining", replace(FOLLOWS, beside=True))),
    ),
    "roberta": HeadFiles(
        "classifier.out_proj", "classifier", ("labels.dense", "classifier.dense", "tanh"), choice=POOLER
    ),
    "distilbert": HeadFiles("classifier", "classifier", BEFORE_LABELS, choice=BEFORE_LABELS),
}


def readout_of(activation: str) -> Readout:
    """`readout` of a family whose definition has that activation there, whatever the layers have."""
    return partial(readout, activation=activation)


def copies(head: tuple[str, str, str, str]) -> tuple[Copy, ...]:
    """What files of a BERT repeat, by what they call the parts of the head."""
    return (
        Copy("embeddings.position_ids", agrees=row_numbers),
        # Tied: the bias once more. Not tied: this is the matrix's bias, and no version reads the other.
        Copy(f"{head[2]}.bias", of="unembedding.bias"),
        Copy(head[3]),
    )


def kin(name: str, head: tuple[str, str, str, str], **other: Any) -> Architecture:
    """A BERT or one of its kin: what they share, and what is `other` of this one. `head`: what its parts are called."""
    shared = {
        "readout": readout,
        "capabilities": frozenset({"encode", "fill"}),
        "requires": {"fill": "head.weight"},
        "heads": HEADS["bert"],
        "prefix": f"{name}.",
        "defaults": DEFAULTS,
        "older_spellings": ((".gamma", ".weight"), (".beta", ".bias")),
        "ignored": copies(head),
    }
    return Architecture(name=name, **{**shared, **other})


from_bert, from_roberta = (partial(bert_from_huggingface, counts_from_padding=counts) for counts in (False, True))
ARCHITECTURES = (
    kin(
        "bert",
        BERT_HEAD,
        gguf_names=("bert",),
        read_huggingface=from_bert,
        read_gguf=bert_from_gguf,
        tensors=partial(tensors, layer=BERT_LAYER, stack="encoder.layer", head=BERT_HEAD),
    ),
    # The others differ in their vocabulary or training alone (Conneau et al. 2020; Martin et al. 2020; Baevski et al.
    # 2022).
    kin(
        "roberta",
        ROBERTA_HEAD,
        model_types=("roberta", "xlm-roberta", "camembert", "data2vec-text"),
        read_huggingface=from_roberta,
        tensors=partial(tensors, layer=BERT_LAYER, stack="encoder.layer", head=ROBERTA_HEAD),
        readout=readout_of("gelu"),
        heads=HEADS["roberta"],
        fronts=("data2vec_text.",),
    ),
    kin(
        "distilbert",
        DISTILBERT_HEAD,
        read_huggingface=distilbert_from_huggingface,
        tensors=partial(tensors, layer=DISTILBERT_LAYER, stack="transformer.layer", head=DISTILBERT_HEAD),
        heads=HEADS["distilbert"],
        defaults=DISTILBERT_DEFAULTS,
    ),
)
