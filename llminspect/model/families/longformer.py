"""Longformer: a RoBERTa in which each token sees those up to half a window away.

Beltagy et al. 2020, "Longformer: The Long-Document Transformer", section 3.1. Where a task makes some tokens see all
others and be seen by all, other matrices make their queries, keys and values: heads for such tasks are not known here.
"""

from __future__ import annotations

from functools import partial

from llminspect.core.dataclass import dataclass
from llminspect.model.copies import Copy
from llminspect.model.families import bert
from llminspect.model.heads import HeadFiles
from llminspect.model.settings import Settings


@dataclass(frozen=True, kw_only=True)
class LongformerConfig(bert.BertConfig):
    windows: tuple[int, ...]
    """How far each layer's tokens see, to either side."""

    def window_of(self, index: int) -> int | None:
        return self.windows[index]


def from_huggingface(settings: Settings) -> LongformerConfig:
    found, key = bert.bert_from_huggingface(settings, counts_from_padding=True), "attention_window"
    settings.skip("ignore_attention_mask", "attention_mode", "onnx_export", "attention_dilation", "autoregressive")
    stated = settings.need(key)
    widths = stated if isinstance(stated, list) else [stated] * found.sizes.L
    if len(widths) != found.sizes.L or not all(type(width) is int and width > 0 and not width % 2 for width in widths):
        raise settings.wrong(key, f"an even number above 0, or one for each of {found.sizes.L} layers")
    return LongformerConfig(**vars(found), windows=tuple(width // 2 for width in widths))


GLOBAL = tuple(Copy(f"encoder.layer.*.attention.self.{part}_global.*") for part in ("query", "key", "value"))
"""Of the tokens that see all."""

ARCHITECTURE = bert.kin(
    "longformer",
    bert.ROBERTA_HEAD,
    read_huggingface=from_huggingface,
    tensors=partial(bert.tensors, layer=bert.BERT_LAYER, stack="encoder.layer", head=bert.ROBERTA_HEAD),
    readout=bert.readout_of("gelu"),
    heads=HeadFiles(None, "classifier", question=None),
    ignored=(*bert.copies(bert.ROBERTA_HEAD), *GLOBAL),
    defaults={**bert.DEFAULTS, "attention_window": 512},
)
