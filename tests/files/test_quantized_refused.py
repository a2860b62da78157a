"""Quantized matrices that are broken, do not fit, or are stored as nobody has published: refused by name, or read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.errors import ModelError
from llminspect.files.quantized import METHODS, opened
from llminspect.files.safetensors import SafetensorsFile
from tests.files.quantized_files import CT, FOLDER, NAME, STORED, of_floats, stored

if TYPE_CHECKING:
    from pathlib import Path

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32}
GROUPS = {"g": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32}}}


def changed(value: Any, chance: np.random.Generator) -> Any:
    """The same with one value somewhere inside replaced."""
    if isinstance(value, dict) and value:
        key = list(value)[chance.integers(len(value))]
        return {**value, key: changed(value[key], chance)}
    others: tuple[Any, ...] = (
        None,
        True,
        0,
        -1,
        3,
        1e300,
        "",
        "group",
        [],
        [0, 0],
        {},
        {"a": 1},
        1 << 70,
        ["re:("],
        ["up_proj"],
    )
    return others[chance.integers(len(others))]


@pytest.mark.parametrize(
    ("stem", "path", "value", "refused"),
    [
        ("mlx-nvfp4", ("mode",), "nvfp5", 'mode = "nvfp5"'),
        ("mlx-nvfp4", ("group_size",), 32, "group_size = 32"),
        ("mlx-mxfp8", ("bits",), 4, "bits = 4"),
        ("ct-nvfp4", ("config_groups", "group_0", "weights", "group_size"), 32, "group_size = 32"),
        ("ct-nvfp4", ("config_groups", "group_0", "weights", "symmetric"), False, "symmetric = false"),
        ("ct-mxfp4", ("config_groups", "group_0", "weights", "strategy"), "tensor_group", "strategy"),
        ("ct-mxfp4", ("format",), "mxfp6-pack-quantized", "mxfp6"),
    ],
)
def test_small_floats_of_another_make_are_refused(stem: str, path: tuple[str, ...], value: Any, refused: str) -> None:
    file = SafetensorsFile(FOLDER / f"{stem}.safetensors")
    config = inner = json.loads(file.metadata["config"])
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ModelError, match=refused):
        opened(file, {"quantization" if stem.startswith("mlx") else "quantization_config": config})


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 1), (1,), (), (2,), (3, 2), (2, 2, 1)])
def test_scales_of_blocks_that_do_not_fit_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    config = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    with pytest.raises(ModelError, match="which does not go with"):
        of_floats(tmp_path / "of", config, "weight_scale_inv", np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("config", "words_of_it"),
    [
        ({"quant_method": "aqlm"}, 'quantized by "aqlm"'),
        ({"bits": 4}, 'quantized by "unknown"'),
        ({**GPTQ, "bits": 5}, "(gptq): bits = 5 is not understood"),
        ({**GPTQ, "dynamic": {"-:lm_head": {}}}, 'dynamic = {"-:lm_head": {}} is not understood'),
        ({**GPTQ, "twist": 1}, "settings that are not understood: twist = 1"),
        ({**GPTQ, "group_size": 16}, "[4, 32] is what goes with the rest"),
        ({**GPTQ, "modules_to_not_convert": ["up_proj"]}, "leaves 'up_proj' as it is"),
        ({**GPTQ, "bits": 8}, "has the shape (2, 32), and [1, 32] is what"),
        ({"quant_method": "awq", "version": "gemv"}, 'version = "gemv" is not understood'),
        ({"quant_method": "bitsandbytes"}, "load_in_4bit = null is not understood"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "quantized (bitsandbytes), and none is"),
        ({**CT, "config_groups": GROUPS, "transform_config": {"a": 1}}, "transform_config ="),
        ({**CT, "format": "marlin-24", "config_groups": GROUPS}, "format = 'marlin-24' is not understood"),
        ({**CT, "config_groups": {}}, "config_groups = {} is not understood"),
        ({"quant_method": "modelopt", "quant_algo": "W4A8"}, 'quant_algo = "W4A8" is not understood'),
    ],
)
def test_what_is_not_understood_is_refused_by_name(config: dict[str, Any], words_of_it: str, tmp_path: Path) -> None:
    parts = {"qweight": np.zeros((8, 32), "i4"), "qzeros": np.zeros((2, 4), "i4"), "scales": np.zeros((2, 32), "f2")}
    with pytest.raises(ModelError) as caught:
        stored(tmp_path / "m.safetensors", config, **parts)
    assert words_of_it in caught.value.message
    if "quantized by" in words_of_it:
        assert all(method in str(caught.value.hint) for method in METHODS)


@pytest.mark.parametrize("pattern", ["re:(a+)+$", "re:.*.*.*.*x", "re:[", "re:a{9}{9}"])
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str, tmp_path: Path) -> None:
    parts = {"qweight": np.zeros((8, 32), "i4"), "qzeros": np.zeros((2, 4), "i4"), "scales": np.zeros((2, 32), "f2")}
    with pytest.raises(ModelError, match="the pattern"):
        stored(tmp_path / "m.safetensors", {**GPTQ, "ignore": [pattern]}, **parts)
    with pytest.raises(ModelError, match="leaves"):
        stored(tmp_path / "m.safetensors", {**GPTQ, "ignore": [r"re:.*layers\.\d+\..*up_proj$"]}, **parts)


@pytest.mark.parametrize("order", [-1, 2])
def test_groups_that_are_not_there(order: int, tmp_path: Path) -> None:
    parts = {"qweight": np.zeros((8, 32), "i4"), "qzeros": np.zeros((2, 4), "i4"), "scales": np.zeros((2, 32), "f2")}
    weights = stored(tmp_path / "m.safetensors", GPTQ, **parts, g_idx=np.full(64, order, "i4"))
    with pytest.raises(ModelError, match="names groups beyond the 2"):
        weights.array(NAME)


def test_a_broken_file_or_configuration_is_refused_or_read_and_nothing_else(tmp_path: Path) -> None:
    chance, path, read = np.random.default_rng(9), tmp_path / "m.safetensors", 0
    for turn in range(300):
        plain = (FOLDER / f"{STORED[turn % len(STORED)]}.safetensors").read_bytes()
        length = int.from_bytes(plain[:8], "little")
        header = json.loads(plain[8 : 8 + length])
        config = json.loads(header["__metadata__"]["config"])
        if turn % 2:
            config = changed(config, chance)
        else:
            name = list(header)[1 + chance.integers(len(header) - 1)]
            size = int(np.prod(header[name]["shape"], dtype=np.int64))
            shapes = [[size], [1, size], [size, 1], [1, 1, size], [*([size // 2, 2] if size % 2 == 0 else [size])]]
            header[name]["shape"] = shapes[chance.integers(len(shapes))]
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + plain[8 + length :])
        try:
            weights = opened(
                SafetensorsFile(path), {"quantization_config" if "quant_method" in config else "quantization": config}
            )
            assert all(weights.array(name).shape == info.shape for name, info in weights.tensors.items())
            read += 1
        except ModelError:
            pass
    assert 20 < read < 200
