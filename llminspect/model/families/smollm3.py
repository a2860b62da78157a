"""SmolLM3: Llama's layers, of which every fourth knows no positions.

Yang et al. 2025, "Rope to Nope and Back Again: A New Hybrid Attention Strategy"; Bakouch et al. 2025, "SmolLM3".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.model import decoder_files as files
from llminspect.model import settings as settings_of
from llminspect.model.decoder import Config, forward, readout
from llminspect.model.spec import Architecture, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


def config_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    sizes = files.sizes_from_huggingface(settings)
    found = files.from_huggingface(settings, sizes, tied=True, base=2_000_000.0)
    interval = settings.whole("no_rope_layer_interval", 4)
    turned = settings.get("no_rope_layers", [int((index + 1) % interval != 0) for index in range(sizes.L)])
    if len(turned) != sizes.L:
        raise settings.wrong("no_rope_layers", f"0 or 1 for each of {sizes.L} layers")
    slides = bool(settings.get("use_sliding_window")) and settings.get("sliding_window") is not None
    settings.get("max_window_layers")  # The reference implementation does not look at it.
    biased: tuple[str, ...] = files.ATTENTION if settings.get("attention_bias") else ()
    if settings.get("mlp_bias"):
        biased += files.FEED_FORWARD
    found = replace(
        files.with_windows(found, settings, lambda index: slides and not turned[index]),
        unturned=tuple(index for index, turn in enumerate(turned) if not turn),
        unit=files.gated_unit(settings),
        biased=biased,
    )
    settings.done()
    return found


def tensors(config: Config) -> list[TensorSpec]:
    layer = [*files.NORMS_IN_FRONT, *files.attention_specs(config), *files.feed_forward_specs(config)]
    return files.around_layers(config, lambda _: layer)


ARCHITECTURES = (
    Architecture(
        name="smollm3",
        model_types=("smollm3",),
        gguf_names=(),
        config_from_huggingface=config_from_huggingface,
        config_from_gguf=None,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
    ),
)
