"""The text part of models that see pictures as well: found under each of the names that files have for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import llminspect
from llminspect.errors import ModelError
from llminspect.model.registry import architecture_of
from llminspect.model.text_part import OF_PICTURES, TEXTS, left_out
from llminspect.opening import describe_model, open_model
from tests.model.golden import Golden, assert_as_expected, computed

if TYPE_CHECKING:
    from pathlib import Path

NAMINGS = {
    "today's": ("model.language_model.", "lm_head.", "model."),
    "as first published": ("language_model.model.", "language_model.lm_head.", ""),
    "flat": ("model.", "lm_head.", ""),
}
"""What stands before the body, before the output matrix, and before the vision part."""


@pytest.mark.parametrize("naming", NAMINGS)
def test_the_text_part_is_found_under_each_of_its_names(naming: str, tmp_path: Path) -> None:
    golden = Golden("llava")
    body, head, eye = NAMINGS[naming]
    renamed = {}
    for name, array in load_file(golden.folder / "model.safetensors").items():
        name = name.replace("language_model.model.", body).replace("language_model.lm_head.", head)
        renamed[eye + name if name.startswith(("vision_tower", "multi_modal")) else name] = array
    save_file(renamed, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(golden.config()))
    assert_as_expected(computed(open_model(str(tmp_path)), golden), golden)


def test_info_says_that_the_vision_part_is_not_run() -> None:
    found = llminspect.info(str(Golden("gemma3-vision").folder))
    assert (found.family, found.notes) == (
        "gemma3",
        ["this model sees pictures as well: its vision part is not run"],
    )
    assert llminspect.info(str(Golden("gemma3").folder)).notes is None
    assert left_out("voxtral") == "this model hears as well: its audio part is not run"


def test_what_is_no_part_of_it_is_refused(tmp_path: Path) -> None:
    golden = Golden("llava")
    arrays = load_file(golden.folder / "model.safetensors")
    save_file({**arrays, "audio_tower.weight": np.ones(3, np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(golden.config()))
    with pytest.raises(ModelError, match=r"does not have: audio_tower\.weight"):
        describe_model(str(tmp_path))


def test_a_text_part_of_a_kind_that_is_not_known_is_named() -> None:
    config: dict[str, Any] = {"model_type": "llava", "text_config": {"model_type": "strange"}}
    with pytest.raises(ModelError, match="'strange' are not known"):
        architecture_of(config, "huggingface", "it")
    with pytest.raises(ModelError, match="model_type = 5"):
        architecture_of({"model_type": "llava", "text_config": {"model_type": 5}}, "huggingface", "it")


@pytest.mark.parametrize(("kind", "sizes"), [("gemma3", (26, 2304)), ("llava", (32, 4096)), ("mistral3", (32, 4096))])
def test_sizes_that_such_a_file_leaves_out_are_the_reference_s(kind: str, sizes: tuple[int, int]) -> None:
    config = {"model_type": kind, "text_config": {"model_type": TEXTS[kind]}, **dict.fromkeys(OF_PICTURES, 1)}
    found = architecture_of(config, "huggingface", "it").config_from_huggingface(config)
    assert sizes == (found.sizes.L, found.sizes.D)


def test_what_the_reference_takes_for_a_kind_of_its_own() -> None:
    config = {"model_type": "voxtral", "text_config": {"model_type": "llama", "hidden_size": 32}}
    found = architecture_of(config, "huggingface", "it").config_from_huggingface(config)
    assert (found.sizes.E, found.rotary.width, found.rotary.base) == (128, 128, 1e8)


def test_a_gemma_that_sees_pictures_caps_no_logits() -> None:
    """Where the text part alone would: the reference does not, and no published model asks for it."""
    config = Golden("gemma3-vision").config()
    config["text_config"]["final_logit_softcapping"] = 4.0
    with pytest.raises(ModelError, match="final_logit_softcapping = 4"):
        architecture_of(config, "huggingface", "it").config_from_huggingface(config)


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe", "exaone_moe"])
def test_heads_that_are_turned_in_part_are_refused_where_the_reference_turns_them_whole(name: str) -> None:
    config = Golden(name).config("config.older.json")
    config.get("text_config", config)["partial_rotary_factor"] = 0.4 if "vl" in name else 0.34
    with pytest.raises(ModelError, match=r"partial_rotary_factor = 0\.(4|34)"):
        architecture_of(config, "huggingface", "it").config_from_huggingface(config)


@pytest.mark.parametrize("part", [1, 2])
def test_experts_whose_layout_cannot_be_told_are_refused(part: int) -> None:
    """Published files hold them input by output, later ones not: a square matrix fits both."""
    config = Golden("qwen3_vl_moe").config()
    config["text_config"]["moe_intermediate_size"] = config["text_config"]["hidden_size"] // part
    with pytest.raises(ModelError, match="moe_intermediate_size"):
        architecture_of(config, "huggingface", "it").config_from_huggingface(config)


@pytest.mark.parametrize("kind", ["qwen3_vl", "qwen3_vl_moe"])
@pytest.mark.parametrize(("key", "value"), [("use_sliding_window", True), ("layer_types", "sliding_attention")])
def test_windows_that_the_reference_does_not_look_at_are_refused(kind: str, key: str, value: Any) -> None:
    config = Golden(kind).config()
    text = config["text_config"]
    config["text_config"] |= {"sliding_window": 3, key: value if value is True else [value] * text["num_hidden_layers"]}
    with pytest.raises(ModelError, match=key):
        architecture_of(config, "huggingface", "it").config_from_huggingface(config)


TODAY, FIRST, TEXT = NAMINGS["today's"], NAMINGS["as first published"], ("model.text_model.", "lm_head.", "model.")
KINDS = {
    "deepseek_vl": ("llama", TODAY, "aligner.linear1"),
    "fast_vlm": ("qwen2", TODAY, "multi_modal_projector.linear_0"),
    "got_ocr2": ("qwen2", FIRST, "multi_modal_projector.conv"),
    "idefics2": ("mistral", TEXT, "connector.norm"),
    "idefics3": ("llama", TEXT, "connector.norm"),
    "internvl": ("qwen2", FIRST, "multi_modal_projector.norm"),
    "janus": ("llama", TODAY, "generation_head.proj_out"),
    "lfm2_vl": ("lfm2", TODAY, "multi_modal_projector.linear_1"),
    "lighton_ocr": ("qwen3", TODAY, "vision_projection.norm"),
    "llava_next": ("llama", FIRST, "vision_tower.norm"),
    "llava_next_video": ("llama", FIRST, "vision_tower.norm"),
    "llava_onevision": ("qwen2", FIRST, "vision_tower.norm"),
    "mistral3": ("mistral", FIRST, "vision_tower.norm"),
    "ovis2": ("qwen2", TODAY, "visual_embeddings_table"),
    "paligemma": ("gemma", TODAY, "multi_modal_projector.linear"),
    "paligemma 2": ("gemma2", TODAY, "multi_modal_projector.linear"),
    "perception_lm": ("llama", TODAY, "multi_modal_projector.linear_1"),
    "qwen2_audio": ("qwen2", FIRST, "audio_tower.conv1"),
    "video_llama_3": ("qwen2", TODAY, "projector.readout.0"),
    "video_llava": ("llama", FIRST, "video_tower.norm"),
    "vipllava": ("llama", FIRST, "multi_modal_projector.norm"),
    "voxtral": ("llama", FIRST, "audio_tower.conv1"),
}
"""Kinds, the golden model that stands for their text part, how the reference names its tensors, and one of another."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_part_is_the_model_that_its_settings_say(kind: str, tmp_path: Path) -> None:
    name, (body, head, eye), other = KINDS[kind]
    golden = Golden(name)
    text = describe_model(str(golden.folder))
    assert text.located is not None and text.located.weights is not None
    shapes = {its: info.shape for its, info in text.located.weights.tensors.items()}
    named = {head + its[8:] if its.startswith("lm_head.") else body + its[6:]: shapes[its] for its in shapes}
    arrays = {its: np.zeros(shape, np.float16) for its, shape in {**named, f"{eye}{other}.weight": (2,)}.items()}
    save_file(arrays, tmp_path / "model.safetensors")
    tied = golden.config().get("tie_word_embeddings", False)
    whole = {"model_type": kind.split()[0], "text_config": golden.config(), "tie_word_embeddings": tied}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    found = describe_model(str(tmp_path))
    assert (found.config, found.architecture.name) == (text.config, text.architecture.name)
    assert {source for spec in found.specs for source in spec.sources("huggingface")} == set(named)
