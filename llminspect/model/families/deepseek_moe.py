"""DeepSeekMoE: Llama's layers, after the first ones mixtures of many small experts, and a few for every token.

Dai et al. 2024, "DeepSeekMoE: Towards Ultimate Expert Specialization in Mixture-of-Experts Language Models", section 3.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.only("scoring_func", "softmax")
    settings.only("moe_layer_freq", 1)
    settings.skip("aux_loss_alpha", "seq_aux")
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", settings.whole("n_routed_experts"))
    plain = mixtures.first_plain(settings, sizes.L)
    shared = settings.get("n_shared_experts")
    router = files.Experts(
        files.chosen_experts(settings, "num_experts_per_tok", sizes.X),
        among_chosen=settings.flag("norm_topk_prob"),
        plain_width=settings.whole("intermediate_size"),
        plain_layers=tuple(range(plain)),
        shared_width=None if shared is None else sizes.F * settings.whole("n_shared_experts"),
    )
    return files.from_huggingface(settings, sizes, experts=router, biased=files.attention_biases(settings))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    settings.only("rope.scaling.type", "none")
    factor = settings.number("expert_weights_scale", 1.0)
    return mixtures.from_gguf(settings, router={"among_chosen": False, "factor": factor})


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    before = [*files.NORMS_BEFORE, *files.attention_specs(config, permuted=True)]
    return files.around_layers(config, mixtures.layers(config, before, mixtures.grouped_specs(config, False)))


DEFAULTS = {"max_position_embeddings": 2048, "first_k_dense_replace": 0, "num_key_value_heads": 32}
ARCHITECTURE = files.family("deepseek", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS)
