"""Qwen 2, with a bias on queries, keys and values; Qwen 3, with a norm on each query and key instead; the mixtures
of both, of which the first has an expert for every token as well.

Yang et al. 2024, "Qwen2 Technical Report", section 2.2; Yang et al. 2025, "Qwen3 Technical Report", section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures

Read = Callable[[files.Settings], files.DecoderConfig]
Fix = Callable[[files.Array, files.DecoderConfig], files.Array] | None


def without_places(settings: files.Settings) -> None:
    """A token of a picture has three places (time, height, width), each for some of the pairs that are turned; a token
    of a text has the same place three times (Wang et al. 2024, "Qwen2-VL", section 2.1)."""
    for key in ("rope_scaling", "rope_parameters"):
        stated = settings.values.get(key)
        if isinstance(stated, dict):
            kept = {name: value for name, value in stated.items() if not name.startswith("mrope_")}
            kept |= {name: "default" for name in ("type", "rope_type") if kept.get(name) == "mrope"}
            settings.values = {**settings.values, key: kept}


def vision_from_huggingface(settings: files.Settings, biased: files.Reads) -> files.DecoderConfig:
    without_places(settings)
    return dense(settings, biased)


def without_windows(read: Read, settings: files.Settings) -> files.DecoderConfig:
    """Which the third that sees has not, in the reference implementation, whatever is written."""
    settings.only("use_sliding_window", False)
    found = read(settings)
    if found.windowed:
        raise settings.wrong("layer_types", "full_attention for each layer")
    return found


def _sliding(settings: files.Settings) -> tuple[bool, Any]:
    """Whether any layer has a window, and which is the first (or the first without)."""
    slides = settings.flag("use_sliding_window")
    return slides, settings.need("max_window_layers") if slides else settings.get("max_window_layers")


def dense(settings: files.Settings, biased: files.Reads) -> files.DecoderConfig:
    slides, first = _sliding(settings)
    found = files.from_huggingface(settings, biased=biased)
    return files.with_windows(found, settings, lambda index: slides and index >= first)


qwen2_from_huggingface = partial(dense, biased=files.QUERY_KEY_VALUE)
qwen3_from_huggingface = partial(dense, biased=files.attention_biases)
vision2_from_huggingface = partial(vision_from_huggingface, biased=files.QUERY_KEY_VALUE)
vision3_from_huggingface = partial(without_windows, partial(vision_from_huggingface, biased=files.attention_biases))


def mixture2_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    slides, first = _sliding(settings)
    found = _mixture(settings, lambda index: slides and index % 2 == 0 and index < first)
    assert found.experts is not None
    return replace(
        found,
        biased=files.inner_biases(settings, "qkv_bias"),
        experts=replace(found.experts, shared_width=settings.whole("shared_expert_intermediate_size")),
    )


def mixture3_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    slides = settings.flag("use_sliding_window")
    settings.skip("max_window_layers")  # Here the reference implementation does not look at it.
    return replace(_mixture(settings, lambda _: slides), biased=files.attention_biases(settings))


def _mixture(settings: files.Settings, sliding: Callable[[int], bool]) -> files.DecoderConfig:
    # The number of experts changed its name between the two forms.
    experts = settings.whole("num_experts", settings.get("num_local_experts"))
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", experts)
    step = settings.whole("decoder_sparse_step", 1)
    plain = {index for index in range(sizes.L) if (index + 1) % step} | set(settings.get("mlp_only_layers") or ())
    return replace(
        files.with_windows(files.from_huggingface(settings, sizes), settings, sliding),
        experts=files.Experts(
            chosen=files.chosen_experts(settings, "num_experts_per_tok", experts),
            among_chosen=settings.flag("norm_topk_prob"),
            plain_width=settings.whole("intermediate_size"),
            plain_layers=tuple(sorted(plain)),
        ),
    )


def vision_mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    without_places(settings)
    settings.only("norm_topk_prob", True)
    found = without_windows(mixture3_from_huggingface, settings)
    if found.sizes.D in (found.sizes.F, 2 * found.sizes.F):  # Files of both layouts of its experts would look the same.
        raise settings.wrong("moe_intermediate_size", "neither hidden_size nor half of it")
    assert found.experts is not None
    return replace(found, experts=replace(found.experts, among_chosen=True))


# A missing bias would be a wrong number, so which there are is not left to a GGUF file.
qwen2_from_gguf = partial(files.from_gguf, biased=files.QUERY_KEY_VALUE)
qwen3_from_gguf = partial(files.from_gguf, biased=())


def seeing(read: Read) -> Read:
    """What reads the text part's file, of the file of a model that sees pictures."""

    def of_text(settings: files.Settings) -> files.DecoderConfig:
        settings.skip(*OF_PLACES)
        return read(settings)

    return of_text


