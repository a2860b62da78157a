"""How much of a head is turned: a part only where the reference implementation turns a part."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.model.registry import architecture_of
from tests.model.golden import NAMES, Golden

IN_PART = set(
    "bamba glm glm4 glm4_moe glm4v_text gpt_neox minimax_m2 nemotron persimmon phi phi3 qwen3_5 qwen3_5_text "
    "qwen3_5_moe qwen3_5_moe_text qwen3_next solar_open stablelm".split()
)
"""The kinds that the reference (transformers 5.24) turns in part, where they open here."""


def stated(config: dict[str, Any], share: float, inside: bool) -> dict[str, Any]:
    """The configuration with that share, at its top or in `rope_parameters`; of one with a text part, there."""
    changed = json.loads(json.dumps(config))
    text = changed["text_config"] if isinstance(changed.get("text_config"), dict) else changed
    if not inside:
        text["partial_rotary_factor"] = share
        return dict(changed)
    rope = text["rope_parameters"]
    for place in [entry for entry in rope.values() if isinstance(entry, dict)] or [rope]:
        place["partial_rotary_factor"] = share
    return dict(changed)


def read(config: dict[str, Any]) -> Any:
    return architecture_of(config, "huggingface", "it").config_from_huggingface(config)


def rotary_width(found: Any) -> int | None:
    rotary = getattr(found, "rotary", None)
    return None if rotary is None else rotary.width


@pytest.mark.parametrize("inside", [False, True], ids=["top", "rope_parameters"])
@pytest.mark.parametrize("name", NAMES)
def test_a_share_is_refused_where_the_reference_turns_whole_heads(name: str, inside: bool) -> None:
    config = Golden(name).config()
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    if inside and not isinstance(text.get("rope_parameters"), dict):
        return  # It has no such place.
    before = rotary_width(read(config))
    if before is None or before < 4:
        return  # Nothing is turned, or too little to turn a part of it.
    share = next((count / before for count in range(2, before, 2)), 0.5) + 1e-3
    try:
        found = read(stated(config, share, inside))
    except ModelError:
        return
    assert text.get("model_type", config["model_type"]) in IN_PART, (before, rotary_width(found))


def test_a_share_of_one_says_nothing() -> None:
    config = Golden("llama").config()
    assert rotary_width(read(stated(config, 1.0, inside=True))) == rotary_width(read(config))
