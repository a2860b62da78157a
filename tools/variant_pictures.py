"""The text part of models that see pictures as well, in `variants.py`: a kind that is drawn elsewhere, in a file of
such a kind with a small eye."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
import variant_settings
import variant_state
from golden_later import EYE, QWEN_EYE
from variant_draw import Draw, Settings, perhaps

SWITCH = (True, False)
SMALL = {**EYE, "patch_size": 4}
CLIP = {**SMALL, "model_type": "clip_vision_model"}
SIGLIP = {**SMALL, "model_type": "siglip_vision_model"}
SIGLIP2 = {**SMALL, "model_type": "siglip2_vision_model", "num_patches": 4}
PIXTRAL = {**SMALL, "model_type": "pixtral"}
DEEP = {"depth": 1, "hidden_size": 8, "intermediate_size": 10, "num_heads": 2, "patch_size": 4}
FLAT = {**DEEP, "num_position_embeddings": 16}
MORE_DEEP = {**FLAT, "deepstack_visual_indexes": [0]}
SEGMENTING = {"hidden_size": 8, "output_channels": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
SEGMENTING |= {"image_size": 16, "patch_size": 4, "window_size": 2, "global_attn_indexes": [0], "mlp_dim": 10}
OVIS = {**SMALL, "vocab_size": 12, "num_visual_indicator_tokens": 5}
GEMMA4_EYE = {"hidden_size": 8, "intermediate_size": 10, "num_hidden_layers": 1, "num_attention_heads": 2}
GEMMA4_EYE |= {"num_key_value_heads": 1, "head_dim": 4, "patch_size": 4, "position_embedding_size": 16}
PAINTING = {"embed_dim": 4, "num_embeddings": 6, "base_channels": 32, "channel_multiplier": [1], "num_res_blocks": 1}
PAINTING |= {"latent_channels": 4, "image_token_embed_dim": 4, "projection_dim": 8, "num_hidden_layers": 1}
SAMPLING = {"hidden_size": 8, "resampler_n_latents": 2, "resampler_depth": 1, "resampler_n_heads": 2}
SAMPLING |= {"resampler_head_dim": 4, "num_key_value_heads": 1}
STATES = {make.__name__: make for make in variant_state.FAMILIES}
TEXTS = (variant_settings.llama, variant_settings.mistral, variant_settings.qwen2, variant_settings.qwen3)
LLAMA, MISTRAL, QWEN2, QWEN3 = ((one,) for one in TEXTS)

PICTURES: dict[str, tuple[str, tuple[Callable[[Random], Draw], ...], Settings, Settings]] = {
    "llava": ("Llava", TEXTS, CLIP, {}),
    "llava_next": ("LlavaNext", TEXTS, CLIP, {}),
    "llava_next_video": ("LlavaNextVideo", TEXTS, CLIP, {"image_token_index": 39, "video_token_index": 38}),
    "llava_onevision": ("LlavaOnevision", TEXTS, SIGLIP, {}),
    "vipllava": ("VipLlava", TEXTS, {**CLIP, "num_hidden_layers": 2}, {}),
    "video_llava": ("VideoLlava", TEXTS, CLIP, {"image_token_index": 39, "video_token_index": 38}),
    "mistral3": ("Mistral3", TEXTS, PIXTRAL, {}),
    "smolvlm": ("SmolVLM", LLAMA, SMALL, {}),
    "idefics2": ("Idefics2", MISTRAL, SMALL, {"perceiver_config": SAMPLING}),
    "idefics3": ("Idefics3", LLAMA, SMALL, {}),
    "deepseek_vl": ("DeepseekVL", LLAMA, SIGLIP, {}),
    "got_ocr2": ("GotOcr2", QWEN2, SEGMENTING, {}),
    "internvl": ("InternVL", (*QWEN2, *LLAMA, *QWEN3), {**SMALL, "image_size": [8, 8], "patch_size": [4, 4]}, {}),
    "janus": ("Janus", LLAMA, {**SMALL, "projection_dim": 8, "depth": 1}, {"vq_config": PAINTING}),
    "lfm2_vl": ("Lfm2Vl", (STATES["lfm2"],), SIGLIP2, {}),
    "lighton_ocr": ("LightOnOcr", QWEN3, PIXTRAL, {}),
    "ovis2": ("Ovis2", QWEN2, OVIS, {"visual_indicator_token_ids": [34, 35, 36, 37, 38]}),
    "gemma3": ("Gemma3", (variant_settings.gemma3,), SIGLIP, {}),
    "gemma4": ("Gemma4", (variant_settings.gemma4,), GEMMA4_EYE, {"audio_config": None, "video_token_id": 38}),
    "paligemma": ("PaliGemma", (variant_settings.gemma, variant_settings.gemma2), SIGLIP, {}),
    "qwen2_vl": ("Qwen2VL", QWEN2, QWEN_EYE, {}),
    "qwen2_5_vl": ("Qwen2_5_VL", QWEN2, DEEP, {}),
    "qwen3_vl": ("Qwen3VL", QWEN3, MORE_DEEP, {}),
    "qwen3_vl_moe": ("Qwen3VLMoe", (variant_settings.qwen3_moe,), MORE_DEEP, {}),
    "qwen3_5": ("Qwen3_5", (STATES["qwen3_5_text"],), FLAT, {}),
    "qwen3_5_moe": ("Qwen3_5Moe", (STATES["qwen3_5_moe_text"],), FLAT, {}),
}
NOT_DRAWN = {
    "fast_vlm": "its eye needs a package more; a llama or a qwen2, which are drawn",
    "perception_lm": "its eye needs a package more; a llama, which is drawn",
    "glm4v": "a glm4, which is drawn, with positions of three parts; its golden model holds them",
    "glm4v_text": "the same in a file of its own",
}
"""What `variants.py` does not draw, and why."""
NOT_ITS = ("model_type", "architectures", "dtype", "transformers_version", "bos_token_id", "eos_token_id")


def with_places(random: Random, name: str, text: Settings) -> Settings:
    """Qwen's rotation by three places, which are one in a text."""
    pairs = (text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]) // 2
    first = random.randint(0, pairs)
    parts = [first, random.randint(0, pairs - first)]
    rope = {"rope_type": "default", "rope_theta": 90.0, "mrope_section": [*parts, pairs - sum(parts)]}
    return rope | ({"mrope_interleaved": True} if name.startswith("qwen3") else {})


