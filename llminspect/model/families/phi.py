"""Phi 1 to 2: both steps of a layer read one layer norm, half of each head is turned, every map has a bias, also the
output matrix.

Gunasekar et al. 2023, "Textbooks Are All You Need", section 2.3; Li et al. 2023, "Textbooks Are All You Need II".
"""

from __future__ import annotations

from functools import partial

from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files

BIASED = (*files.ATTENTION, *files.UNGATED)


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    normed = settings.flag("qk_layernorm")
    return files.from_huggingface(settings, norm="layer", parallel=True, head_norms=normed, biased=BIASED)


from_gguf = partial(files.from_gguf, norm="layer", parallel=True, unit=Glu("gelu_tanh"), biased=BIASED)
HEAD_NORMS = files.linear_specs(
    ("attention.query.norm", "E", "self_attn.q_layernorm", None),
    ("attention.key.norm", "E", "self_attn.k_layernorm", None),
    bias=True,
)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    norms = files.linear_specs(("attention.norm", "D", "input_layernorm", "attn_norm"), bias=True)
    norms += files.if_there(config.head_norms, HEAD_NORMS)
    maps = files.attention_maps("self_attn.{}_proj", "self_attn.dense", files.IN_GGUF, keys="KE")
    attention = files.linear_specs(*maps, bias=True)
    final = files.linear_specs(("final.norm", "D", "final_layernorm", "output_norm"), bias=True)
    return [
        *files.around_layers(config, [*norms, *attention, *files.ungated_specs(config, "fc1", "fc2")], final),
        files.TensorSpec("unembedding.bias", "V", "lm_head.bias", "output.bias"),
    ]


DEFAULTS = {
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-5,
    "partial_rotary_factor": 0.5,
    "max_position_embeddings": 2048,
}
ARCHITECTURE = files.family("phi", from_huggingface, tensors, gguf="phi2", read_gguf=from_gguf, defaults=DEFAULTS)
