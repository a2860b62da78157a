"""ERNIE 4.5: Llama's layers, neighbours turned together, biases everywhere or nowhere; the mixtures, whose router has a
bias for the choice alone.

Baidu ERNIE Team 2025, "ERNIE 4.5 Technical Report", section 2.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model.copies import Copy


def from_huggingface(settings: files.Settings, sizes: files.Sizes | None = None) -> files.DecoderConfig:
    biased = (*files.ATTENTION, *files.FEED_FORWARD) if settings.flag("use_bias") else ()
    return files.interleaved(files.from_huggingface(settings, sizes, biased=biased))


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    """The layers from one to another, each so many'th, are mixtures; −1 is the last."""
    settings.skip(*OF_TRAINING.split())
    settings.only("moe_gate", "topk")
    settings.only("moe_gate_act", "softmax")
    settings.only("moe_use_aux_free", True)
    settings.only("moe_norm_min", 1e-12)
    settings.only("use_bias", False)
    experts = settings.whole("moe_num_experts", settings.get("num_experts"))
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", experts)
    first, last, step = (_layer(settings, f"moe_layer_{key}") for key in ("start_index", "end_index", "interval"))
    mixed = range(first, sizes.L if last < 0 else last + 1)
    plain = tuple(index for index in range(sizes.L) if index not in mixed or (index + 1) % step)
    shared = _layer(settings, "moe_num_shared_experts")
    router = files.Experts(
        files.chosen_experts(settings, "moe_k", experts),
        plain_width=settings.whole("intermediate_size"),
        plain_layers=plain,
        shared_width=shared * sizes.F or None,
    )
    return replace(from_huggingface(settings, sizes), experts=router)


def _layer(settings: files.Settings, key: str) -> int:
    least = {"moe_layer_end_index": -1, "moe_layer_interval": 1}.get(key, 0)
    return settings.between(key, least, MOST, f"a whole number from {least} to {MOST}", settings.need(key))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """Of a PaddleOCR-VL the text part, whose numbers are not turned by neighbours."""
    if settings.metadata.get("general.architecture") == "paddleocr":
        settings.skip("rope.dimension_sections")
        return files.from_gguf(settings)
    return files.interleaved(files.from_gguf(settings))


def mixture_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    settings.only("interleave_moe_layer_step", 1)
    settings.skip("expert_shared_feed_forward_length")  # The converter divides the wrong width by the wrong number.
    return files.interleaved(mixtures.from_gguf(settings))


def mixture_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    mixture = [
        *files.expert_specs(config.sizes.X, "mlp.gate", "mlp.experts.{}"),
        replace(mixtures.choice_spec(f"mlp.{BIAS}"), huggingface_fix=files.flat),
        *mixtures.shared_specs(config, "mlp.shared_experts"),
    ]
    before = [*files.NORMS_BEFORE, *files.attention_specs(config)]
    return files.around_layers(config, mixtures.layers(config, before, mixture))


MOST = 4096
OF_TRAINING = """
    moe_capacity moe_multimodal_dispatch_use_allgather moe_orthogonal_loss_lambda moe_use_hard_gate
    moe_layer_feed_fused_ffn moe_aux_loss_lambda moe_z_loss_lambda compression_ratio num_nextn_predict_layers
"""
COMMON = {
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "tie_word_embeddings": True,
    "max_position_embeddings": 131_072,
    "pad_token_id": 0,
}
BIAS = "moe_statics.e_score_correction_bias"
MIXTURE = {
    "num_key_value_heads": 4,
    "moe_k": 6,
    "moe_num_experts": 64,
    "moe_num_shared_experts": 2,
    "moe_layer_start_index": 1,
    "moe_layer_end_index": -1,
    "moe_layer_interval": 1,
}
ARCHITECTURES = (
    files.family(
        "ernie4_5",
        from_huggingface,
        gguf=("ernie4_5", "paddleocr"),
        read_gguf=from_gguf,
        defaults={**COMMON, "head_dim": 128, "num_key_value_heads": 2},
    ),
    files.family(
        "ernie4_5_moe",
        mixture_from_huggingface,
        mixture_tensors,
        gguf="ernie4_5-moe",
        read_gguf=mixture_from_gguf,
        ignored=(Copy("mtp_*"),),  # What guesses further tokens ahead, and is not run.
        defaults={**COMMON, **MIXTURE},
        spellings=((f".mlp.gate.{BIAS}", f".mlp.{BIAS}"),),
    ),
)
