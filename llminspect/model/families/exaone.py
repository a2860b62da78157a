"""EXAONE 3 and 3.5: Llama's layers by other names.

LG AI Research 2024, "EXAONE 3.5: Series of Large Language Models for Real-world Use Cases", section 2.1.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files
from llminspect.model.settings import ACTIVATIONS

NAMES = {
    "embed_tokens": "wte",
    "norm": "ln_f",
    "layers": "h",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "self_attn": "attn.attention",
    "o_proj": "out_proj",
    "gate_proj": "c_fc_0",
    "up_proj": "c_fc_1",
    "down_proj": "c_proj",
}
"""Parts of a tensor's name in Llama's files, and what they are here."""


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    unit = files.Glu(settings.one_of("activation_function", ACTIVATIONS))
    settings.values = {**settings.values, "num_hidden_layers": settings.whole("num_layers")}
    return files.from_huggingface(settings, unit=unit, epsilon="layer_norm_epsilon")


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return [files.renamed(spec, NAMES) for spec in files.plain_tensors(config)]


DEFAULTS = {"activation_function": "silu", "layer_norm_epsilon": 1e-5, "max_position_embeddings": 2048}
ARCHITECTURE = files.family(
    "exaone", from_huggingface, tensors, read_gguf=files.from_gguf, defaults=DEFAULTS, prefix="transformer."
)
