"""StableLM: layer norms, a quarter of each head turned; perhaps a norm for each head's queries and keys, and both steps
of a layer side by side (StableLM 2 12B).

Bellagente et al. 2024, "Stable LM 2 1.6B Technical Report", section 2.2.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    biased = files.inner_biases(settings, "use_qkv_bias")
    return files.from_huggingface(
        settings,
        norm="layer",
        parallel=settings.flag("use_parallel_residual"),
        head_norms=settings.flag("qk_layernorm"),
        biased=biased,
    )


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    parallel = settings.flag("use_parallel_residual")
    return files.from_gguf(settings, norm="layer", parallel=parallel, head_norms=None)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    # Side by side they read one norm.
    norms = [spec for spec in files.BIASED_NORMS_BEFORE if not (config.parallel and "feedforward" in spec.name)]
    norms += files.if_there(config.head_norms, _head_norms(config))
    layer = [*norms, *files.attention_specs(config), *files.feed_forward_specs(config)]
    return files.around_layers(config, layer, final=files.BIASED_FINAL_NORM)


def _head_norms(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return [
        files.TensorSpec(
            f"attention.{part}.norm.weight",
            f"{letter} E",
            tuple(f"self_attn.{part[0]}_layernorm.norms.{head}.weight" for head in range(heads)),
            f"attn_{part[0]}_norm.weight",
        )
        for part, letter, heads in (("query", "H", config.sizes.H), ("key", "K", config.sizes.K))
    ]


DEFAULTS = {
    "num_key_value_heads": 32,
    "layer_norm_eps": 1e-5,
    "partial_rotary_factor": 0.25,
    "max_position_embeddings": 4096,
}
ARCHITECTURE = files.family("stablelm", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS)
