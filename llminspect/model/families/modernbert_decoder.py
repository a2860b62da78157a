"""ModernBERT's decoders (Ettin): its layers, whose tokens see only what came before them.

Weller et al. 2025, "Seq vs Seq: An Open Suite of Paired Encoders and Decoders", section 2.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llminspect.model.families.modernbert import ARCHITECTURE as MODERNBERT
from llminspect.model.families.modernbert import from_huggingface, tensors

ARCHITECTURE = replace(
    MODERNBERT,
    name="modernbert-decoder",
    model_types=("modernbert-decoder",),
    gguf_names=(),
    read_huggingface=partial(from_huggingface, causal=True),
    read_gguf=None,
    tensors=partial(tensors, head="lm_head"),
    capabilities=frozenset({"generate"}),
    requires={},
    heads=None,
)
