"""BLOOM: no positions but a penalty on the scores that grows with the distance (ALiBi), the embedding normed.

BigScience Workshop 2022, "BLOOM: A 176B-Parameter Open-Access Multilingual Language Model", section 3.2; Press et al.
2022, "Train Short, Test Long", section 3.
"""

from __future__ import annotations

from llminspect.core.dataclass import dataclass
from llminspect.model.config import GGUF, OlderConfig, read_sizes
from llminspect.model.families.gpt_neox import fused_by_heads
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, around, linear_specs


@dataclass(frozen=True, kw_only=True)
class BloomConfig(OlderConfig):
    stated = "sizes norm_epsilon tied activation causal"
    alibi: bool = True
    activation: str = "gelu_tanh"


def from_huggingface(settings: Settings) -> BloomConfig:
    width = settings.whole("n_embed", settings.get("hidden_size"))
    settings.only("hidden_size", width)
    heads = {"H": "num_attention_heads" if settings.get("num_attention_heads") is not None else "n_head"}
    layers = {"L": "num_hidden_layers" if settings.get("num_hidden_layers") is not None else "n_layer"}
    # No length is built in: this is that of the texts in training.
    sizes = read_sizes(settings, heads | layers, D=width, F=4 * width, context=2048)
    settings.only("apply_residual_connection_post_layernorm", False)
    settings.skip("attention_softmax_in_fp32", "masked_softmax_fusion", "slow_but_exact", "unk_token_id", "n_inner")
    settings.skip("offset_alibi", "skip_bias_add", "skip_bias_add_qkv", "bias_dropout_fusion")
    return BloomConfig(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        tied=settings.flag("tie_word_embeddings"),
        causal=settings.flag("is_causal", True),
    )


def from_gguf(settings: Settings) -> BloomConfig:
    sizes = read_sizes(settings, GGUF)
    settings.only("attention.head_count_kv", sizes.H)
    return BloomConfig(sizes=sizes, norm_epsilon=settings.number("attention.layer_norm_epsilon"))


def tensors(config: BloomConfig) -> list[TensorSpec]:
    layer = linear_specs(("attention.norm", "D", "input_layernorm", "attn_norm"), bias=True)
    layer += fused_by_heads("self_attention.query_key_value", "attn_qkv", bias=True)
    layer += linear_specs(
        ("attention.output", "D HE", "self_attention.dense", "attn_output"),
        ("feedforward.norm", "D", "post_attention_layernorm", "ffn_norm"),
        ("feedforward.up", "F D", "mlp.dense_h_to_4h", "ffn_up"),
        ("feedforward.down", "D F", "mlp.dense_4h_to_h", "ffn_down"),
        bias=True,
    )
    embedded = ("embedding.norm", "D", "word_embeddings_layernorm", "token_embd_norm")
    before = linear_specs(embedded, bias=True)
    return around(config.sizes.L, layer, "word_embeddings", "ln_f", "h.{}.", after_embedding=before)


ARCHITECTURE = Architecture(
    name="bloom",
    read_huggingface=from_huggingface,
    tensors=tensors,
    gguf_names=("bloom",),
    read_gguf=from_gguf,
    prefix="transformer.",
    defaults={"layer_norm_epsilon": 1e-5, "tie_word_embeddings": True},
    heads=OLDER_DECODER_HEADS,
)
