"""GPT-Neo, as in TinyStories: GPT-2's layers with a window on every other one, and scores that are not scaled.

Black et al. 2021, "GPT-Neo: Large Scale Autoregressive Language Modeling with Mesh-Tensorflow" (software); Eldan and Li
2023, "TinyStories".
"""

from __future__ import annotations

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model.config import OlderConfig, read_older, read_sizes
from llminspect.model.copies import Copy, hiding_number
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.maps import attention_maps
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, around, linear_specs

KEYS = {"L": "num_layers", "D": "hidden_size", "H": "num_heads", "context": "max_position_embeddings"}


@dataclass(frozen=True, kw_only=True)
class NeoConfig(OlderConfig):
    stated = "sizes norm_epsilon activation window windowed tied"
    window: int
    scale: float = 1.0


def from_huggingface(settings: Settings) -> NeoConfig:
    sizes = read_sizes(settings, KEYS, F=settings.whole("intermediate_size", 4 * settings.whole("hidden_size")))
    settings.skip(*(key for key in settings.values if key.startswith("summary_")))
    settings.only("is_causal", True)  # The reference masks what comes after whatever is written.
    return read_older(
        NeoConfig,
        settings,
        sizes,
        epsilon="layer_norm_epsilon",
        activation="activation_function",
        window=settings.whole("window_size"),
        windowed=_windowed(settings, sizes.L),
    )


def _windowed(settings: Settings, layers: int) -> tuple[int, ...]:
    """`attention_types` [[["global", "local"], 6]]: these two kinds, six times; `attention_layers` a kind a layer."""
    kinds: list[str] = []
    for names, times in settings.need("attention_types"):
        kinds += list(names) * min(int(times), layers)
    if len(kinds) != layers or not set(kinds) <= {"global", "local"}:
        raise settings.wrong("attention_types", f"global or local for each of {layers} layers")
    settings.only("attention_layers", kinds)
    return tuple(index for index, kind in enumerate(kinds) if kind == "local")


def visible(found: Array, config: NeoConfig) -> bool:
    """Ones where a token sees another: itself and all before it, or those of its window."""
    tokens = found.shape[-1]
    if found.size != tokens**2:
        return False
    whole, seen = np.tri(tokens), found.reshape(tokens, tokens)
    return any(np.array_equal(seen, rule) for rule in (whole, whole - np.tri(tokens, k=-config.window)))


def tensors(config: NeoConfig) -> list[TensorSpec]:
    *inner, output = attention_maps("attn.attention.{}_proj", "attn.attention.out_proj")
    layer = [
        *linear_specs(("attention.norm", "D", "ln_1", None), bias=True),
        *linear_specs(*inner),
        *linear_specs(
            output,
            ("feedforward.norm", "D", "ln_2", None),
            ("feedforward.up", "F D", "mlp.c_fc", None),
            ("feedforward.down", "D F", "mlp.c_proj", None),
            bias=True,
        ),
    ]
    places = TensorSpec("position.weight", f"{config.sizes.context} D", "wpe.weight")
    return around(config.sizes.L, layer, "wte", "ln_f", "h.{}.", after_embedding=[places], gguf=False)


ARCHITECTURE = Architecture(
    name="gpt_neo",
    read_huggingface=from_huggingface,
    tensors=tensors,
    prefix="transformer.",
    defaults={
        "activation_function": "gelu_new",
        "attention_types": [[["global", "local"], 12]],
        "layer_norm_epsilon": 1e-5,
        "window_size": 256,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
    heads=OLDER_DECODER_HEADS,
    ignored=(
        Copy("h.*.attn.attention.bias", agrees=visible),
        Copy("h.*.attn.attention.masked_bias", agrees=hiding_number),
    ),
)
