"""Hunyuan: norms of queries and keys after they were turned; the rotation's base stretched once; the mixture, with an
expert for every token.

Tencent Hunyuan Team 2025, "Hunyuan-7B" (model card).
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.rotary import Rotary
from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model import rotary_files


def from_huggingface(settings: files.Settings, sizes: files.Sizes | None = None) -> files.DecoderConfig:
    sizes = sizes or files.sizes_from_huggingface(settings)
    settings.skip("eod_token_id", "org_vocab_size", "attention_head_dim")
    biased = files.attention_biases(settings)
    return files.from_huggingface(settings, sizes, rotary=_rotary(settings, sizes), biased=biased)


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    """The reference implementation looks at none of the settings in ONLY; other values would be another model."""
    settings.skip(*OF_OTHER_PARTS.split())
    for key, value in ONLY.items():
        settings.only(key, value)
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_experts", 1))
    for key, needed in (("moe_intermediate_size", sizes.F), ("num_shared_expert", 1)):
        if mixtures.same_in_all(settings, key, sizes.L, needed) != needed:
            raise settings.wrong(key, str(needed))
    chosen = mixtures.same_in_all(settings, "moe_topk", sizes.L)
    if chosen > sizes.X:
        raise settings.wrong("moe_topk", f"at most {sizes.X}, as many experts as there are")
    return replace(from_huggingface(settings, sizes), experts=files.Experts(chosen, shared_width=sizes.F))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """Of a Hunyuan-VL the text part, whose base is stated as it was before it was stretched."""
    _stretched(settings)
    settings.skip("rope.dimension_sections")
    found = files.from_gguf(settings)
    if settings.get("rope.scaling.alpha") is None:
        return found
    width = found.sizes.E
    base = found.rotary.base * settings.number("rope.scaling.alpha") ** (width / (width - 2))
    return replace(found, rotary=replace(found.rotary, base=base))


def mixture_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    _stretched(settings)
    settings.skip("expert_shared_count")
    shared = settings.whole("expert_shared_feed_forward_length")
    return mixtures.from_gguf(settings, router={"shared_width": shared})


def _stretched(settings: files.Settings) -> None:
    settings.only("rope.scaling.type", "none")  # The base that is stated is the stretched one.
    settings.only("rope.scaling.factor", 1.0)
    settings.skip("rope.scaling.original_context_length")


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
    return files.around_layers(config, [*_before(config), *files.feed_forward_specs(config)])


def mixture_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    experts = files.expert_specs(config.sizes.X, "mlp.gate.wg", "mlp.experts.{}")
    return files.around_layers(config, [*_before(config), *experts, *mixtures.shared_specs(config, "mlp.shared_mlp")])


def _before(config: files.DecoderConfig) -> list[files.TensorSpec]:
    norms = files.linear_specs(
        ("attention.query.norm_after", "E", "self_attn.query_layernorm", "attn_q_norm"),
        ("attention.key.norm_after", "E", "self_attn.key_layernorm", "attn_k_norm"),
    )
    return [*files.NORMS_BEFORE, *files.attention_specs(config), *norms]


ONLY = {
    "use_mixed_mlp_moe": True,
    "use_qk_norm": True,
    "use_rotary_pos_emb": True,
    "norm_topk_prob": True,
    "use_cla": False,
    "use_mla": False,
    "group_limited_greedy": False,
    "moe_drop_tokens": False,
    "add_classification_head": False,
    "mlp_bias": False,
    "position_embedding_xdrope": False,
    "moe_layer_num_skipped": 0,
    "routed_scaling_factor": 1.0,
}
OF_OTHER_PARTS = """
    norm_type cla_share_factor class_num dense_list pool_type pad_id mask_init_id text_start_id text_end_id
    im_start_id im_end_id moe_random_routing_dropped_token n_group topk_group kv_lora_rank q_lora_rank
    qk_nope_head_dim qk_rope_head_dim v_head_dim capacity_factor skip_cls_token enable_lm_head_fp32
    num_nextn_predict_layers
"""
DEFAULTS = {"rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "pad_token_id": 0}
ARCHITECTURES = (
    files.family(
        "hunyuan_v1_dense",
        from_huggingface,
        tensors,
        gguf=("hunyuan-dense", "hunyuan_vl"),
        read_gguf=from_gguf,
        defaults=DEFAULTS,
    ),
    files.family(
        "hunyuan_v1_moe",
        mixture_from_huggingface,
        mixture_tensors,
        gguf="hunyuan-moe",
        read_gguf=mixture_from_gguf,
        defaults={**DEFAULTS, "num_experts": 1, "moe_topk": 1},
    ),
)
