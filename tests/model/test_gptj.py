"""What a GPT-J's configuration may not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.files.folder import open_safetensors
from llminspect.model.families.gptj import ARCHITECTURE
from llminspect.model.registry import architecture_for, claim

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(
    ("key", "value"),
    [("rotary_dim", None), ("rotary_dim", 7), ("rotary_dim", 10), ("rotary", False), ("scale_attn_weights", False)],
)
def test_what_is_not_computed_is_refused(key: str, value: Any) -> None:
    values = json.loads((GOLDEN / "gptj" / "config.json").read_text())
    ARCHITECTURE.config_from_huggingface(values)
    with pytest.raises(ModelError, match=key):
        ARCHITECTURE.config_from_huggingface({**values, key: value})


@pytest.mark.parametrize("name", ["gptj", "phi"])
def test_the_bias_of_an_output_matrix_is_needed_where_there_is_one(name: str) -> None:
    folder = GOLDEN / name
    family = architecture_for(name, "huggingface")
    config = family.config_from_huggingface(json.loads((folder / "config.json").read_text()))
    shapes = {name: info.shape for name, info in open_safetensors(folder).tensors.items()}

    def arrays(without: set[str]) -> set[str]:
        held = {name: shape for name, shape in shapes.items() if name not in without}
        return {spec.name for spec in claim(family, config, "huggingface", held)}

    assert "unembedding.bias" in arrays(set())
    assert "unembedding.bias" not in arrays({"lm_head.weight", "lm_head.bias"})
    with pytest.raises(ModelError, match=r"missing: lm_head\.bias"):
        arrays({"lm_head.bias"})
