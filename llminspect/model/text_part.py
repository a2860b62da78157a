"""The text part of a model that sees pictures as well: it is what runs, on texts alone; the vision part is not read.

Liu et al. 2023, "Visual Instruction Tuning", section 4.1: vectors of a picture stand among those of the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llminspect.errors import ModelError
from llminspect.model.copies import Copy
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture

_OF_THEIR_OWN = "gemma3 gemma3n gemma4 glm4v qwen2_5_vl qwen2_vl qwen3_5 qwen3_5_moe qwen3_vl qwen3_vl_moe"
_BY_TEXT = {
    "gemma": "paligemma",
    "lfm2": "lfm2_vl",
    "llama": """
        deepseek_vl idefics3 janus llava llava_next llava_next_video perception_lm smolvlm video_llava vipllava voxtral
    """,
    "mistral": "idefics2 mistral3",
    "qwen2": "fast_vlm got_ocr2 internvl llava_onevision ovis2 qwen2_audio video_llama_3",
    "qwen3": "lighton_ocr",
    **{f"{kind}_text": kind for kind in _OF_THEIR_OWN.split()},
}
TEXTS = dict(sorted((kind, text) for text, kinds in _BY_TEXT.items() for kind in kinds.split()))
"""The kinds of such models, and what their text part is where the file does not say."""
LISTENING = ("qwen2_audio", "voxtral")
"""Those that hear, and see no pictures."""

FLAT = ("qwen2_vl", "qwen2_5_vl")
"""Those whose first files have the settings of the text part beside the others."""

_STATED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
SIZES: dict[str, dict[str, Any]] = {
    kind: dict(zip(_STATED, sizes, strict=True))
    for kind, *sizes in (
        ("gemma", 256_000, 3072, 24_576, 28, 16),
        ("gemma2", 256_000, 2304, 9216, 26, 8),
        ("gemma3_text", 262_208, 2304, 9216, 26, 8),
        ("gemma4_text", 262_144, 2304, 9216, 30, 8),
        ("llama", 32_000, 4096, 11_008, 32, 32),
        ("mistral", 32_000, 4096, 14_336, 32, 32),
        ("qwen2", 151_936, 4096, 22_016, 32, 32),
    )
}
"""What the reference takes for sizes that a file leaves out: such files state only what differs."""

OF_KINDS: dict[str, dict[str, Any]] = {
    "voxtral": {
        "vocab_size": 131_072,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 30,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e8,
    }
}
"""What it takes in files of a kind instead."""

OF_PICTURES = """
    vision_config mm_tokens_per_image image_token_id image_token_index video_token_id vision_token_id
    boi_token_index eoi_token_index vision_start_token_id vision_end_token_id image_seq_length projector_hidden_act
    vision_feature_select_strategy vision_feature_layer multimodal_projector_bias image_grid_pinpoints
    use_image_newline_parameter spatial_merge_size scale_factor ignore_index _pad_token_id
""".split()
"""Settings of how a picture becomes vectors, and ids of the tokens that stand for it."""
FURTHER = """
    video_token_index video_seq_length spatial_pool_mode spatial_pool_stride projector_layernorm_eps vision_aspect_ratio
    downsample_ratio downsample_factor visual_indicator_token_ids
    vision_use_cls_token projector_pooling_ratio image_start_token_id image_end_token_id video_start_token_id
    video_end_token_id
    projector_bias projector_hidden_size projector_use_layernorm perceiver_config vq_config
""".split()
"""The same of kinds that few models are of."""
REPEATED = {
    "ovis2": ("hidden_size", "vocab_size"),
    "voxtral": ("hidden_size", "vocab_size"),
    "paligemma": ("hidden_size", "vocab_size", "_vocab_size", "projection_dim"),
}
"""Settings of the text part that files of a kind have outside it as well."""
INSIDE = {"paligemma": ("num_image_tokens", "use_bidirectional_attention")}
"""What is said inside it of pictures: of a picture and the prompt before an answer each token sees every other; a text
alone is read as an answer, as the reference does where nothing says which token is of what."""
UNCAPPED = ("gemma3",)
"""Kinds of whose text part alone the reference would cap the logits; no published model asks for it."""
PARTS = """
    vision_tower.* vision_model.* visual.* multi_modal_projector.* connector.* projector.* image_newline
    image_tower.* video_tower.* vision_encoder.* vision_projection.* visual_embeddings_table.* aligner.* vqmodel.*
    generation_embeddings.* generation_aligner.* generation_head.*
""".split()
"""Tensors of that."""
HEARING = dict.fromkeys(("gemma3n", "gemma4", *LISTENING), ("embed_vision.*", "audio_tower.*", "embed_audio.*"))
"""More of them, by the kinds of model that hear as well …"""
OF_SOUND = """
    audio_config audio_token_id audio_token_index boi_token_id eoi_token_id boa_token_id eoa_token_id
    eoa_token_index vision_soft_tokens_per_image audio_soft_tokens_per_image
""".split()
"""… and their settings."""
FRONTS = ("language_model.model.", "language_model.", "text_model.")
"""What stands before the names of the text part's tensors."""


def with_pictures(kind: str, text: Architecture) -> Architecture:
    """The family `text` in a file of such a kind. Raises ModelError where it cannot be that."""

    def read(settings: Settings) -> Any:
        flat = kind in FLAT and settings.get("text_config") is None
        inner = settings if flat else settings.under("text_config")
        inner.skip(*INSIDE.get(kind, ()))
        inner.defaults = {**SIZES.get(text.model_types[0], {}), **text.defaults, **OF_KINDS.get(kind, {})}
        config = text.read_huggingface(inner)
        if kind in UNCAPPED and config.logit_cap is not None:
            raise inner.wrong("final_logit_softcapping", f"null: a {kind} that sees pictures does not cap its logits")
        if kind in UNCAPPED and "use_bidirectional_attention" in inner.values:
            inner.only("use_bidirectional_attention", False)  # Of pictures alone.
        if inner is not settings:
            inner.done()
        settings.skip(*OF_PICTURES, *FURTHER, *(OF_SOUND if kind in HEARING else ()), *REPEATED.get(kind, ()))
        tied = settings.flag("tie_word_embeddings", kind in INSIDE)
        return replace(config, tied=tied or config.tied)

    ignored = (*text.ignored, *(Copy(pattern) for pattern in (*PARTS, *HEARING.get(kind, ()))))
    return replace(text, model_types=(kind,), read_huggingface=read, defaults={}, ignored=ignored, fronts=FRONTS)


def left_out(kind: str) -> str:
    """What is told of such a model's other parts."""
    does, part = ("hears", "audio") if kind in LISTENING else ("sees pictures", "vision")
    return f"this model {does} as well: its {part} part is not run"


def text_kind(kind: str, values: Mapping[str, Any]) -> str:
    """The kind of the text part that a `config.json` states."""
    inner = values.get("text_config")
    stated = inner.get("model_type", TEXTS[kind]) if isinstance(inner, dict) else TEXTS[kind]
    if not isinstance(stated, str):
        raise ModelError(f"config.json, text_config: model_type = {stated!r:.60} is not understood")
    return stated
