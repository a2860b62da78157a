"""What T5's files say twice: refused where the second says otherwise, as the reference follows the second."""

from __future__ import annotations

from typing import Any

import pytest

from llminspect.errors import ModelError
from llminspect.model.registry import architecture_of
from tests.model.golden import Golden


def read(name: str, **changed: Any) -> Any:
    config = Golden(name).config() | changed
    return architecture_of(config, "huggingface", "it").config_from_huggingface(config)


@pytest.mark.parametrize("name", ["t5", "t5-gated", "t5-encoder", "umt5"])
def test_what_repeats_the_feed_forward_step_must_agree(name: str) -> None:
    config = Golden(name).config()
    without = {key: value for key, value in config.items() if key not in ("dense_act_fn", "is_gated_act")}
    assert architecture_of(without, "huggingface", "it").config_from_huggingface(without) == read(name)
    for key, value in (("dense_act_fn", "silu"), ("is_gated_act", not config["is_gated_act"])):
        with pytest.raises(ModelError, match=key):
            read(name, **{key: value})


@pytest.mark.parametrize("name", ["t5", "t5-gated", "t5-encoder", "umt5"])
def test_null_is_what_the_reference_makes_of_it(name: str) -> None:
    """Of no function an error, and a gate that is null is none (transformers 5.24)."""
    with pytest.raises(ModelError, match="dense_act_fn = null"):
        read(name, dense_act_fn=None)
    if name == "t5":
        assert read(name, is_gated_act=None) == read(name)
    else:
        with pytest.raises(ModelError, match="is_gated_act = null"):
            read(name, is_gated_act=None)
