"""What a GPT-J's configuration may not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.model.families.gptj import ARCHITECTURES

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(
    ("key", "value"),
    [("rotary_dim", None), ("rotary_dim", 7), ("rotary_dim", 10), ("rotary", False), ("scale_attn_weights", False)],
)
def test_what_is_not_computed_is_refused(key: str, value: Any) -> None:
    values = json.loads((GOLDEN / "gptj" / "config.json").read_text())
    ARCHITECTURES[0].config_from_huggingface(values)
    with pytest.raises(ModelError, match=key):
        ARCHITECTURES[0].config_from_huggingface({**values, key: value})
