"""Qwen 2, with a bias on queries, keys and values; Qwen 3, with a norm on each query and key instead; its mixture.

Yang et al. 2024, "Qwen2 Technical Report", section 2.2; Yang et al. 2025, "Qwen3 Technical Report", section 2.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.model import decoder_files as files
from llminspect.model import settings as settings_of
from llminspect.model.decoder import Config, Experts, forward, readout
from llminspect.model.spec import Architecture, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.model.settings import Settings


def qwen2_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    found = _dense(settings)
    settings.done()
    return replace(found, biased=files.QUERY_KEY_VALUE)


def qwen3_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    found = _dense(settings)
    biased = files.ATTENTION if settings.get("attention_bias") else ()
    settings.done()
    return replace(found, biased=biased)


def _dense(settings: Settings) -> Config:
    found = files.from_huggingface(settings, files.sizes_from_huggingface(settings))
    slides, first = bool(settings.get("use_sliding_window")), settings.get("max_window_layers", 0)
    found = files.with_windows(found, settings, lambda index: slides and index >= first)
    return replace(found, unit=files.gated_unit(settings))


def mixture_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    # The number of experts changed its name between the two forms.
    experts = settings.whole("num_experts", settings.get("num_local_experts"))
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", experts)
    slides, step = bool(settings.get("use_sliding_window")), settings.whole("decoder_sparse_step", 1)
    settings.get("max_window_layers")  # Here the reference implementation does not look at it.
    plain = {index for index in range(sizes.L) if (index + 1) % step} | set(settings.get("mlp_only_layers", ()))
    found = replace(
        files.with_windows(files.from_huggingface(settings, sizes), settings, lambda _: slides),
        unit=files.gated_unit(settings),
        biased=files.ATTENTION if settings.get("attention_bias") else (),
        experts=Experts(
            chosen=settings.whole("num_experts_per_tok"),
            among_chosen=bool(settings.get("norm_topk_prob", False)),
            plain_width=settings.whole("intermediate_size"),
            plain_layers=tuple(sorted(plain)),
        ),
    )
    settings.done()
    return found


def config_from_gguf(metadata: Mapping[str, Any], family: str) -> Config:
    settings = settings_of.gguf(metadata, family)
    found = files.from_gguf(settings, files.sizes_from_gguf(settings))
    settings.done()
    # A missing bias would be a wrong number, so it is not left to the file.
    return replace(found, biased=files.QUERY_KEY_VALUE if family == "qwen2" else ())


def mixture_from_gguf(metadata: Mapping[str, Any]) -> Config:
    settings = settings_of.gguf(metadata, "qwen3moe")
    sizes = files.sizes_from_gguf(settings, settings.whole("expert_count"))
    plain_width, sizes = sizes.F, replace(sizes, F=settings.whole("expert_feed_forward_length"))
    found = replace(
        files.from_gguf(settings, sizes),
        biased=(),
        experts=Experts(settings.whole("expert_used_count"), plain_width=plain_width),
    )
    settings.done()
    return found


def qwen2_tensors(config: Config) -> list[TensorSpec]:
    layer = [*files.NORMS_IN_FRONT, *files.attention_specs(config), *files.feed_forward_specs(config)]
    return files.around_layers(config, lambda _: layer)


def qwen3_tensors(config: Config) -> list[TensorSpec]:
    attention = [*files.NORMS_IN_FRONT, *files.attention_specs(config), *files.HEAD_NORMS]
    mixture = config.experts
    plain = files.feed_forward_specs(config, "F" if mixture is None else str(mixture.plain_width))
    experts = files.expert_specs(config.sizes.X, "mlp.gate", "mlp.experts.{}", ("gate_proj", "up_proj", "down_proj"))

    def layer(index: int) -> list[TensorSpec]:
        return [*attention, *(plain if mixture is None or index in mixture.plain_layers else experts)]

    return files.around_layers(config, layer)


ARCHITECTURES = (
    Architecture(
        name="qwen2",
        model_types=("qwen2",),
        gguf_names=("qwen2",),
        config_from_huggingface=qwen2_from_huggingface,
        config_from_gguf=partial(config_from_gguf, family="qwen2"),
        tensors=qwen2_tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
    ),
    Architecture(
        name="qwen3",
        model_types=("qwen3",),
        gguf_names=("qwen3",),
        config_from_huggingface=qwen3_from_huggingface,
        config_from_gguf=partial(config_from_gguf, family="qwen3"),
        tensors=qwen3_tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
    ),
    Architecture(
        name="qwen3-moe",
        model_types=("qwen3_moe",),
        gguf_names=("qwen3moe",),
        config_from_huggingface=mixture_from_huggingface,
        config_from_gguf=mixture_from_gguf,
        tensors=qwen3_tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
    ),
)
