"""Arcee's AFM: Llama's layers with a feed-forward step that has no gate and squares what is above nought.

Arcee AI 2025, "AFM-4.5B" (model card).
"""

from __future__ import annotations

from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    biased = files.attention_biases(settings) + files.feed_forward_biases(settings)
    return files.from_huggingface(settings, biased=biased)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return files.from_gguf(settings, unit=Glu("relu_squared"))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.NORMS_BEFORE, *files.attention_specs(config, permuted=True), *files.ungated_specs(config)]
    return [*files.around_layers(config, layer), *files.divisor_specs(config)]


DEFAULTS = {"hidden_act": "relu2", "rms_norm_eps": 1e-5, "max_position_embeddings": 4096}
ARCHITECTURES = (
    files.family("arcee", from_huggingface, tensors, gguf="arcee", read_gguf=from_gguf, defaults=DEFAULTS),
)
