"""DeBERTa 1 to 3: a BERT whose scores are of contents, and of contents with distances, each with vectors of its own.

He et al. 2021, "DeBERTa: Decoding-enhanced BERT with Disentangled Attention", section 3.1; He et al. 2023, "DeBERTaV3".
The two largest of the second have a convolution beside their first layer.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.dataclass import dataclass
from llminspect.model.config import HUGGINGFACE, read_older, read_sizes
from llminspect.model.copies import Copy
from llminspect.model.decoder_files import QUERY_KEY_VALUE
from llminspect.model.families.bert import BERT_HEAD, DEFAULTS, BertConfig, copies, kin, layer_specs, tensors
from llminspect.model.families.gpt_neox import part_of_heads
from llminspect.model.heads import HeadFiles
from llminspect.model.settings import ACTIVATIONS, Settings
from llminspect.model.spec import TensorSpec, linear_specs


@dataclass(frozen=True, kw_only=True)
class DebertaConfig(BertConfig):
    stated = f"{BertConfig.stated} buckets farthest span normed pairs shared kernel bent"
    span: int
    """Half as many rows as the table of distances has; 0: there is none."""
    normed: bool
    """Whether the table of distances is normed."""
    pairs: tuple[str, ...]
    """Which scores there are besides those of contents: "c2p", of contents with distances, "p2c", the other way."""
    shared: bool
    """Whether the matrices of contents make keys and queries of the distances, too."""
    kernel: int = 0
    """How many tokens the convolution sees; 0: there is none."""
    first: bool = False
    """Whether it is DeBERTa 1: one matrix of queries, keys and values, head by head, and few biases."""

    def scale_of(self, index: int) -> float:
        scale: float = (self.sizes.E * (1 + len(self.pairs))) ** -0.5
        return scale


def from_huggingface(settings: Settings) -> DebertaConfig:
    sizes = read_sizes(settings, HUGGINGFACE)
    settings.only("attention_head_size", sizes.E)
    settings.only("embedding_size", sizes.D)
    settings.only("conv_groups", 1)
    kernel = 0 if not settings.get("conv_kernel_size") else settings.whole("conv_kernel_size")
    if kernel and kernel % 2 == 0:
        raise settings.wrong("conv_kernel_size", "an odd number, or 0")
    bent = settings.one_of("conv_act", ACTIVATIONS, "tanh")
    settings.only("pooler_hidden_act", "gelu")
    settings.only("pooler_hidden_size", sizes.D)
    settings.only("legacy", True)
    settings.skip("pooler_dropout", "cls_dropout")
    pairs = settings.get("pos_att_type") or []
    pairs = [part.strip() for part in pairs.lower().split("|")] if isinstance(pairs, str) else pairs
    if not isinstance(pairs, list) or not set(pairs) <= {"c2p", "p2c"} or len(set(pairs)) != len(pairs):
        raise settings.wrong("pos_att_type", "c2p and p2c, both, one or neither")
    relative, norm = settings.flag("relative_attention"), settings.get("norm_rel_ebd", "none")
    if norm not in ("none", "layer_norm"):
        raise settings.wrong("norm_rel_ebd", "layer_norm or none")
    farthest, buckets = settings.get("max_relative_positions", -1), settings.get("position_buckets", -1)
    farthest = settings.whole("max_relative_positions") if farthest != -1 else sizes.context
    buckets = settings.whole("position_buckets") if buckets != -1 else 0
    if buckets and not 1 < buckets // 2 < farthest - 1:
        raise settings.wrong("position_buckets", f"4 to {2 * farthest - 4}")
    segments = settings.get("type_vocab_size")
    return read_older(
        DebertaConfig,
        settings,
        sizes,
        positions=sizes.context if settings.flag("position_biased_input", True) else 0,
        segments=0 if segments == 0 else settings.whole("type_vocab_size"),
        buckets=buckets if relative else 0,
        farthest=farthest,
        span=(buckets or farthest) if relative and pairs else 0,
        normed=relative and norm == "layer_norm",
        pairs=tuple(pairs),
        shared=settings.flag("share_att_key"),
        kernel=kernel,
        bent=bent if kernel else None,
    )


def first_from_huggingface(settings: Settings) -> DebertaConfig:
    """Distances have a row each, and a table that is not normed."""
    settings.only("talking_head", False)
    for key, only in (("position_buckets", -1), ("share_att_key", False), ("norm_rel_ebd", "none")):
        settings.only(key, only)
    settings.only("conv_kernel_size", 0)
    return replace(from_huggingface(settings), first=True)


LAYER = layer_specs(
    *("attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj", "attention.output.dense"),
    *("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
)
MADE = {"c2p": ("attention.distance_key", "key_proj"), "p2c": ("attention.distance_query", "query_proj")}
"""What makes keys, and queries, of the distances: in the core, and the end of what files call it."""


def its_tensors(config: DebertaConfig) -> list[TensorSpec]:
    front = "attention.self." if config.shared else "attention.self.pos_"
    maps = [(name, "HE D", f"{front}{its}", None) for name, its in map(MADE.__getitem__, config.pairs)]
    layer = [*LAYER, *(linear_specs(*maps, bias=True) if config.span else ())]
    if config.first:
        layer = [*(spec for spec in LAYER if not spec.name.startswith(QUERY_KEY_VALUE)), *first_specs(config)]
    convolution = [
        TensorSpec("layers.0.convolution.weight", f"D D {config.kernel}", "encoder.conv.conv.weight"),
        TensorSpec("layers.0.convolution.bias", "D", "encoder.conv.conv.bias"),
        *linear_specs(("layers.0.convolution.norm", "D", "encoder.conv.LayerNorm", None), bias=True),
    ]
    table = TensorSpec("distances.weight", f"{2 * config.span} D", "encoder.rel_embeddings.weight")
    norm = linear_specs(("distances.norm", "D", "encoder.LayerNorm", None), bias=True)
    return [
        *tensors(config, layer, "encoder.layer", BERT_HEAD),
        *([table] if config.span else []),
        *(norm if config.normed and config.span else []),
        *(convolution if config.kernel else []),
    ]


def first_specs(config: DebertaConfig) -> list[TensorSpec]:
    front, heads = "attention.self", [part_of_heads(part) for part in range(3)]
    matrices = [
        TensorSpec(f"{name}.weight", "HE D", f"{front}.in_proj.weight", huggingface_fix=fix)
        for name, fix in zip(QUERY_KEY_VALUE, heads, strict=True)
    ]
    biases = [TensorSpec(f"attention.{name}.bias", "HE", f"{front}.{name[0]}_bias") for name in ("query", "value")]
    of_distances = {"c2p": ("attention.distance_key", "pos_proj", False)}
    of_distances["p2c"] = ("attention.distance_query", "pos_q_proj", True)
    made = [of_distances[pair] for pair in config.pairs] if config.span else []
    maps = [
        spec for name, its, bias in made for spec in linear_specs((name, "HE D", f"{front}.{its}", None), bias=bias)
    ]
    return [*matrices, *biases, *maps]


UNREAD = ("lm_predictions.*", "mask_predictions.*")
"""The head that version 3 was trained with, and its discriminator: the reference reads neither here."""

POOLER = ("labels.dense", "pooler.dense", "gelu")

SECOND = kin(
    "deberta-v2",
    BERT_HEAD,
    read_huggingface=from_huggingface,
    tensors=its_tensors,
    prefix="deberta.",
    heads=HeadFiles("classifier", "classifier", POOLER, choice=POOLER),
    defaults={**DEFAULTS, "layer_norm_eps": 1e-7, "type_vocab_size": 0, "pooler_hidden_act": "gelu"},
    ignored=(*copies(BERT_HEAD), *(Copy(pattern) for pattern in UNREAD)),
)
ARCHITECTURES = (
    replace(SECOND, name="deberta", model_types=("deberta",), read_huggingface=first_from_huggingface),
    SECOND,
)
