"""InternLM 2 and 2.5: Llama's layers by other names; queries, keys and values in one matrix, group by group.

Cai et al. 2024, "InternLM2 Technical Report", section 2.2.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llminspect.model import decoder_files as files
from llminspect.model.families.falcon import part_of_groups

NAMES = {
    "embed_tokens": "tok_embeddings",
    "lm_head": "output",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn": "attention",
    "q_proj": "wqkv",
    "k_proj": "wqkv",
    "v_proj": "wqkv",
    "o_proj": "wo",
    "mlp": "feed_forward",
    "gate_proj": "w1",
    "up_proj": "w3",
    "down_proj": "w2",
}
"""Parts of a tensor's name in Llama's files, and what they are here."""


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    found = [files.renamed(spec, NAMES) for spec in files.plain_tensors(config, permuted=True)]
    parts = {name: part_of_groups(name) for name in ("query", "key", "value")}
    cut = {spec.name: parts.get(spec.name.split(".")[-2]) for spec in found}
    return [replace(spec, huggingface_fix=cut[spec.name]) for spec in found]


DEFAULTS = {"bias": True, "max_position_embeddings": 2048, "pad_token_id": 2}
from_huggingface = partial(files.from_huggingface, biased=partial(files.attention_biases, key="bias"))
ARCHITECTURE = files.family("internlm2", from_huggingface, tensors, read_gguf=files.from_gguf, defaults=DEFAULTS)
