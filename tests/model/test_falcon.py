"""What a Falcon's configuration may not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.model.families.falcon import ARCHITECTURES, OLDER

GROUPED = {"new_decoder_architecture": True}
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(("name", "kind"), [("falcon", "RefinedWebModel"), ("falcon-grouped", "RefinedWeb")])
def test_the_keys_of_the_first_files_say_the_same(name: str, kind: str) -> None:
    values = json.loads((GOLDEN / name / "config.json").read_text())
    keys = {new: old for old, new in OLDER.items()}
    older = {keys.get(key, key): value for key, value in values.items() if key != "new_decoder_architecture"}
    if kind == "RefinedWebModel":
        del older["n_head_kv"]
    read = ARCHITECTURES[1].config_from_huggingface
    assert read({**older, "model_type": kind}) == ARCHITECTURES[0].config_from_huggingface(values)
    assert read({**older, "model_type": kind, "alibi": True}).rounded_alibi


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"alibi": 1}, "alibi"),
        ({"apply_residual_connection_post_layernorm": True}, "apply_residual_connection_post_layernorm"),
        ({**GROUPED, "parallel_attn": False}, "parallel_attn"),
        ({**GROUPED, "num_ln_in_parallel_attn": 3}, "num_ln_in_parallel_attn"),
        ({"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn"),
        ({**GROUPED, "num_kv_heads": 3}, "num_kv_heads"),
        ({"multi_query": False, "num_kv_heads": 2}, "num_kv_heads"),
    ],
)
def test_what_is_not_computed_is_refused(settings: dict[str, Any], named: str) -> None:
    values = json.loads((GOLDEN / "falcon" / "config.json").read_text())
    ARCHITECTURES[0].config_from_huggingface(values)
    with pytest.raises(ModelError, match=named):
        ARCHITECTURES[0].config_from_huggingface({**values, **settings})
