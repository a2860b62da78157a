"""Nemotron 4 and Minitron: layer norms that hold their weight - 1, half of each head turned, squared ReLU, no gate.

Parmar et al. 2024, "Nemotron-4 15B Technical Report", section 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files
from llminspect.model.spec import plus_one


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    settings.skip("attention.layer_norm_rms_epsilon")  # The same number, written for norms that there are not.
    return files.from_gguf(settings, norm="layer", unit=Glu("relu_squared"))


def _plus_one(norms: Iterable[files.TensorSpec]) -> list[files.TensorSpec]:
    """GGUF files hold the weights themselves."""
    return [replace(spec, huggingface_fix=plus_one) if spec.name.endswith("weight") else spec for spec in norms]


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    norms = _plus_one(files.BIASED_NORMS_BEFORE)
    layer = [*norms, *files.attention_specs(config), *files.ungated_specs(config)]
    return files.around_layers(config, layer, final=_plus_one(files.BIASED_FINAL_NORM))


DEFAULTS = {"hidden_act": "relu2", "norm_eps": 1e-5, "partial_rotary_factor": 0.5, "max_position_embeddings": 4096}
from_huggingface = partial(files.from_huggingface, epsilon="norm_eps", norm="layer", biased=files.all_biases)
ARCHITECTURE = files.family("nemotron", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS)
