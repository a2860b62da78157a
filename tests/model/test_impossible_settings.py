"""What cannot be is refused by the name of its key: no text of Python's own reaches a user."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from llminspect.errors import ModelError, understood
from llminspect.model.known_settings import LISTS, WHOLE
from llminspect.model.registry import architecture_for, architecture_of
from llminspect.opening import describe_model
from tests.model.gguf_of import write
from tests.model.golden import NAMES, Golden

if TYPE_CHECKING:
    from pathlib import Path


def read(config: dict[str, Any]) -> Any:
    return architecture_of(config, "huggingface", "it").config_from_huggingface(config)


@pytest.mark.parametrize("name", NAMES)
def test_a_list_and_a_whole_number_are_named_where_something_else_stands(name: str) -> None:
    """No text of Python's own, such as "object of type 'int' has no len()", reaches a user."""

    def holding(config: dict[str, Any], key: str, value: Any) -> Any:
        return {
            each: value if each == key else holding(inner, key, value) if isinstance(inner, dict) else inner
            for each, inner in config.items()
        }

    config = Golden(name).config()
    text = json.dumps(config)
    for key in sorted(key for key in {*LISTS, *WHOLE} if f'"{key}": ' in text):
        wrong: list[Any] = [
            True,
            2.5,
            "strange",
            {},
            {"a": 1},
            float("nan"),
            *([3, "", -1, *([] if LISTS[key] else [[[]]])] if key in LISTS else [[]]),
        ]
        for value in wrong:
            found = holding(config, key, value)
            with suppress(ModelError), understood("it"):  # Where the family does not read it.
                read(found)
                continue
            with pytest.raises(ModelError, match=f"{key} = "):
                read(found)


@pytest.mark.parametrize(
    ("name", "changed", "named"),
    [
        ("olmo", {"hidden_size": 1}, "hidden_size = 1"),
        ("mpt", {"d_model": 1}, "d_model = 1"),
        ("bert", {"hidden_size": 1}, "hidden_size = 1"),
        ("rwkv7", {"head_dim": None, "num_heads": 10_000}, "head_dim = null"),
        ("youtu", {"rope_theta": 1}, "rope_theta = 1"),
        ("mistral", {"head_dim": 3}, "head_dim"),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": None}, "max_window_layers"),
        ("nemotron_h", {"layers_block_type": [[]]}, "layers_block_type"),
        ("nemotron", {"partial_rotary_factor": 0}, "turned"),
        ("phi3-longrope", {"short_factor": [1.0]}, "short_factor"),
        ("phi3-longrope", {"short_factor": ["1", "1", "1"]}, "short_factor"),
        ("phi3-longrope", {"long_factor": [1.0, -1.0, 1.0]}, "long_factor"),
        ("phi3-longrope", {"long_factor": [[]] * 3}, "long_factor"),
        ("gemma3n", {"altup_num_inputs": 2**31 - 1}, "altup_num_inputs"),
    ],
)
def test_what_cannot_be_is_named_by_its_key(name: str, changed: dict[str, Any], named: str) -> None:
    config = Golden(name).config()
    inner = next((key for key in ("rope_scaling", "rope_parameters") if config.get(key)), "")
    if changed.keys() & (config.get(inner) or {}).keys():
        changed = {inner: config[inner] | changed}
    with pytest.raises(ModelError) as refused:
        read({**config, **changed})
    assert named in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("stated", [[0, 0, 0, 0], 0])
def test_a_nemotron_h_without_feed_forward_steps_opens_from_gguf(stated: Any, tmp_path: Path) -> None:
    """The converter writes the width of each layer's step, 0 where there is none, also where there is none at all."""
    write(Golden("nemotron_h"), path := tmp_path / "it.gguf")
    located = describe_model(str(path)).located
    assert located is not None
    metadata = {
        key: value
        for key, value in located.config.items()
        if "expert" not in key and "moe_" not in key.rpartition(".")[2]
    }
    family = metadata["general.architecture"] = "nemotron_h"
    metadata = {key.replace("nemotron_h_moe.", "nemotron_h."): value for key, value in metadata.items()}
    metadata["nemotron_h.feed_forward_length"] = stated
    found = architecture_for(family, "gguf").config_from_gguf(metadata)
    assert (found.sizes.F, found.sizes.L, found.experts) == (0, 4, None)
    for wrong in ([0, 0], [0, 0, 0, -1], -1, "x", [0, 0, 0, True], None):
        with pytest.raises(ModelError, match="feed_forward_length"):
            architecture_for(family, "gguf").config_from_gguf({**metadata, "nemotron_h.feed_forward_length": wrong})
