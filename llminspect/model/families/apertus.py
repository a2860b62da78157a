"""Apertus: Llama's layers with norms of queries and keys; a feed-forward step without a gate whose function is learned.

Swiss AI Initiative 2025, "Apertus: Democratizing Open and Compliant LLMs for Global Language Environments", section
2.1.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Any

from llminspect.core import feedforward
from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.only("hidden_act", "xielu")
    if settings.values.get("rope_parameters") is None and not settings.values.get("rope_scaling"):
        settings.only("rope_theta", DEFAULTS["rope_theta"])  # The rotation is that of the definition.
    return files.from_huggingface(settings, unit=Glu("xielu"), biased=files.attention_biases(settings))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """The numbers of the learned functions are settings there, one for all layers or one for each."""
    of_curves = {key: value for key, value in settings.metadata.items() if key.startswith("xielu.")}
    settings.values = {**settings.values, **of_curves}  # Without the family's name before them.
    found = files.from_gguf(settings, unit=Glu("xielu"))
    kinds = [_for_layers(settings, f"xielu.{stored}", found.sizes.L) for stored in CURVE.values()]
    return replace(found, curves=tuple(zip(*kinds, strict=True)))


def _for_layers(settings: files.Settings, key: str, layers: int) -> list[float]:
    stated = settings.need(key)
    found = stated if isinstance(stated, list) else [stated] * layers
    if len(found) != layers or not all(type(one) is float and isfinite(one) for one in found):
        raise settings.wrong(key, f"a number, or one for each of {layers} layers")
    return found


NORMS = files.linear_specs(
    ("attention.norm", "D", "attention_layernorm", "attn_norm"),
    ("feedforward.norm", "D", "feedforward_layernorm", "ffn_norm"),
)
CURVE = dict(zip(feedforward.CURVE, ("alpha_p", "alpha_n", "beta", "eps"), strict=True))


def as_one(array: files.Array, _: files.DecoderConfig) -> files.Array:
    """Two of the four have no axis in the file."""
    return array.reshape(1)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    curve = [
        files.TensorSpec(f"feedforward.curve.{name}", "1", f"mlp.act_fn.{stored}", None, as_one)
        for name, stored in CURVE.items()
    ]
    step = [*files.ungated_specs(config), *(curve if not config.curves else ())]
    layer = [*NORMS, *files.attention_specs(config), *files.HEAD_NORMS, *step]
    return [*files.around_layers(config, layer), *files.divisor_specs(config)]


DEFAULTS: dict[str, Any] = {
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 12_000_000.0,
        "factor": 8.0,
        "original_max_position_embeddings": 8192,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
    "hidden_act": "xielu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 12_000_000.0,
    "max_position_embeddings": 65_536,
    "pad_token_id": 3,
}
ARCHITECTURE = files.family("apertus", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS)
