"""Arcee's AFM: Llama's layers with a feed-forward step that has no gate and squares what is above 0; Jais 2, the
same with layer norms and biases.

Arcee AI 2025, "AFM-4.5B" (model card).
"""

from __future__ import annotations

from functools import partial

from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files

SQUARED = Glu("relu_squared")


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
    files.family(
        "jais2",
        partial(files.from_huggingface, norm="layer", biased=files.all_biases),
        jais_tensors,
        read_gguf=partial(files.from_gguf, norm="layer", unit=SQUARED),
        defaults=JAIS,
    ),
    files.family(
        "arcee",
        partial(files.from_huggingface, biased=files.all_biases),
        tensors,
        read_gguf=partial(files.from_gguf, unit=SQUARED),
        defaults=DEFAULTS,
    ),
)
