"""What the files of GPT-BigCode and CodeGen keep in another order than GPT-2's and GPT-J's, and may not say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llminspect.errors import ModelError
from llminspect.model.families import codegen, gpt_bigcode

GOLDEN = Path(__file__).parents[1] / "golden"


def config_of(kind: Any, **changes: Any) -> Any:
    architecture = kind.ARCHITECTURE
    values = json.loads((GOLDEN / architecture.name / "config.json").read_text())
    return architecture.config_from_huggingface({**values, **changes})


def test_where_each_head_has_a_key_of_its_own_the_rows_of_a_head_stand_together() -> None:
    config = config_of(gpt_bigcode, multi_query=False)
    sizes = config.sizes
    rows = np.arange(3 * sizes.D).reshape(sizes.H, 3, sizes.E)
    cut = {spec.name: spec.huggingface_fix for spec in gpt_bigcode.tensors(config)}
    for place, part in enumerate(("query", "key", "value")):
        fix = cut[f"layers.1.attention.{part}.bias"]
        assert fix is not None
        np.testing.assert_array_equal(fix(rows.reshape(-1), config), rows[:, place].reshape(-1))
    assert replace(sizes, K=1) == config_of(gpt_bigcode).sizes


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (gpt_bigcode, {"add_cross_attention": True}),
        (gpt_bigcode, {"activation_function": "gelu_none"}),
        (codegen, {"n_embd": 18, "rotary_dim": 6}),
        (codegen, {"rotary_dim": 7}),
    ],
)
def test_what_is_not_computed_is_refused(kind: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(changes))):
        config_of(kind, **changes)