def mixture2_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    found = mixture3_from_gguf(settings)
    assert found.experts is not None
    shared = settings.whole("expert_shared_feed_forward_length")
    return replace(
        found, biased=files.QUERY_KEY_VALUE, experts=replace(found.experts, among_chosen=False, shared_width=shared)
    )


def mixture3_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_gguf(settings, settings.whole("expert_count"))
    return files.from_gguf(
        settings,
        replace(sizes, F=settings.whole("expert_feed_forward_length")),
        biased=(),
        experts=files.Experts(files.chosen_experts(settings, "expert_used_count", sizes.X), plain_width=sizes.F),
    )


def mixture2_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    attention = [*files.NORMS_BEFORE, *files.attention_specs(config)]
    shared = mixtures.shared_specs(config, "mlp.shared_expert", "mlp.shared_expert_gate")
    return files.around_layers(config, mixtures.layers(config, attention, [*_experts(config), *shared]))


def qwen3_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    attention = [*files.NORMS_BEFORE, *files.attention_specs(config), *files.HEAD_NORMS]
    step = files.feed_forward_specs(config) if config.experts is None else _experts(config)
    return files.around_layers(config, mixtures.layers(config, attention, step))


def vision_mixture_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    experts = mixtures.stacked_specs("mlp.gate.weight", "mlp.experts.gate_up_proj", "mlp.experts.down_proj")
    turned = [replace(spec, huggingface_fix=input_by_output(spec.huggingface_fix)) for spec in experts[1:]]
    attention = [*files.NORMS_BEFORE, *files.attention_specs(config), *files.HEAD_NORMS]
    return files.around_layers(config, mixtures.layers(config, attention, [experts[0], *turned]))


def input_by_output(fix: Fix) -> Fix:
    """A `fix` of a matrix for each expert that published files hold input by output, and those written since not."""

    def turn(array: files.Array, config: files.DecoderConfig) -> files.Array:
        wide, narrow = (config.sizes.D, 2 * config.sizes.F) if fix else (config.sizes.F, config.sizes.D)
        if array.shape[-2:] == (wide, narrow):
            array = array.swapaxes(-1, -2)
        return array if fix is None else fix(array, config)

    return turn


def _experts(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return files.expert_specs(config.sizes.X, "mlp.gate", "mlp.experts.{}")


OF_PLACES = ("rope.dimension_sections", "n_deepstack_layers")
"""What a GGUF file says of the places of pictures (`without_places`), and of the layers that read them once more."""
VISION = {
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1_000_000.0,
    "sliding_window": 4096,
    "max_window_layers": 80,
    "max_position_embeddings": 32_768,
}
VISION3 = {"head_dim": 128, "num_key_value_heads": 32, "rope_theta": 500_000.0, "max_position_embeddings": 128_000}
DENSE = {"num_key_value_heads": 32, "max_window_layers": 28, "max_position_embeddings": 32_768}
ARCHITECTURES = (
    files.family("qwen2", qwen2_from_huggingface, read_gguf=qwen2_from_gguf, defaults=DENSE),
    files.family(
        "qwen3", qwen3_from_huggingface, qwen3_tensors, read_gguf=qwen3_from_gguf, defaults={"head_dim": 128, **DENSE}
    ),
    files.family(
        "qwen2_vl_text", vision2_from_huggingface, gguf="qwen2vl", read_gguf=seeing(qwen2_from_gguf), defaults=VISION
    ),
    files.family("qwen2_5_vl_text", vision2_from_huggingface, defaults=VISION),
    files.family(
        "qwen3_vl_text",
        vision3_from_huggingface,
        qwen3_tensors,
        gguf="qwen3vl",
        read_gguf=seeing(qwen3_from_gguf),
        defaults=VISION3,
    ),
    files.family(
        "qwen3_vl_moe_text",
        vision_mixture_from_huggingface,
        vision_mixture_tensors,
        gguf="qwen3vlmoe",
        read_gguf=seeing(mixture3_from_gguf),
        defaults={**VISION3, "num_key_value_heads": 16, "head_dim": None, "num_experts_per_tok": 4},
    ),
    files.family(
        "qwen3-moe",
        mixture3_from_huggingface,
        qwen3_tensors,
        gguf="qwen3moe",
        read_gguf=mixture3_from_gguf,
        defaults={"num_key_value_heads": 4, "num_experts_per_tok": 8, "max_position_embeddings": 32_768},
    ),
    files.family(
        "qwen2-moe",
        mixture2_from_huggingface,
        mixture2_tensors,
        gguf="qwen2moe",
        read_gguf=mixture2_from_gguf,
        defaults={
            "qkv_bias": True,
            "num_key_value_heads": 16,
            "num_experts_per_tok": 4,
            "max_window_layers": 28,
            "sliding_window": 4096,
            "max_position_embeddings": 32_768,
        },
    ),
)
