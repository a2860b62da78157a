"""Mistral 4: DeepSeek-V2's latent attention and experts chosen by a softmax; queries grow with their position as
Ministral 3's do.

Mistral AI 2026, "Mistral Small 4" (model card).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model.families.deepseek import mixed_from_huggingface, tensors
from llminspect.model.families.ministral3 import DEFAULTS as OF_MINISTRAL
from llminspect.model.families.ministral3 import growth_of


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    growth = growth_of(settings, ROTATION)
    turned, plain = settings.whole("qk_rope_head_dim"), settings.whole("qk_nope_head_dim")
    settings.only("head_dim", turned + plain)
    key = "rope_parameters" if settings.values.get("rope_scaling") is None else "rope_scaling"
    for share_of in (settings, settings.under(key)):  # The widths of both parts of a head say it once more.
        share_of.only("partial_rotary_factor", turned / (turned + plain))
    repeated = ("head_dim", "partial_rotary_factor")
    kept = {name: value for name, value in settings.values[key].items() if name not in repeated}
    settings.values = {name: value for name, value in settings.values.items() if name not in repeated} | {key: kept}
    found = mixed_from_huggingface(settings, router)
    found = replace(found, rotary=replace(found.rotary, growth=growth))
    return files.interleaved(found) if settings.flag("rope_interleave", True) else found


def router(settings: files.Settings, experts: int) -> files.Experts:
    return replace(mixtures.grouped_router(settings, experts), kind="softmax")


ROTATION = {**OF_MINISTRAL["rope_parameters"], "rope_theta": 10_000.0, "factor": 128.0}
ROTATION |= {"original_max_position_embeddings": 8192}
DEFAULTS: dict[str, Any] = {
    "kv_lora_rank": 256,
    "q_lora_rank": 1024,
    "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 128,
    "n_shared_experts": 1,
    "num_experts_per_tok": 4,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.0,
    "max_position_embeddings": 1_048_576,
    "pad_token_id": 11,
}
ARCHITECTURE = files.family("mistral4", from_huggingface, tensors, defaults=DEFAULTS)
