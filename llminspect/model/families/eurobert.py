"""EuroBERT: a Llama in which every token sees every other, with a matrix that fills masks.

Boizard et al. 2025, "EuroBERT: Scaling Multilingual Encoders for European Languages", section 2.1.
"""

from __future__ import annotations

from typing import Literal

from llminspect.core.dataclass import dataclass
from llminspect.model import decoder_files as files
from llminspect.model.copies import ROTATION
from llminspect.model.heads import HeadFiles


@dataclass(frozen=True, kw_only=True)
class EuroBertConfig(files.DecoderConfig):
    stated = f"{files.DecoderConfig.stated} reads"


READS: dict[str, Literal["first", "mean", "late"]] = {"bos": "first", "mean": "mean", "late": "late"}


def from_huggingface(settings: files.Settings) -> EuroBertConfig:
    settings.only("is_causal", False)
    settings.only("clf_pooling", settings.get("classifier_pooling"))  # What the first files call it.
    found = files.from_huggingface(settings, biased=files.all_biases, causal=False)
    return EuroBertConfig(**vars(found) | {"reads": settings.one_of("classifier_pooling", READS)})


def from_gguf(settings: files.Settings) -> EuroBertConfig:
    """A file holds no matrix that fills masks."""
    settings.only("attention.causal", False)
    found = files.from_gguf(settings, causal=False, tied=False)
    return EuroBertConfig(**vars(found))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    bias = files.TensorSpec("unembedding.bias", "V", "lm_head.bias")
    return [*files.plain_tensors(config), *([bias] if "feedforward.up" in (config.biased or ()) else [])]


ARCHITECTURE = files.family(
    "eurobert",
    from_huggingface,
    tensors,
    read_gguf=from_gguf,
    ignored=(ROTATION,),
    defaults={"max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "classifier_pooling": "late"},
    capabilities=frozenset({"encode", "fill"}),
    heads=HeadFiles("classifier", "classifier", ("labels.dense", "dense", "gelu"), question=None),
)
