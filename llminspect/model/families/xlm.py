"""XLM and FlauBERT: encoders with a norm after each sum, or before each step, and no layer between them and the words.

Conneau and Lample 2019, "Cross-lingual Language Model Pretraining", section 3; Le et al. 2020, "FlauBERT". A model of
many languages may add a vector for each: as in the reference, a text alone has none.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.dataclass import dataclass
from llminspect.model.config import read_sizes
from llminspect.model.copies import Copy, row_numbers
from llminspect.model.families.bert import BertConfig
from llminspect.model.heads import HeadFiles, OutputHead
from llminspect.model.maps import attention_maps
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, for_layers, linear_specs


@dataclass(frozen=True, kw_only=True)
class XlmConfig(BertConfig):
    norms_before: bool


UNREAD = """
    lang_id lang2id id2lang use_lang_emb langs n_langs mask_index unk_index pad_index bos_index eos_index embed_init_std
    sinusoidal_embeddings sinusoidal_embedding max_vocab min_count share_inout_emb amp encoder_only vocab_size n_words
    start_n_top end_n_top summary_type summary_use_proj summary_activation summary_first_dropout summary_proj_to_labels
""".split()
"""Of languages, of training, of other heads, and of how the table of positions was first filled."""
KEYS = {"L": "n_layers", "D": "emb_dim", "H": "n_heads", "context": "max_position_embeddings"}


def from_huggingface(settings: Settings) -> XlmConfig:
    settings.skip(*UNREAD)
    for key, only in (("asm", False), ("causal", False), ("is_encoder", True), ("is_decoder", False)):
        settings.only(key, only)
    rows = settings.whole("n_words" if settings.values.get("n_words") is not None else "vocab_size")
    width = settings.whole("emb_dim")
    return XlmConfig(
        sizes=read_sizes(settings, KEYS, V=rows, F=4 * width),
        norm_epsilon=settings.number("layer_norm_eps"),
        activation="gelu" if settings.flag("gelu_activation", True) else "relu",
        positions=settings.whole("max_position_embeddings"),
        tied=settings.flag("tie_word_embeddings"),
        norms_before=settings.flag("pre_norm"),
    )


def tensors(config: XlmConfig) -> list[TensorSpec]:
    first, second = ("attention", "feedforward") if config.norms_before else ("middle", "output")

    def layer(index: int) -> list[TensorSpec]:
        front, step = f"attentions.{index}", f"ffns.{index}"
        return linear_specs(
            *attention_maps(f"{front}.{{}}_lin", f"{front}.out_lin"),
            (f"{first}.norm", "D", f"layer_norm1.{index}", None),
            ("feedforward.up", "F D", f"{step}.lin1", None),
            ("feedforward.down", "D F", f"{step}.lin2", None),
            (f"{second}.norm", "D", f"layer_norm2.{index}", None),
            bias=True,
        )

    words = linear_specs(("unembedding", "V D", "pred_layer.proj", None), bias=True)
    return [
        TensorSpec("embedding.weight", "V D", "embeddings.weight"),
        TensorSpec("position.weight", f"{config.positions} D", "position_embeddings.weight"),
        *linear_specs(("embedding.norm", "D", "layer_norm_emb", None), bias=True),
        *for_layers(config.sizes.L, layer, huggingface=""),
        replace(words[0], optional=True if config.tied else "head"),
        replace(words[1], optional="head"),
    ]


SPAN = OutputHead("question answering", ("start", "end"), "single_label_classification", HeadFiles(None, None))
"""(Their other head for it searches with beams: it is refused by its name.)"""

ARCHITECTURE = Architecture(
    name="xlm",
    model_types=("xlm", "flaubert"),
    read_huggingface=from_huggingface,
    tensors=tensors,
    capabilities=frozenset({"encode", "fill"}),
    requires={"fill": "unembedding.bias"},
    prefix="transformer.",
    heads=HeadFiles(
        *("sequence_summary.summary", "classifier"),
        question=None,
        summary=True,
        choice=("labels.dense", "sequence_summary.summary", "linear"),
        between="logits_proj",
        special=(("ForQuestionAnsweringSimple", SPAN),),
    ),
    defaults={"layer_norm_eps": 1e-12, "max_position_embeddings": 512, "tie_word_embeddings": True},
    ignored=(Copy("position_ids", agrees=row_numbers), Copy("lang_embeddings.weight")),
)
