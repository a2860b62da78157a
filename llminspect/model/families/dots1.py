"""dots.llm1 and GLM 4.5: attention as in Qwen 3, and after the first layers DeepSeek-V3's mixtures; GLM turns half of
each head.

rednote-hilab 2025, "dots.llm1 Technical Report", section 2; GLM Team 2025, "GLM-4.5: Agentic, Reasoning, and Coding
(ARC) Foundation Models", section 2.1.
"""

from __future__ import annotations

from typing import Any

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures


def dots_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.only("scoring_func", "sigmoid", "noaux_tc")
    settings.only("use_sliding_window", False, True)  # The reference implementation looks at the next two alone.
    window, first = settings.get("sliding_window"), settings.get("max_window_layers")
    found = _mixture(settings, biased=files.attention_biases(settings))
    return files.with_windows(found, settings, lambda index: window is not None and index >= first)


def glm_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    more = mixtures.layers_after(settings)
    return _mixture(settings, biased=files.inner_biases, head_norms=settings.flag("use_qk_norm"), layers_after=more)


def solar_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    """Solar Open: a GLM 4.5 without norms of queries and keys, all of whose layers are mixtures."""
    settings.values = {"intermediate_size": 1, "first_k_dense_replace": 0, **settings.values}
    return _mixture(settings, biased=files.inner_biases)


def _mixture(settings: files.Settings, **known: Any) -> files.DecoderConfig:
    settings.only("topk_method", "noaux_tc")
    settings.only("moe_layer_freq", 1)
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", settings.whole("n_routed_experts"))
    router = mixtures.grouped_router(
        settings,
        sizes.X,
        plain_layers=tuple(range(mixtures.first_plain(settings, sizes.L))),
        plain_width=settings.whole("intermediate_size"),
        shared_width=sizes.F * settings.whole("n_shared_experts"),
    )
    return files.from_huggingface(settings, sizes, experts=router, **known)


def dots_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return mixtures.from_gguf(settings, router=mixtures.grouped_in_gguf(settings), biased=())


def glm_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    found = mixtures.from_gguf(settings, router=mixtures.grouped_in_gguf(settings), head_norms=None)
    return mixtures.without_last(found, settings)


def dots_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return _around(config, [*files.NORMS_BEFORE, *files.attention_specs(config), *files.HEAD_NORMS])


def glm_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    of_heads = files.if_there(config.head_norms, files.HEAD_NORMS)
    return _around(config, [*files.RENAMED_NORMS_BEFORE, *files.attention_specs(config), *of_heads])


def _around(config: files.DecoderConfig, before: list[files.TensorSpec]) -> list[files.TensorSpec]:
    return files.around_layers(config, mixtures.layers(config, before, mixtures.grouped_specs(config)))


GROUPS = {"n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0}
DOTS = GROUPS | {
    "num_key_value_heads": 32,
    "first_k_dense_replace": 0,
    "sliding_window": 4096,
    "max_window_layers": 62,
    "max_position_embeddings": 2048,
}
GLM = GROUPS | {
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "partial_rotary_factor": 0.5,
    "moe_intermediate_size": 1408,
    "n_routed_experts": 128,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 1,
    "norm_topk_prob": True,
    "max_position_embeddings": 131_072,
}
SOLAR = GLM | {"first_k_dense_replace": 0, "moe_intermediate_size": 1280, "rope_theta": 1_000_000.0, "head_dim": 128}
ARCHITECTURES = (
    files.family("solar_open", solar_from_huggingface, glm_tensors, defaults=SOLAR | {"partial_rotary_factor": 1.0}),
    files.family("dots1", dots_from_huggingface, dots_tensors, read_gguf=dots_from_gguf, defaults=DOTS),
    files.family("glm4_moe", glm_from_huggingface, glm_tensors, gguf="glm4moe", read_gguf=glm_from_gguf, defaults=GLM),
)
