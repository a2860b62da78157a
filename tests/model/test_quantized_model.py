"""Models whose safetensors files are quantized: the same as the model with the decoded matrices stored plain."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llminspect.opening import open_model
from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.conftest import Program

    Arrays = dict[str, NDArray[Any]]

ROWS = {"targets": ["Linear"], "weights": {"num_bits": 8, "strategy": "channel"}}
CT = {"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": ROWS}}
CT |= {"ignore": ["lm_head"], "quantization_status": "compressed"}
BNB = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": ["lm_head"]}


def in_whole_numbers(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scale = np.abs(weight).max(axis=1, keepdims=True) / np.float32(127)
    return np.round(weight / scale).astype(np.int8), scale


def quantized(golden: Golden, folder: Path, config: dict[str, Any]) -> tuple[str, str]:
    """Two folders of a model: its linear maps in whole numbers, and what they decode to."""
    stored: Arrays = {}
    plain: Arrays = {}
    for name, weight in load_file(golden.folder / "model.safetensors").items():
        plain[name] = stored[name] = weight
        if not name.endswith("_proj.weight"):
            continue
        numbers, scale = in_whole_numbers(weight.astype(np.float32))
        stored[name] = numbers
        if config is CT:
            stored[f"{name}_scale"], plain[name] = scale, numbers * scale
        else:
            largest = (scale * np.float32(127)).reshape(-1)
            stored[name.replace(".weight", ".SCB")] = largest
            plain[name] = numbers * largest[:, None] * np.float32(7.874015718698502e-3)
    paths = folder / "quantized", folder / "plain"
    for path, arrays, more in zip(paths, (stored, plain), ({"quantization_config": config}, {}), strict=True):
        path.mkdir()
        save_file(arrays, path / "model.safetensors")
        (path / "config.json").write_text(json.dumps({**golden.config(), **more}))
    return str(paths[0]), str(paths[1])


@pytest.mark.parametrize(("name", "config"), [("llama", CT), ("phi3", CT), ("llava", CT), ("mixtral", BNB)])
def test_a_quantized_model_is_the_model_of_the_decoded_matrices(
    name: str, config: dict[str, Any], tmp_path: Path
) -> None:
    paths = quantized(Golden(name), tmp_path, config)
    expected = open_model(paths[1])
    for streamed in (False, True):
        model = open_model(paths[0], streamed=streamed)
        assert model.params.arrays.keys() == expected.params.arrays.keys()
        for array in expected.params.arrays:
            assert np.array_equal(model.params.arrays[array][:], expected.params.arrays[array]), array


def test_info_says_how_many_bits_each_part_has(tmp_path: Path, called: Program) -> None:
    path, _ = quantized(Golden("phi3"), tmp_path, CT)
    result = called("info", path, "--json").json
    parts = {part["name"]: part for part in result["parts"]}
    assert parts["embedding"]["bits"] == 32
    tensors = [
        tensor for tensor in result["tensors"] if ".attention." in tensor["name"] and "norm" not in tensor["name"]
    ]
    rows = sum(tensor["shape"][0] for tensor in tensors)  # A scale of 32 bits each, of the fused matrix's rows too.
    assert parts["attention"]["bits"] == pytest.approx(8 + 32 * rows / parts["attention"]["parameters"], abs=0.01)
    assert result["weight_types"]["INT8"] > 1
    shown = called("info", path).out.partition("bits each")[2].partition("bits each")[0]
    bits = re.findall(r"% +([\d.]+)", shown)
    assert len(bits) == len(parts) and {len(text.partition(".")[2]) for text in bits} == {2}


def test_verify_takes_a_quantized_model(tmp_path: Path, called: Program) -> None:
    path, _ = quantized(Golden("llama"), tmp_path, CT)
    assert called("verify", path).code == 0


def test_a_method_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path, called: Program) -> None:
    path, _ = quantized(Golden("llama"), tmp_path, {**CT, "quant_method": "quip"})
    ran = called("info", path)
    assert ran.code == 3
    assert 'quantized by "quip"' in ran.err
    assert "bitsandbytes, compressed-tensors" in ran.err
