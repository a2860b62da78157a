"""Mixtral: Mistral with eight feed-forward networks a layer, of which two work on each token.

Jiang et al. 2024, "Mixtral of Experts", section 2.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.model import decoder_files as files
from llminspect.model import settings as settings_of
from llminspect.model.decoder import Config, Experts, forward, readout
from llminspect.model.spec import Architecture, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


def config_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_local_experts"))
    found = files.from_huggingface(settings, sizes, base=1_000_000.0)
    found = replace(
        files.with_windows(found, settings, lambda _: settings.get("sliding_window") is not None),
        unit=files.gated_unit(settings),
        experts=Experts(settings.whole("num_experts_per_tok")),
    )
    settings.done()
    return found


def tensors(config: Config) -> list[TensorSpec]:
    router, expert = "block_sparse_moe.gate", "block_sparse_moe.experts.{}"
    layer = [
        *files.NORMS_IN_FRONT,
        *files.attention_specs(config),
        *files.expert_specs(config.sizes.X, router, expert, ("w1", "w3", "w2")),
    ]
    return files.around_layers(config, lambda _: layer)


ARCHITECTURES = (
    Architecture(
        name="mixtral",
        model_types=("mixtral",),
        gguf_names=(),
        config_from_huggingface=config_from_huggingface,
        config_from_gguf=None,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
    ),
)
