"""Hunyuan, the dense models: norms of queries and keys after they were turned; the rotation's base stretched once.

Tencent Hunyuan Team 2025, "Hunyuan-7B" (model card).
"""

from __future__ import annotations

from llminspect.core.rotary import Rotary
from llminspect.model import decoder_files as files
from llminspect.model import rotary_files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_huggingface(settings)
    settings.skip("eod_token_id", "org_vocab_size", "attention_head_dim")
    biased = files.attention_biases(settings)
    return files.from_huggingface(settings, sizes, rotary=_rotary(settings, sizes), biased=biased)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    settings.only("rope.scaling.type", "none")  # The base that is stated is the stretched one.
    settings.only("rope.scaling.factor", 1.0)
    settings.skip("rope.scaling.original_context_length")
    return files.from_gguf(settings)


def _rotary(settings: files.Settings, sizes: files.Sizes) -> Rotary:
    """A "dynamic" scaling with an `alpha` is none that grows: the base is multiplied by alpha^(E / (E − 2))."""
    key = next((key for key in ("rope_scaling", "rope_parameters") if settings.get(key) is not None), None)
    inner = None if key is None else settings.under(key)
    if inner is None or inner.get("rope_type", inner.get("type")) != "dynamic" or not inner.get("alpha"):
        return rotary_files.from_huggingface(settings, sizes.E, sizes.context)
    base = inner.number("rope_theta", settings.number("rope_theta"))
    inner.skip("factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim")  # Of no use to this kind of scaling.
    inner.done()
    return Rotary(sizes.E, base * inner.number("alpha") ** (sizes.E / (sizes.E - 2)))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    norms = files.linear_specs(
        ("attention.query.norm_after", "E", "self_attn.query_layernorm", "attn_q_norm"),
        ("attention.key.norm_after", "E", "self_attn.key_layernorm", "attn_k_norm"),
    )
    layer = [*files.NORMS_BEFORE, *files.attention_specs(config), *norms, *files.feed_forward_specs(config)]
    return files.around_layers(config, layer)


DEFAULTS = {"rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "pad_token_id": 0}
ARCHITECTURES = (
    files.family(
        "hunyuan_v1_dense",
        from_huggingface,
        tensors,
        gguf="hunyuan-dense",
        read_gguf=from_gguf,
        defaults=DEFAULTS,
    ),
)
