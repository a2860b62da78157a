"""Llama 1 to 3, which SmolLM2 shares, and Mistral, which adds a window to its attention.

Touvron et al. 2023, "LLaMA" (section 2.2); Grattafiori et al. 2024, "The Llama 3 Herd of Models" (section 3.2); Jiang
et al. 2023, "Mistral 7B" (section 2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llminspect.model import decoder_files as files
from llminspect.model.copies import ROTATION
from llminspect.model.spec import Architecture


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    # The first says the context once more (Llama 1), the second that this is a Llama (SmolLM2).
    settings.skip("max_sequence_length", "is_llama_config")
    return files.from_huggingface(settings, biased=files.all_biases)


def mistral_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    window = settings.get("sliding_window")
    # Of the two kinds one says which layers have it; the other has it in all.
    by_layer = (lambda _: window is not None) if settings.values.get("model_type") == "ministral" else None
    return files.with_windows(files.from_huggingface(settings), settings, by_layer)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """A Mixtral is a llama with experts there, a Llama that sees both ways a llama-embed."""
    settings.only("tensor_data_layout", "Meta AI original pth")
    kind = settings.metadata.get("general.architecture")
    if kind == "baichuan" and settings.whole("block_count") == 40:
        raise settings.wrong("block_count", "the layers of Baichuan 7B; 13B has no positions, which is not known here")
    experts = settings.get("expert_count") or 0
    settings.skip("expert_used_count")
    return files.from_gguf(
        settings,
        files.sizes_from_gguf(settings, experts),
        causal=settings.flag("attention.causal", kind != "llama-embed"),
        experts=files.Experts(files.chosen_experts(settings, "expert_used_count", experts)) if experts else None,
    )


EXPERTS_IN_GGUF = files.expert_specs(0, "", "", ("", "", ""))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [
        *files.NORMS_BEFORE,
        *files.attention_specs(config, permuted=True),
        *(files.feed_forward_specs(config) if config.experts is None else EXPERTS_IN_GGUF),
    ]
    return [*files.around_layers(config, layer), *files.divisor_specs(config)]


def named(kind: str, **defaults: Any) -> Architecture:
    """A Llama by another name in `config.json`, with other `defaults`."""
    return replace(LLAMA, model_types=(kind,), gguf_names=(), defaults={**LLAMA.defaults, **defaults})


LLAMA = files.family(
    "llama",
    from_huggingface,
    tensors,
    gguf=("llama", "llama-embed", "xverse", "baichuan"),
    read_gguf=from_gguf,
    ignored=(ROTATION,),
    defaults={"max_position_embeddings": 2048},
)
WIDE = {"head_dim": 128, "rms_norm_eps": 1e-5}
ARCHITECTURES = (
    LLAMA,
    named("iquestcoder", **WIDE, num_key_value_heads=8, max_position_embeddings=131_072),
    named("internlm3", **WIDE, num_key_value_heads=2, max_position_embeddings=32_768, pad_token_id=2),
    files.family(
        "mistral",
        mistral_from_huggingface,
        tensors,
        model_types=("mistral", "ministral"),
        ignored=(ROTATION,),
        defaults={"num_key_value_heads": 8, "sliding_window": 4096, "max_position_embeddings": 131_072},
    ),
)
