"""EXAONE 4 and K-EXAONE: norms of queries and keys, three layers with a window to one without positions; norms after
each step in the first, before it in the second, whose layers after the first are DeepSeek-V3's mixtures.

LG AI Research 2025, "EXAONE 4.0", section 2.1; LG AI Research 2026, "K-EXAONE", section 2.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model.copies import Copy
from llminspect.model.families.olmo import NORMS_AFTER


def from_huggingface(settings: files.Settings, sizes: files.Sizes | None = None) -> files.DecoderConfig:
    window, pattern = settings.get("sliding_window"), settings.get("sliding_window_pattern")
    every = len(pattern) if isinstance(pattern, str) else settings.whole("sliding_window_pattern") if window else 1
    if isinstance(pattern, str) and pattern != "L" * (every - 1) + "G":  # A letter a layer, over and over.
        raise settings.wrong("sliding_window_pattern", "a whole number above 0, or L … LG")
    found = files.with_windows(
        files.from_huggingface(settings, sizes), settings, lambda index: (index + 1) % every != 0
    )
    if window is None:  # Then every layer sees all and knows its positions.
        return found
    return files.turned_in_windows(found)


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.only("scoring_func", "sigmoid")
    settings.only("topk_method", "noaux_tc")
    settings.skip("num_nextn_predict_layers")  # The reference implementation leaves those layers out.
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", settings.whole("num_experts"))
    router = mixtures.grouped_router(
        settings,
        sizes.X,
        plain_width=settings.whole("intermediate_size"),
        plain_layers=mixtures.plain_layers(settings, sizes.L),
        shared_width=sizes.F * settings.whole("num_shared_experts"),
    )
    return replace(from_huggingface(settings, sizes), experts=router)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    found = files.with_windows_of_gguf(files.from_gguf(settings, biased=()), settings, 4)
    return files.turned_in_windows(found) if found.windowed else found


def mixture_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    settings.skip("expert_shared_feed_forward_length")  # Once more how wide that expert is.
    found = mixtures.from_gguf(settings, router=mixtures.grouped_in_gguf(settings), biased=())
    found = mixtures.without_last(files.with_windows_of_gguf(found, settings, 4), settings)
    return files.turned_in_windows(found) if found.windowed else found


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.attention_specs(config), *files.HEAD_NORMS, *files.feed_forward_specs(config), *NORMS_AFTER]
    return [*files.around_layers(config, layer), *files.divisor_specs(config)]


def mixture_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    before = [*files.NORMS_BEFORE, *files.attention_specs(config), *files.HEAD_NORMS]
    layers = mixtures.layers(config, before, mixtures.grouped_specs(config))
    return [*files.around_layers(config, layers), *files.divisor_specs(config)]


DEFAULTS = {
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-5,
    "sliding_window": 4096,
    "sliding_window_pattern": 4,
    "max_position_embeddings": 2048,
}
MIXTURE = DEFAULTS | {
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 1024,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "num_shared_experts": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
}
ARCHITECTURES = (
    files.family(
        "exaone_moe",
        mixture_from_huggingface,
        mixture_tensors,
        gguf="exaone-moe",
        read_gguf=mixture_from_gguf,
        ignored=(Copy("mtp.*"),),
        defaults=MIXTURE,
        spellings=((".mlp.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"),),
    ),
    files.family("exaone4", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS),
)
