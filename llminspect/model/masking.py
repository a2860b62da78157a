"""How files say that a decoder sees both ways and writes by filling masks (Nie et al. 2025, "LLaDA", section 2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.model.config import Masking

if TYPE_CHECKING:
    from llminspect.model.config import DecoderConfig
    from llminspect.model.settings import Settings
    from llminspect.model.spec import Architecture

EVENLY = Masking(None, "confidence", even=True, shifted=False)
"""As many masks in each step, the surest first (LLaDA) …"""
BY_SHARE = Masking(None, "entropy", even=False, shifted=True)
"""… or a share of those that are left (Dream)."""


def from_huggingface(config: DecoderConfig, settings: Settings, masking: Masking) -> DecoderConfig:
    """Raises ModelError for a model that sees one way, and for a mask that is none of the vocabulary's tokens."""
    settings.only("is_causal", False)
    mask_id = _mask_id(settings.get("mask_token_id"), config.sizes.V, settings, "mask_token_id")
    return replace(config, causal=False, masking=replace(masking, mask_id=mask_id))


def from_gguf(config: DecoderConfig, settings: Settings, masking: Masking) -> DecoderConfig:
    """The same of a GGUF file, which names the mask among the tokenizer's settings."""
    settings.only("attention.causal", False)
    key = "tokenizer.ggml.mask_token_id"
    mask_id = _mask_id(settings.metadata.get(key), config.sizes.V, settings, key)
    shifted = settings.metadata.get("diffusion.shift_logits", masking.shifted)
    return replace(config, causal=False, masking=replace(masking, mask_id=mask_id, shifted=bool(shifted)))


def _mask_id(stated: Any, vocabulary: int, settings: Settings, key: str) -> int | None:
    if stated is not None and (
        isinstance(stated, bool) or not isinstance(stated, int) or stated not in range(vocabulary)
    ):
        raise settings.wrong(key, f"an id from 0 to {vocabulary - 1}")
    return stated


def filling(family: Architecture) -> Architecture:
    """The family as one that sees both ways, and fills masks until a text stands there."""
    return replace(
        family, capabilities=frozenset({"encode", "fill", "unmask"}), only_causal=frozenset[str](), heads=None
    )
