"""EXAONE 4: norms after each step, norms of queries and keys, three layers with a window to one without positions.

LG AI Research 2025, "EXAONE 4.0", section 2.1.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files
from llminspect.model.families.olmo import NORMS_AFTER


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    window, pattern = settings.get("sliding_window"), settings.get("sliding_window_pattern")
    every = len(pattern) if isinstance(pattern, str) else settings.whole("sliding_window_pattern") if window else 1
    if isinstance(pattern, str) and pattern != "L" * (every - 1) + "G":  # A letter a layer, over and over.
        raise settings.wrong("sliding_window_pattern", "a whole number above 0, or L … LG")
    found = files.with_windows(files.from_huggingface(settings), settings, lambda index: (index + 1) % every != 0)
    if window is None:  # Then every layer sees all and knows its positions.
        return found
    return files.turned_in_windows(found)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    found = files.with_windows_of_gguf(files.from_gguf(settings, biased=()), settings, 4)
    return files.turned_in_windows(found) if found.windowed else found


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.attention_specs(config), *files.HEAD_NORMS, *files.feed_forward_specs(config), *NORMS_AFTER]
    return [*files.around_layers(config, layer), *files.divisor_specs(config)]


DEFAULTS = {
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-5,
    "sliding_window": 4096,
    "sliding_window_pattern": 4,
    "max_position_embeddings": 2048,
}
ARCHITECTURES = (
    files.family("exaone4", from_huggingface, tensors, gguf="exaone4", read_gguf=from_gguf, defaults=DEFAULTS),
)
