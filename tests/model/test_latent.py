"""What a model with latent attention may not say, in `config.json` and in a GGUF file."""

from __future__ import annotations

from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.model.registry import architecture_of
from tests.model.golden import Golden


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_key_value_heads": 1}, "num_key_value_heads"),
        ({"head_dim": 5}, "head_dim"),
        ({"qk_head_dim": 5}, "qk_head_dim"),
        ({"qk_nope_head_dim": 0}, "qk_nope_head_dim"),
        ({"kv_lora_rank": None}, "kv_lora_rank"),
        ({"q_lora_rank": "6"}, "q_lora_rank"),
        ({"qk_rope_head_dim": 5, "head_dim": 5, "qk_head_dim": 10}, "not in pairs"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.4}}, "of the rotary part are turned"),
        ({"rope_interleave": "yes"}, "rope_interleave"),
        ({"sparse_attention": {"index_topk": 4}}, "sparse_attention"),
    ],
)
def test_what_is_not_computed_is_refused(settings: dict[str, Any], named: str) -> None:
    values = Golden("youtu").config()
    architecture = architecture_of(values, "huggingface", "youtu")
    architecture.config_from_huggingface(values)
    with pytest.raises(ModelError, match=named):
        architecture.config_from_huggingface(values | {"rope_theta": 50.0} | settings)
