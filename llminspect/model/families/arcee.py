"""Arcee's AFM: Llama's layers with a feed-forward step that has no gate and squares what is above 0; Jais 2, the
same with layer norms and biases.

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


def jais_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    biased = files.attention_biases(settings) + files.feed_forward_biases(settings)
    return files.from_huggingface(settings, epsilon="layer_norm_eps", norm="layer", biased=biased)


def jais_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    epsilon = "attention.layer_norm_epsilon"
    return files.from_gguf(settings, epsilon=epsilon, norm="layer", unit=Glu("relu_squared"))


def jais_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.BIASED_NORMS_BEFORE, *files.attention_specs(config), *files.ungated_specs(config)]
    return files.around_layers(config, layer, final=files.BIASED_FINAL_NORM)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.NORMS_BEFORE, *files.attention_specs(config, permuted=True), *files.ungated_specs(config)]
    return [*files.around_layers(config, layer), *files.divisor_specs(config)]


DEFAULTS = {"hidden_act": "relu2", "rms_norm_eps": 1e-5, "max_position_embeddings": 4096}
JAIS = {
    "hidden_act": "relu2",
    "layer_norm_eps": 1e-5,
    "attention_bias": True,
    "mlp_bias": True,
    "max_position_embeddings": 8192,
}
ARCHITECTURES = (
    files.family("jais2", jais_from_huggingface, jais_tensors, read_gguf=jais_from_gguf, defaults=JAIS),
    files.family("arcee", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS),
)
