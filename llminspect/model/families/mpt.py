"""MPT: no positions but a penalty on the scores that grows with the distance (ALiBi), no biases, not even in the norms.

MosaicML 2023, "Introducing MPT-7B"; Press et al. 2022, "Train Short, Test Long", section 3.
"""

from __future__ import annotations

from llminspect.core.dataclass import dataclass
from llminspect.model.config import GGUF, OlderConfig, read_sizes
from llminspect.model.families.gpt_neox import fused_by_heads, third
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, around, linear_specs


@dataclass(frozen=True, kw_only=True)
class MptConfig(OlderConfig):
    stated = "sizes norm_epsilon scale clip tied activation causal"
    alibi: bool = True
    activation: str = "gelu"


def from_huggingface(settings: Settings) -> MptConfig:
    width = settings.whole("d_model")
    keys = {"L": "n_layers", "D": "d_model", "H": "n_heads", "context": "max_seq_len"}
    sizes = read_sizes(settings, keys, F=4 * width)
    if sizes.context == 1:  # The reference's table of penalties, of one number, would be spread over any text.
        raise settings.wrong("max_seq_len", "a whole number above 1")
    for key, value in (("expansion_ratio", 4), ("no_bias", True), ("logit_scale", None)):
        settings.only(key, value)
    settings.skip("learned_pos_emb", "embedding_fraction", "init_device", "emb_pdrop", "resid_pdrop", "verbose")
    settings.skip("norm_type", "init_config", "tokenizer_name")
    scale, clip = sizes.E**-0.5, None
    if settings.get("attn_config") is not None:
        attention = settings.under("attn_config")
        attention.defaults = {}
        if attention.get("softmax_scale") is not None:
            scale = attention.number("softmax_scale")
        clip = attention.perhaps("clip_qkv")
        # The reference implementation computes these ways only, whatever is written.
        attention.only("attn_type", "multihead_attention")
        for key, value in (("alibi", True), ("alibi_bias_max", 8), ("qk_ln", False), ("prefix_lm", False)):
            attention.only(key, value)
        attention.skip("attn_impl", "attn_pdrop", "attn_uses_sequence_id", "model_type")
        attention.done()
    return MptConfig(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        scale=scale,
        clip=clip,
        tied=settings.flag("tie_word_embeddings"),
        causal=settings.flag("is_causal", True),
    )


def from_gguf(settings: Settings) -> MptConfig:
    sizes = read_sizes(settings, GGUF)
    settings.only("attention.head_count_kv", sizes.H)
    settings.only("attention.max_alibi_bias", 8.0)
    epsilon, clip = settings.number("attention.layer_norm_epsilon"), settings.perhaps("attention.clamp_kqv")
    return MptConfig(sizes=sizes, norm_epsilon=epsilon, scale=sizes.E**-0.5, clip=clip)


def tensors(config: MptConfig) -> list[TensorSpec]:
    layer = linear_specs(
        ("attention.norm", "D", "norm_1", "attn_norm"), ("feedforward.norm", "D", "norm_2", "ffn_norm")
    )
    layer += fused_by_heads("attn.Wqkv", "attn_qkv", bias=False, fix=third)
    layer += linear_specs(
        ("attention.output", "D HE", "attn.out_proj", "attn_output"),
        ("feedforward.up", "F D", "ffn.up_proj", "ffn_up"),
        ("feedforward.down", "D F", "ffn.down_proj", "ffn_down"),
    )
    return around(config.sizes.L, layer, "wte", "norm_f", "blocks.{}.", bias=False)


ARCHITECTURE = Architecture(
    name="mpt",
    read_huggingface=from_huggingface,
    tensors=tensors,
    gguf_names=("mpt",),
    read_gguf=from_gguf,
    prefix="transformer.",
    defaults={"layer_norm_epsilon": 1e-5, "max_seq_len": 2048, "tie_word_embeddings": True},
    heads=OLDER_DECODER_HEADS,
)
