"""Qwen 2, with a bias on queries, keys and values; Qwen 3, with a norm on each query and key instead; its mixture.

Yang et al. 2024, "Qwen2 Technical Report", section 2.2; Yang et al. 2025, "Qwen3 Technical Report", section 2.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files


def qwen2_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    return replace(_dense(settings), biased=files.QUERY_KEY_VALUE)


def qwen3_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    return replace(_dense(settings), biased=files.attention_biases(settings))


def without_places(settings: files.Settings) -> None:
    """A token of a picture has three places (time, height, width), each for some of the pairs that are turned; a token
    of a text has the same place three times (Wang et al. 2024, "Qwen2-VL", section 2.1)."""
    for key in ("rope_scaling", "rope_parameters"):
        stated = settings.values.get(key)
        if isinstance(stated, dict):
            kept = {name: value for name, value in stated.items() if not name.startswith("mrope_")}
            kept |= {name: "default" for name in ("type", "rope_type") if kept.get(name) == "mrope"}
            settings.values = {**settings.values, key: kept}


def vision_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    without_places(settings)
    return _dense(settings)


def vision2_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    return replace(vision_from_huggingface(settings), biased=files.QUERY_KEY_VALUE)


def vision3_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    return replace(vision_from_huggingface(settings), biased=files.attention_biases(settings))


def _dense(settings: files.Settings) -> files.DecoderConfig:
    slides, first = settings.flag("use_sliding_window"), settings.get("max_window_layers")
    return files.with_windows(files.from_huggingface(settings), settings, lambda index: slides and index >= first)


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    # The number of experts changed its name between the two forms.
    experts = settings.whole("num_experts", settings.get("num_local_experts"))
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", experts)
    slides, step = settings.flag("use_sliding_window"), settings.whole("decoder_sparse_step", 1)
    settings.skip("max_window_layers")  # Here the reference implementation does not look at it.
    plain = {index for index in range(sizes.L) if (index + 1) % step} | set(settings.get("mlp_only_layers", ()))
    return replace(
        files.with_windows(files.from_huggingface(settings, sizes), settings, lambda _: slides),
        biased=files.attention_biases(settings),
        experts=files.Experts(
            chosen=files.chosen_experts(settings, "num_experts_per_tok", experts),
            among_chosen=settings.flag("norm_topk_prob"),
            plain_width=settings.whole("intermediate_size"),
            plain_layers=tuple(sorted(plain)),
        ),
    )


# A missing bias would be a wrong number, so which there are is not left to a GGUF file.


def qwen2_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return files.from_gguf(settings, biased=files.QUERY_KEY_VALUE)


def qwen3_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return files.from_gguf(settings, biased=())


def mixture_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_gguf(settings, settings.whole("expert_count"))
    return files.from_gguf(
        settings,
        replace(sizes, F=settings.whole("expert_feed_forward_length")),
        biased=(),
        experts=files.Experts(files.chosen_experts(settings, "expert_used_count", sizes.X), plain_width=sizes.F),
    )


def qwen3_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    attention = [*files.NORMS_BEFORE, *files.attention_specs(config), *files.HEAD_NORMS]
    mixture = config.experts
    plain = files.feed_forward_specs(config, "F" if mixture is None else str(mixture.plain_width))
    experts = files.expert_specs(config.sizes.X, "mlp.gate", "mlp.experts.{}", ("gate_proj", "up_proj", "down_proj"))

    def layer(index: int) -> list[files.TensorSpec]:
        return [*attention, *(plain if mixture is None or index in mixture.plain_layers else experts)]

    return files.around_layers(config, layer)


VISION = {
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1_000_000.0,
    "sliding_window": 4096,
    "max_window_layers": 80,
    "max_position_embeddings": 32_768,
}
VISION3 = {
    "head_dim": 128,
    "num_key_value_heads": 32,
    "rope_theta": 500_000.0,
    "max_position_embeddings": 128_000,
}
DENSE = {"num_key_value_heads": 32, "max_window_layers": 28, "max_position_embeddings": 32_768}
ARCHITECTURES = (
    files.family(
        "qwen2",
        qwen2_from_huggingface,
        gguf="qwen2",
        read_gguf=qwen2_from_gguf,
        defaults=DENSE,
    ),
    files.family(
        "qwen3",
        qwen3_from_huggingface,
        qwen3_tensors,
        gguf="qwen3",
        read_gguf=qwen3_from_gguf,
        defaults={"head_dim": 128, **DENSE},
    ),
    files.family("qwen2_vl_text", vision2_from_huggingface, defaults=VISION),
    files.family("qwen2_5_vl_text", vision2_from_huggingface, defaults=VISION),
    files.family("qwen3_vl_text", vision3_from_huggingface, qwen3_tensors, defaults=VISION3),
    files.family(
        "qwen3-moe",
        mixture_from_huggingface,
        qwen3_tensors,
        model_type="qwen3_moe",
        gguf="qwen3moe",
        read_gguf=mixture_from_gguf,
        defaults={"num_key_value_heads": 4, "num_experts_per_tok": 8, "max_position_embeddings": 32_768},
    ),
)
