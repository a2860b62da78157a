"""SmolLM3: Llama's layers, of which every fourth knows no positions.

Yang et al. 2025, "Rope to Nope and Back Again: A New Hybrid Attention Strategy"; Bakouch et al. 2025, "SmolLM3".
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    found = files.from_huggingface(settings)
    layers, interval = found.sizes.L, settings.whole("no_rope_layer_interval")
    turned = settings.get("no_rope_layers", [int((index + 1) % interval != 0) for index in range(layers)])
    if len(turned) != layers:
        raise settings.wrong("no_rope_layers", f"0 or 1 for each of {layers} layers")
    slides = settings.flag("use_sliding_window") and settings.get("sliding_window") is not None
    settings.skip("max_window_layers")  # The reference implementation does not look at it.
    return replace(
        files.with_windows(found, settings, lambda index: slides and not turned[index]),
        unturned=tuple(index for index, turn in enumerate(turned) if not turn),
        biased=files.all_biases(settings),
    )


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """Which layers know no positions is not stated there: each fourth, as in the one model that there is."""
    found = files.from_gguf(settings)
    return replace(found, unturned=tuple(range(3, found.sizes.L, 4)))


DEFAULTS = {
    "tie_word_embeddings": True,
    "rope_theta": 2_000_000.0,
    "no_rope_layer_interval": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32_768,
    "pad_token_id": 128_004,
}
ARCHITECTURE = files.family(
    "smollm3", from_huggingface, partial(files.plain_tensors, permuted=True), read_gguf=from_gguf, defaults=DEFAULTS
)