def drawing(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        prefix, texts, eye, more = PICTURES[name]
        text = random.choice(texts)(random).config.to_dict()
        kind, width = text["model_type"], text["hidden_size"]
        text = {key: value for key, value in text.items() if key not in NOT_ITS}
        if "_vl" in name and name.startswith("qwen"):
            text["rope_parameters"] = with_places(random, name, text)
        elif not name.startswith("qwen"):
            text["model_type"] = kind
        if name == "qwen2_vl":
            eye = {**eye, "hidden_size": width, "mlp_ratio": 2}
        elif name.startswith("qwen"):
            eye = {**eye, "out_hidden_size": width}
        if name == "gemma3":  # Of which the reference caps no logits, and such a file is refused.
            text["final_logit_softcapping"] = None
        if name == "qwen3_vl_moe" and text["hidden_size"] in (
            text["moe_intermediate_size"],
            2 * text["moe_intermediate_size"],
        ):
            text["moe_intermediate_size"] += 1  # Else files of both layouts of its experts would look the same.
        if name == "qwen3_vl_moe":
            text["norm_topk_prob"] = True
        if name.startswith("qwen3_vl"):  # The reference gives such layers no window.
            text["use_sliding_window"] = False
        if name.startswith("qwen3_vl") and "use_sliding_window" not in text:
            text.pop("layer_types", None)
        tied = perhaps(random, tie_word_embeddings=SWITCH)
        config = getattr(t, f"{prefix}Config")(
            text_config=text, vision_config=eye, **{"image_token_id": 39, **more}, **tied
        )
        return Draw(name, config, getattr(t, f"{prefix}ForConditionalGeneration"))

    draw.__name__ = name
    return draw


def gemma3n(random: Random) -> Draw:
    """Whose eye needs a package more: its text part, under the names that it has there."""
    draw = variant_settings.gemma3n(random)

    def change(config: Settings, arrays: Any) -> tuple[Settings, Any]:
        renamed = {name.replace("model.", "model.language_model.", 1): array for name, array in arrays.items()}
        eye = next(iter(arrays.values()))[:1]
        outer = {"model_type": "gemma3n", "text_config": config, "vision_config": {}, "audio_config": {}}
        return outer, {**renamed, "model.vision_tower.it.weight": eye, "model.audio_tower.it.weight": eye}

    return replace(draw, family="gemma3n-whole", change=change)


def text_alone(name: str) -> Callable[[Random], Draw]:
    """The text part of a kind of Qwen's in a file of its own."""

    def draw(random: Random) -> Draw:
        def change(config: Settings, arrays: Any) -> tuple[Settings, Any]:
            text = {"tie_word_embeddings": config.get("tie_word_embeddings", tied), **config["text_config"]}
            text |= {"model_type": f"{name}_text", "architectures": ["ForCausalLM"]}
            kept = {key: array for key, array in arrays.items() if "visual" not in key}
            return text, {key.replace("language_model.", "", 1): array for key, array in kept.items()}

        whole = drawing(name)(random)
        tied = whole.config.tie_word_embeddings
        return replace(whole, family=f"{name}_text", change=change)

    draw.__name__ = f"{name}_text"
    return draw


gemma3n.__name__ = "gemma3n_whole"
WITH_PLACES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
FAMILIES = (*(drawing(name) for name in PICTURES), gemma3n, *(text_alone(name) for name in WITH_PLACES))
