"""Command R: both steps of a layer read one layer norm without bias, neighbours are turned together, the logits are
scaled. Its second kind has windows, and turns queries and keys only in the layers that have one.

Cohere 2024, "Command R" (model card); Cohere 2025, "Command A", section 2 (interleaved sliding windows).
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    found = files.from_huggingface(
        settings,
        norm="layer",
        parallel=True,
        logit_scale=settings.number("logit_scale"),
        biased=files.attention_biases(settings),
    )
    return files.interleaved(replace(found, head_norms=settings.flag("use_qk_norm")))


def second_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.only("head_dim", settings.whole("hidden_size") // settings.whole("num_attention_heads"))
    pattern = settings.whole("sliding_window_pattern", settings.whole("_sliding_window_pattern", 4))
    found = files.with_windows(from_huggingface(settings), settings, lambda index: (index + 1) % pattern != 0)
    settings.only("cache_implementation", "hybrid")
    settings.only("order_of_interleaved_layers", "local_attn_first")
    settings.only("position_embedding_type", "rope_gptj")
    settings.only("rotary_pct", 1.0)
    for key in ("use_parallel_block", "use_gated_activation", "use_embedding_sharing"):
        settings.only(key, True)
    settings.only("layer_switch", pattern)
    settings.skip("use_parallel_embedding")  # How the embedding is laid over several machines.
    return files.turned_in_windows(found)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    found = files.from_gguf(
        settings, norm="layer", parallel=True, logit_scale=settings.number("logit_scale"), head_norms=None
    )
    return files.interleaved(found)


def second_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return files.turned_in_windows(files.with_windows_of_gguf(from_gguf(settings), settings, 4))


NORM = files.linear_specs(("attention.norm", "D", "input_layernorm", "attn_norm"))
HEAD_NORMS = files.linear_specs(
    ("attention.query.norm", "H E", "self_attn.q_norm", "attn_q_norm"),
    ("attention.key.norm", "K E", "self_attn.k_norm", "attn_k_norm"),
)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    norms = [*NORM, *files.if_there(config.head_norms, HEAD_NORMS)]
    return files.around_layers(config, [*norms, *files.attention_specs(config), *files.feed_forward_specs(config)])


DEFAULTS = {
    "layer_norm_eps": 1e-5,
    "logit_scale": 0.0625,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
    "rope_theta": 500_000.0,
    "pad_token_id": 0,
}
ARCHITECTURES = (
    files.family("cohere", from_huggingface, tensors, gguf="command-r", read_gguf=from_gguf, defaults=DEFAULTS),
    files.family(
        "cohere2",
        second_from_huggingface,
        tensors,
        read_gguf=second_from_gguf,
        defaults=DEFAULTS | {"rope_theta": 10_000.0, "sliding_window": 4096},
    ),
)
