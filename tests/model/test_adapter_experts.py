"""LoRA on parameters (PEFT's `target_parameters`): those of all experts of a layer, and single matrices.

That the golden adapters of gpt-oss, mixtral and granitemoe are as PEFT merges them, `test_adapter.py` tests.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llminspect.errors import ModelError
from llminspect.files.safetensors import SafetensorsFile
from llminspect.opening import open_model
from tests.model.test_adapter import ADAPTERS, assert_merged, base_of, changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Program


def swapped(tensors: dict[str, Any]) -> None:
    """As PEFT before 0.18 keeps pairs of experts."""
    for name in [name for name in tensors if name.endswith("experts.lora_A.weight")]:
        other = name.replace("lora_A", "lora_B")
        tensors[name], tensors[other] = (np.ascontiguousarray(tensors[key].T) for key in (other, name))


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        (
            {"target_parameters": ["down_proj", "router.weight"]},
            None,
            "changes 2 parameters of 'model.layers.0.mlp.experts'",
        ),
        ({"target_parameters": ["gate_up_proj_bias", "router.weight"]}, None, "changes 2 parameters"),
        ({"target_parameters": None}, None, "none of its target_modules"),
        ({"r": 3}, None, r"on 4 experts they would be \(12, 22\) and \(36, 12\)"),
        ({}, swapped, r"the shapes \(8, 36\) and \(22, 8\)"),
        ({}, lambda held: held.update({EXPERT: held.pop(EXPERT.replace("layers.0", "layers.1"))}), "one half of"),
        ({}, lambda held: held.update({EXPERT.replace("experts", "expert"): held.pop(EXPERT)}), "one half of"),
    ],
)
def test_pairs_of_other_experts_are_refused(
    settings: dict[str, Any], change: Callable[[Any], None] | None, message: str, tmp_path: Path
) -> None:
    adapter = changed(tmp_path, "gpt-oss", **settings)
    if change is not None:
        tensors = load_file(f"{adapter}/adapter_model.safetensors")
        change(tensors)
        save_file(tensors, f"{adapter}/adapter_model.safetensors")
    with pytest.raises(ModelError, match=message):
        open_model(str(base_of("gpt-oss").folder), adapter=adapter)


def test_pairs_of_a_parameter_are_of_the_matrix_as_it_is_kept(tmp_path: Path) -> None:
    """GPT-2 keeps its matrices input by output; of a module the pairs are output by input, of a parameter not."""
    targets = ["attn.c_attn.weight", "c_proj.weight", "c_fc.weight"]
    adapter = changed(tmp_path, "gpt2", target_modules=[], target_parameters=targets, fan_in_fan_out=False)
    held = load_file(f"{adapter}/adapter_model.safetensors")
    other = {"A": "B", "B": "A"}
    turned = {re.sub("lora_([AB])", lambda half: f"lora_{other[half[1]]}", name): held[name].T.copy() for name in held}
    save_file(turned, f"{adapter}/adapter_model.safetensors")
    assert_merged(open_model(str(base_of("gpt2").folder), adapter=adapter), "gpt2")


EXPERT = "base_model.model.model.layers.0.mlp.experts.lora_A.weight"


def test_experts_of_a_model_without_any_are_refused(tmp_path: Path) -> None:
    adapter = changed(tmp_path, "granitemoe", target_modules=[])
    with pytest.raises(ModelError, match="changes 1 parameters of "):
        open_model(str(base_of("llama").folder), adapter=adapter)


def test_info_counts_the_matrices_of_experts(called: Program) -> None:
    found = called("info", str(base_of("gpt-oss").folder), "--adapter", str(ADAPTERS / "gpt-oss"), "--json")
    tensors = SafetensorsFile(ADAPTERS / "gpt-oss" / "adapter_model.safetensors").tensors
    assert found.json["adapter"]["matrices"] == 4 * (1 + 1 + 3 * 4)  # In 4 layers: o_proj, the router, 4 experts of 3.
    assert found.json["adapter"]["ranks"] == [2, 3]
    assert found.json["adapter"]["parameters"] == sum(math.prod(info.shape) for info in tensors.values())
