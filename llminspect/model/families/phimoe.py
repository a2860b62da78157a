"""Phi-3.5-MoE: Llama's layers with layer norms and biases, and sixteen experts of which two are chosen one after the
other, each by a softmax over those whose score comes near the best.

Abdin et al. 2024, "Phi-3 Technical Report", section 2; Liu et al. 2024, "GRIN: GRadient-INformed MoE", section 2.2.
"""

from __future__ import annotations

from typing import Any

from llminspect.model import decoder_files as files
from llminspect.model.families.phi3 import completed


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.skip("input_jitter_noise", "original_max_position_embeddings")
    settings.only("num_experts_per_tok", 2)  # The reference implementation takes two, whatever this says.
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_local_experts"))
    if sizes.X < 2:
        raise settings.wrong("num_local_experts", "two or more, as two work on each token")
    _one_gain(settings)
    biased = files.attention_biases(settings) + (("unembedding",) if settings.flag("lm_head_bias") else ())
    router = files.Experts(2, among_chosen=False, kind="nearest", near=_near(settings))
    found = files.from_huggingface(settings, sizes, norm="layer", epsilon="rms_norm_eps", biased=biased, experts=router)
    return files.with_windows(found, settings)


def _near(settings: files.Settings) -> float:
    """Twice the noise that was on the router's scores in training; a setting that other families make no use of."""
    noise = settings.get("router_jitter_noise")
    if isinstance(noise, bool) or not isinstance(noise, int | float) or not 0 <= noise <= 1:
        raise settings.wrong("router_jitter_noise", "a number from 0 to 1")
    return 2.0 * noise


def _one_gain(settings: files.Settings) -> None:
    """The rotation's gain is stated twice, for short texts and for long ones; the published models have the same."""
    for key in ("rope_scaling", "rope_parameters"):
        stated = settings.values.get(key)
        if isinstance(stated, dict) and "short_mscale" in stated:
            if stated.get("long_mscale") != stated["short_mscale"]:
                raise settings.wrong(key, "the same short_mscale and long_mscale")
            kept = {name: value for name, value in stated.items() if not name.endswith("_mscale")}
            kept["attention_factor"] = stated["short_mscale"]
            settings.values = {**settings.values, key: kept}


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """The norms have biases, though the file states the key of RMS norms; of the noise in training it says nothing."""
    settings.only("expert_used_count", 2)
    sizes = files.sizes_from_gguf(settings, settings.whole("expert_count"))
    near = 2.0 * DEFAULTS["router_jitter_noise"]
    router = files.Experts(2, among_chosen=False, kind="nearest", near=near)
    biased = (*files.ATTENTION, "unembedding")
    return completed(
        settings,
        files.from_gguf(
            settings, sizes, norm="layer", epsilon="attention.layer_norm_rms_epsilon", biased=biased, experts=router
        ),
    )


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    block = "block_sparse_moe"
    layer = [
        *files.BIASED_NORMS_BEFORE,
        *files.attention_specs(config),
        *files.expert_specs(config.sizes.X, f"{block}.gate", f"{block}.experts.{{}}", ("w1", "w3", "w2")),
    ]
    found = files.around_layers(config, layer, files.BIASED_FINAL_NORM)
    if config.biased and "unembedding" in config.biased:
        found.append(files.TensorSpec("unembedding.bias", "V", "lm_head.bias", "output.bias"))
    return [*found, *files.long_and_short_divisor_specs(config)]


DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": 8,
    "num_experts_per_tok": 2,
    "num_local_experts": 16,
    "router_jitter_noise": 0.01,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 131_072,
}
ARCHITECTURE = files.family(
    "phimoe",
    from_huggingface,
    tensors,
    read_gguf=from_gguf,
    defaults=DEFAULTS,
    spellings=(*files.in_one("block_sparse_moe"), (".mlp.router.weight", ".block_sparse_moe.gate.weight")),
)
