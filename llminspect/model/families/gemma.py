"""Gemma 1, 2 and 3 (text): a scaled embedding, norms that hold their weight - 1, gelu; caps and windows from 2 on.
VaultGemma is a Gemma 2 without norms after its steps.

Gemma Team 2024, "Gemma" (section 2), "Gemma 2" (section 2: caps, alternating windows, norms before and after); Gemma
Team 2025, "Gemma 3" (section 2: norms of queries and keys, five local layers to a global one, a rotary base for each).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

from llminspect.core.feedforward import Glu
from llminspect.core.rotary import Rotary
from llminspect.model import decoder_files as files
from llminspect.model import rotary_files
from llminspect.model.spec import plus_one


def gemma_from_huggingface(settings: files.Settings, rotary: Rotary | None = None) -> files.DecoderConfig:
    """What all three write alike; a key that one of them lacks is not in its files, and not in its defaults."""
    # The first Gemma's files say "gelu" and mean its tanh form.
    settings.only("hidden_act", "gelu", "gelu_pytorch_tanh")
    settings.only("hidden_activation", "gelu_pytorch_tanh")
    found = files.from_huggingface(settings, unit=Glu("gelu_tanh"), rotary=rotary)
    return replace(
        found,
        scale=settings.number("query_pre_attn_scalar", found.sizes.E) ** -0.5,
        embedding_scale=math.sqrt(found.sizes.D),
        score_cap=settings.perhaps("attn_logit_softcapping"),
        logit_cap=settings.perhaps("final_logit_softcapping"),
        biased=files.attention_biases(settings),
    )


def first_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    """The reference does not read what the later ones added."""
    found = gemma_from_huggingface(settings)
    settings.only("query_pre_attn_scalar", found.sizes.E)
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        if settings.get(key) is not None:
            raise settings.wrong(key, "null: the first Gemma has no cap")
    return found


def gemma2_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    found = files.with_windows(gemma_from_huggingface(settings), settings, lambda index: index % 2 == 0)
    settings.only("sliding_window_size", found.window)  # Written beside the key that is read.
    settings.only("cache_implementation", "hybrid")
    return found


def gemma3_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    pattern = settings.whole("_sliding_window_pattern", settings.whole("sliding_window_pattern", 6))
    local, everywhere = two_rotations(settings, files.sizes_from_huggingface(settings))
    found = replace(gemma_from_huggingface(settings, everywhere), local_rotary=local)
    settings.only("cache_implementation", "hybrid")
    if settings.get("attn_logit_softcapping") is not None:  # Which the reference implementation has not built in.
        raise settings.wrong("attn_logit_softcapping", "null")
    found = files.with_windows(found, settings, lambda index: (index + 1) % pattern != 0)
    if not settings.flag("use_bidirectional_attention"):
        return found
    settings.only("is_causal", True)  # Which the reference gives windows of another width.
    return _both_ways(found)


def _both_ways(config: files.DecoderConfig) -> files.DecoderConfig:
    """The window is as wide on both sides together."""
    return replace(config, causal=False, window=None if config.window is None else config.window // 2)


def two_rotations(settings: files.Settings, sizes: files.Sizes) -> tuple[Rotary, Rotary]:
    """That of the layers with a window, and that of those without."""
    if settings.get("rope_parameters") is not None:
        return rotary_files.two_rotations(settings, sizes.E, sizes.context, "rope_local_base_freq")
    everywhere = rotary_files.from_huggingface(settings, sizes.E, sizes.context)
    return Rotary(everywhere.width, settings.number("rope_local_base_freq")), everywhere


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """Few GGUF files state the pattern of windows, and none the scale: they follow from the family and its layers."""
    found = files.from_gguf(settings, unit=Glu("gelu_tanh"), biased=())
    sizes, family = found.sizes, settings.metadata["general.architecture"]
    every = {"gemma": 1, "gemma2": 2}.get(family, 6)
    found = files.with_windows_of_gguf(found, settings, every)
    if family == "gemma-embedding":
        settings.only("attention.causal", False)
        found = _both_ways(found)
    if every == 6:
        local = Rotary(found.rotary.width, settings.number("rope.freq_base_swa", 10_000.0))
        found = replace(found, local_rotary=local)
    return replace(
        found,
        scale=(sizes.D // sizes.H if (family, sizes.L) in LARGEST else sizes.E) ** -0.5,
        embedding_scale=math.sqrt(sizes.D),
        score_cap=settings.perhaps("attn_logit_softcapping"),
        logit_cap=settings.perhaps("final_logit_softcapping"),
    )


LARGEST = {("gemma2", 46), ("gemma3", 62)}
"""The two models of 27 billion parameters scale the scores by D / H, the others by the width of a head."""


def _norms(*norms: tuple[str, str, str, str]) -> list[files.TensorSpec]:
    """Hugging Face files hold the weight − 1, GGUF files the weight."""
    return files.linear_specs(*norms, huggingface_fix=plus_one)


BEFORE = _norms(*files.BEFORE)
AROUND = _norms(*files.AROUND)
OF_VAULT = _norms(files.AROUND[0], files.AROUND[2])
OF_HEADS = _norms(*files.OF_HEADS)


def tensors(config: files.DecoderConfig, norms: list[files.TensorSpec]) -> list[files.TensorSpec]:
    layer = [*norms, *files.attention_specs(config), *files.feed_forward_specs(config)]
    (final,) = _norms(("final.norm", "D", "norm", "output_norm"))
    return [final if spec.name == final.name else spec for spec in files.around_layers(config, layer)]


FIRST: dict[str, Any] = {
    "hidden_act": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
    "head_dim": 256,
    "num_key_value_heads": 16,
    "max_position_embeddings": 8192,
    "pad_token_id": 0,
}
WINDOWED = FIRST | {"query_pre_attn_scalar": 256, "sliding_window": 4096, "num_key_value_heads": 4}
SECOND = WINDOWED | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
THIRD = WINDOWED | {"rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0, "max_position_embeddings": 131_072}
ARCHITECTURES = tuple(
    files.family(
        name,
        from_huggingface,
        partial(tensors, norms=norms),
        model_types=(model_type,),
        gguf={"gemma3": (name, "gemma-embedding"), "vaultgemma": ()}.get(name, name),
        read_gguf=from_gguf,
        defaults=defaults,
    )
    for name, model_type, from_huggingface, norms, defaults in (
        ("gemma", "gemma", first_from_huggingface, BEFORE, FIRST),
        ("gemma2", "gemma2", gemma2_from_huggingface, AROUND, SECOND),
        ("vaultgemma", "vaultgemma", gemma2_from_huggingface, OF_VAULT, SECOND),
        ("gemma3", "gemma3_text", gemma3_from_huggingface, [*AROUND, *OF_HEADS], THIRD),
    )
)
