"""OLMo and its mixtures: norms without weights in the first; from the second on norms after each step, and of queries
and keys over all heads at once; a window on three layers of four in the third, whose slowed rotation is that of the
fourth alone.

Groeneveld et al. 2024, "OLMo", section 2.1; OLMo Team 2025, "2 OLMo 2 Furious", section 3.1; Olmo Team 2025, "Olmo 3",
section 3.1.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llminspect.core.rotary import Rotary
from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model import rotary_files


def first_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.only("layer_norm_eps", 1e-5)  # Not a key that the reference implementation reads.
    return files.from_huggingface(
        settings, norm="layer", weightless_norms=True, clip=settings.perhaps("clip_qkv"), biased=files.attention_biases
    )


def third_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_huggingface(settings)
    if settings.get("rope_parameters") is not None:
        local, everywhere = rotary_files.two_rotations(settings, sizes.E, sizes.context)
    else:  # The versions of the reference implementation read another base differently.
        settings.only("rope_theta", 500_000.0)
        everywhere = rotary_files.from_huggingface(settings, sizes.E, sizes.context)
        local = Rotary(everywhere.width, everywhere.base)
    found = files.from_huggingface(settings, sizes, rotary=everywhere, biased=files.attention_biases(settings))
    return files.with_windows(replace(found, local_rotary=local), settings, lambda index: (index + 1) % 4 != 0)


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    """Where one clips queries and keys, after their norms, it is refused: no published model does."""
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_experts", settings.get(OLDER_COUNT)))
    chosen = files.chosen_experts(settings, "num_experts_per_tok", sizes.X)
    experts = files.Experts(chosen, among_chosen=settings.flag("norm_topk_prob"))
    return files.from_huggingface(settings, sizes, biased=files.attention_biases(settings), experts=experts)


def first_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    clip = settings.perhaps("attention.clamp_kqv")
    return files.from_gguf(settings, norm="layer", weightless_norms=True, clip=clip, biased=())


def later_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """One name for the second and the third, which has windows."""
    found = files.with_windows_of_gguf(files.from_gguf(settings, biased=()), settings, 4)
    if not found.windowed:
        return found
    return replace(
        found, local_rotary=Rotary(found.rotary.width, settings.number("rope.freq_base_swa", found.rotary.base))
    )


def first_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.attention_specs(config, permuted=True), *files.feed_forward_specs(config)]
    return files.around_layers(config, layer, final=())


WHOLE_NORMS = files.linear_specs(
    ("attention.query.norm", "HE", "self_attn.q_norm", "attn_q_norm"),
    ("attention.key.norm", "KE", "self_attn.k_norm", "attn_k_norm"),
)
"""Of queries and keys over all heads at once."""
NORMS_AFTER = files.linear_specs(files.AROUND[1], files.AROUND[3])


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.attention_specs(config), *WHOLE_NORMS, *NORMS_AFTER, *files.feed_forward_specs(config)]
    return files.around_layers(config, layer)


def mixture_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    before = [*files.NORMS_BEFORE, *files.attention_specs(config), *WHOLE_NORMS]
    return files.around_layers(config, [*before, *files.expert_specs(config.sizes.X, "mlp.gate", "mlp.experts.{}")])


def flexible_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    before = [*files.attention_specs(config), *WHOLE_NORMS, *NORMS_AFTER]
    return files.around_layers(config, [*before, *files.expert_specs(config.sizes.X, "mlp.gate", "mlp.experts.{}")])


second_from_huggingface = partial(files.from_huggingface, biased=files.attention_biases)
mixture_from_gguf = partial(mixtures.from_gguf, router={"among_chosen": False}, biased=())
OLDER_COUNT = "num_local_experts"
FIRST = {"layer_norm_eps": 1e-5, "max_position_embeddings": 2048, "pad_token_id": 1}
SECOND = {"rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "pad_token_id": 1}
OLMOE = SECOND | {"num_experts": 64, "num_experts_per_tok": 8, "max_position_embeddings": 4096}
FLEXIBLE = {
    "num_experts": 7,
    "num_experts_per_tok": 5,
    "rope_theta": 500_000.0,
    "max_position_embeddings": 4096,
    "pad_token_id": 100_277,
}
ARCHITECTURES = (
    files.family("olmo", first_from_huggingface, first_tensors, read_gguf=first_from_gguf, defaults=FIRST),
    files.family("olmo2", second_from_huggingface, tensors, read_gguf=later_from_gguf, defaults=SECOND),
    files.family(
        "olmo3", third_from_huggingface, tensors, defaults=SECOND | {"rope_theta": 500_000.0, "sliding_window": 4096}
    ),
    files.family("olmoe", mixture_from_huggingface, mixture_tensors, read_gguf=mixture_from_gguf, defaults=OLMOE),
    files.family("flex_olmo", mixture_from_huggingface, flexible_tensors, defaults=FLEXIBLE),
)
