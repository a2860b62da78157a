"""Gemma 3n (text): several residual streams of which the layers work on one, a low-rank path beside the attention,
hidden units that are mostly shut, vectors of the tokens for each layer, keys and values that the last layers borrow.

Gemma Team 2025, "Gemma 3n"; Baykal et al. 2023, "Alternating Updates for Efficient Transformers" (the streams);
Menghani et al. 2024, "LAuReL: Learned Augmented Residual Layer", section 2.2 (the low-rank path).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import Glu
from llminspect.core.rotary import Rotary
from llminspect.model import decoder_files as files
from llminspect.model import lending_files as lending
from llminspect.model.config import GGUF, HUGGINGFACE, read_sizes
from llminspect.model.families.gemma import two_rotations
from llminspect.model.mixture_files import same_in_all


@dataclass(frozen=True, kw_only=True)
class Gemma3nConfig(files.DecoderConfig):
    """With what says which arrays there are."""

    stated = f"{files.DecoderConfig.stated} streams active sparsity"
    low_rank: int
    """Of the path beside the attention."""
    per_layer_tokens: int
    """How many tokens have vectors for each layer; the others have those of the first."""


def from_huggingface(settings: files.Settings) -> Gemma3nConfig:
    settings.only("hidden_activation", "gelu_pytorch_tanh")
    settings.only("altup_correct_scale", True)
    settings.skip("altup_coef_clip")  # In training alone.
    layers, width = settings.whole("num_hidden_layers"), settings.whole("head_dim")
    units = same_in_all(settings, "intermediate_size", layers)
    sizes = read_sizes(settings, HUGGINGFACE, K=settings.whole("num_key_value_heads"), E=width, F=units)
    local, everywhere = two_rotations(settings, sizes)
    biased = files.attention_biases(settings)
    found = files.from_huggingface(
        settings, sizes, unit=Glu("gelu_tanh"), rotary=everywhere, local_rotary=local, biased=biased
    )
    stated = settings.get("activation_sparsity_pattern")
    usual = [0.95 if index < 10 < layers else 0.0 for index in range(layers)]
    return _settled(
        files.with_windows(found, settings, lambda index: (index + 1) % 5 != 0),
        settings,
        "num_kv_shared_layers",
        ("altup_num_inputs", "altup_active_idx"),
        per_layer=settings.whole("hidden_size_per_layer_input"),
        logit_cap=settings.perhaps("final_logit_softcapping"),
        sparsity=_shares(settings, "activation_sparsity_pattern", usual if stated is None else stated, layers),
        low_rank=settings.whole("laurel_rank"),
        per_layer_tokens=settings.whole("vocab_size_per_layer_input"),
    )


def from_gguf(settings: files.Settings) -> Gemma3nConfig:
    """Files state neither the cap nor the rotation within windows, which is the same in all models, and of the low
    rank nothing but the tensors."""
    layers, width = settings.whole("block_count"), settings.whole("attention.key_length")
    settings.only("attention.value_length", width)
    units = same_in_all(settings, "feed_forward_length", layers)
    sizes = read_sizes(settings, GGUF, K=settings.whole("attention.head_count_kv"), E=width, F=units)
    local = Rotary(width, settings.number("rope.freq_base_swa", 10_000.0))
    found = files.from_gguf(settings, sizes, unit=Glu("gelu_tanh"), biased=(), local_rotary=local)
    key = "activation_sparsity_scale"
    cutoffs = settings.need(key)
    if not isinstance(cutoffs, list) or not all(isinstance(cutoff, float) for cutoff in cutoffs):
        raise settings.wrong(key, f"a number for each of {layers} layers")
    shares = [round(NormalDist().cdf(cutoff), 6) for cutoff in cutoffs]
    return _settled(
        files.with_windows_of_gguf(found, settings, 5),
        settings,
        "attention.shared_kv_layers",
        ("altup.num_inputs", "altup.active_idx"),
        per_layer=settings.whole("embedding_length_per_layer_input"),
        logit_cap=settings.number("final_logit_softcapping", 30.0),
        sparsity=_shares(settings, key, shares, layers),
        low_rank=64,
        per_layer_tokens=sizes.V,
    )


def _shares(settings: files.Settings, key: str, stated: Any, layers: int) -> tuple[float, ...]:
    fits = isinstance(stated, list) and len(stated) == layers
    if not fits or not all(type(share) in (int, float) and 0 <= share < 1 for share in stated):
        raise settings.wrong(key, f"a share from 0 to below 1 for each of {layers} layers")
    return tuple(map(float, stated))


def _settled(
    found: files.DecoderConfig, settings: files.Settings, key: str, of_streams: tuple[str, str], **known: Any
) -> Gemma3nConfig:
    count, stated = settings.whole(of_streams[0]), settings.need(of_streams[1])
    if count < 2:
        raise settings.wrong(of_streams[0], "at least 2")
    active = settings.between(of_streams[1], 0, count - 1, f"a stream, from 0 to {count - 1}", stated)
    return Gemma3nConfig(**vars(lending.lending(found, settings, key)) | known | {"streams": count, "active": active})


def tensors(config: Gemma3nConfig) -> list[files.TensorSpec]:
    count, rank = config.streams, config.low_rank
    beside = [
        *files.linear_specs(
            ("laurel.left", f"{rank} D", "laurel.linear_left", "laurel_l"),
            ("laurel.right", f"D {rank}", "laurel.linear_right", "laurel_r"),
            ("laurel.norm_after", "D", "laurel.post_laurel_norm", "laurel_post_norm"),
            ("streams.router", f"{count} D", "altup.modality_router", "altup_router"),
            ("streams.router.norm", "D", "altup.router_norm", "altup_router_norm"),
            ("streams.predict", f"{count**2} {count}", "altup.prediction_coefs", "altup_predict_coef"),
            ("streams.correct", f"{count} {count}", "altup.correction_coefs", "altup_correct_coef"),
        ),
        files.TensorSpec("streams.scale", "D", "altup.correct_output_scale", "altup_correct_scale.weight"),
    ]
    same = [
        *lending.NORMS_AFTER,
        *lending.NORM_BEFORE,
        *files.feed_forward_specs(config),
        *beside,
        *lending.per_layer_specs(config),
    ]
    ends = (("into", "altup_projections", "altup_proj"), ("out_of", "altup_unembed_projections", "altup_unembd_proj"))
    return [
        *files.around_layers(config, lambda index: [*same, *lending.attention_specs(config, index)]),
        *lending.per_layer_tables(config, str(config.per_layer_tokens)),
        *(
            files.TensorSpec(
                f"streams.{end}.weight",
                f"{count - 1} D D",
                tuple(f"{huggingface}.{index}.weight" for index in range(count - 1)),
                f"{gguf}.weight",
            )
            for end, huggingface, gguf in ends
        ),
    ]


DEFAULTS = {
    "vocab_size": 262_400,
    "hidden_size": 2048,
    "intermediate_size": 16_384,
    "num_hidden_layers": 35,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "max_position_embeddings": 32_768,
    "sliding_window": 512,
    "tie_word_embeddings": True,
    "final_logit_softcapping": 30.0,
    "vocab_size_per_layer_input": 262_144,
    "hidden_size_per_layer_input": 256,
    "altup_active_idx": 0,
    "altup_correct_scale": True,
    "altup_num_inputs": 4,
    "num_kv_shared_layers": 15,
    "laurel_rank": 64,
    "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0,
}
ARCHITECTURE = files.family(
    "gemma3n",
    from_huggingface,
    tensors,
    model_types=("gemma3n_text",),
    read_gguf=from_gguf,
    ignored=lending.UNUSED,
    defaults=DEFAULTS,
)
