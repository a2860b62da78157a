"""GLM 4: half of each head is turned, neighbours together; gate and up in one matrix. The later versions (0414) norm
what each step adds as well.

GLM Team 2024, "ChatGLM: A Family of Large Language Models from GLM-130B to GLM-4 All Tools", section 2.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files
from llminspect.model.families.phi3 import GATE_UP
from llminspect.model.families.qwen import without_places


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    return files.interleaved(files.from_huggingface(settings, biased=files.inner_biases))


def vision_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    """The text part of one that sees pictures: a text has its places in one row, as any other."""
    without_places(settings)
    return files.interleaved(files.from_huggingface(settings, biased=files.QUERY_KEY_VALUE))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return files.interleaved(files.from_gguf(settings))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return files.around_layers(config, [*files.NORMS_BEFORE, *_layer(config)])


def later_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    norms_after = files.linear_specs(
        ("attention.norm_after", "D", "post_self_attn_layernorm", "post_attention_norm"),
        ("feedforward.norm_after", "D", "post_mlp_layernorm", "post_ffw_norm"),
    )
    return files.around_layers(config, [*files.NORMS_BEFORE, *norms_after, *_layer(config)])


def _layer(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return [
        *files.attention_specs(config),
        *files.fused_specs(GATE_UP, "mlp.gate_up_proj", "ffn_up"),
        *files.linear_specs(("feedforward.down", "D F", "mlp.down_proj", "ffn_down")),
    ]


DEFAULTS = {
    "attention_bias": True,
    "head_dim": 128,
    "num_key_value_heads": 2,
    "partial_rotary_factor": 0.5,
    "rms_norm_eps": 1.5625e-7,
    "max_position_embeddings": 131_072,
    "pad_token_id": 151_329,
}
VISION = {
    "partial_rotary_factor": 1.0,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 32_768,
}
ARCHITECTURES = (
    files.family("glm4v_text", vision_from_huggingface, later_tensors, defaults=VISION),
    files.family("glm", from_huggingface, tensors, gguf="chatglm", read_gguf=from_gguf, defaults=DEFAULTS),
    files.family("glm4", from_huggingface, later_tensors, read_gguf=from_gguf, defaults=DEFAULTS),
)
