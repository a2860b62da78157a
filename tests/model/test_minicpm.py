"""MiniCPM, which no reference has a class for, beside the Granite that has the same multipliers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.model.families import granite, minicpm

GRANITE = json.loads((Path(__file__).parents[1] / "golden" / "granite" / "config.json").read_text())
OF_GRANITE = ("attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling")
COMMON = {key: value for key, value in GRANITE.items() if key not in (*OF_GRANITE, "attention_bias", "mlp_bias")}
MULTIPLIERS = {"scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 8}
FAMILY = minicpm.ARCHITECTURE


def as_granite() -> Any:
    """Its heads have 6 numbers, its layers are 3, its stream has 24 = 3 · 8 numbers."""
    multipliers = dict(zip(OF_GRANITE, (6**-0.5, 12.0, 1.4 / 3**0.5, 3.0), strict=True))
    return granite.ARCHITECTURES[0].config_from_huggingface({**COMMON, **multipliers})


def test_its_multipliers_are_those_of_a_granite() -> None:
    found, expected = FAMILY.config_from_huggingface({**COMMON, **MULTIPLIERS}), as_granite()
    assert found.residual_scale == pytest.approx(expected.residual_scale, rel=1e-15)
    assert found.logit_scale == pytest.approx(expected.logit_scale, rel=1e-15)
    assert replace(found, residual_scale=1.0, logit_scale=1.0) == replace(expected, residual_scale=1.0, logit_scale=1.0)
    names = [(spec.name, spec.shape, spec.huggingface, spec.gguf) for spec in FAMILY.tensors(found)]
    of_granite = granite.ARCHITECTURES[0].tensors(expected)
    assert names == [(spec.name, spec.shape, spec.huggingface, spec.gguf) for spec in of_granite]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope_scaling", {"rope_type": "linear", "factor": 2.0}),
        ("rope_parameters", {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}),
        ("num_experts", 4),
        ("scale_emb", 0),
        ("scale_depth", None),
        ("dim_model_base", "many"),
    ],
)
def test_what_is_not_computed_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ModelError, match=key):
        FAMILY.config_from_huggingface({**COMMON, **MULTIPLIERS, key: value})


def test_a_gguf_file_without_its_multipliers_is_refused() -> None:
    keys: dict[str, Any] = {
        "block_count": 3,
        "embedding_length": 24,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
    }
    keys |= {"feed_forward_length": 34, "context_length": 64, "attention.layer_norm_rms_epsilon": 1e-6}
    multipliers = {"embedding_scale": 12.0, "residual_scale": 1.4 / 3**0.5, "logit_scale": 3.0}
    of_granite = as_granite()

    def read(keys: dict[str, Any]) -> Any:
        stated = {f"minicpm.{key}": value for key, value in keys.items()}
        tokens = ["a"] * of_granite.sizes.V
        return FAMILY.config_from_gguf({"general.architecture": "minicpm", "tokenizer.ggml.tokens": tokens, **stated})

    found = read({**keys, **multipliers})
    assert found.logit_scale == pytest.approx(1 / 3)
    assert (found.sizes, found.embedding_scale, found.residual_scale) == (of_granite.sizes, 12.0, 1.4 / 3**0.5)
    for key in multipliers:
        with pytest.raises(ModelError, match=key):
            read({**keys, **{name: value for name, value in multipliers.items() if name != key}})
