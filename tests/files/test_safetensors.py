"""The safetensors reader against the `safetensors` package, and against files that are wrong on purpose."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from llminspect.errors import ModelError
from llminspect.files.folder import open_safetensors
from llminspect.files.safetensors import SafetensorsFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def encoded(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: Any, shape: Any, start: Any, stop: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def opened(folder: Path, content: bytes) -> SafetensorsFile:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return SafetensorsFile(path)


def test_a_file_of_the_package_reads_back_as_float32(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {
        "single": random.normal(size=(4, 3)).astype(np.float32),
        "half": random.normal(size=(5,)).astype(np.float16),
        "double": random.normal(size=(2, 2, 2)),
        "whole": np.arange(7),
        "byte": np.arange(3, dtype=np.uint8),
        "yes": np.array([True, False]),
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
    }
    save_file(arrays, tmp_path / "model.safetensors", {"format": "np"})
    file = SafetensorsFile(tmp_path / "model.safetensors")
    assert dict(file.metadata) == {"format": "np"}
    assert set(file.tensors) == set(arrays)
    for name, array in arrays.items():
        assert file.array(name).dtype == np.float32
        np.testing.assert_array_equal(file.array(name), array.astype(np.float32))
    np.testing.assert_array_equal(file.rows("single", 1, 3), arrays["single"][1:3])
    np.testing.assert_array_equal(file.rows("half", 2, 5), arrays["half"][2:5].astype(np.float32))
    assert file.rows("empty", 0, 0).shape == (0, 4)
    with pytest.raises(IndexError):
        file.rows("single", 3, 5)


def test_float32_is_a_view_that_cannot_be_written_and_outlives_the_file(tmp_path: Path) -> None:
    values = np.arange(4, dtype=np.float32)
    header = json.dumps({"w": entry("F32", [4], 0, 16)}).encode()
    file = opened(tmp_path, encoded(header + b" " * (-len(header) % 8), values.tobytes()))
    array = file.array("w")
    assert not array.flags.writeable
    assert not array.flags.owndata
    file.close()
    np.testing.assert_array_equal(array, values)


def test_numbers_that_do_not_lie_straight_are_copied(tmp_path: Path) -> None:
    header = json.dumps({"w": entry("F32", [2], 0, 8)}).encode()
    content = encoded(header + b" " * (-len(header) % 8 + 1), np.array([1, 2], np.float32).tobytes())
    np.testing.assert_array_equal(opened(tmp_path, content).array("w"), [1, 2])


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, np.inf, 2**-130], np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    file = opened(tmp_path, encoded({"w": entry("BF16", [4], 0, 8)}, halves.tobytes()))
    np.testing.assert_array_equal(file.array("w"), (halves.astype(np.uint32) << 16).view(np.float32))


def test_a_type_without_a_reader_is_named_when_it_is_read(tmp_path: Path) -> None:
    file = opened(tmp_path, encoded({"w": entry("F4", [2], 0, 1)}, bytes(1)))
    with pytest.raises(ModelError, match="F4 cannot be read"):
        file.array("w")
    with pytest.raises(ModelError, match="has no tensor 'v'"):
        file.array("v")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too short"),
        (b"1234567", "too short"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(100), "not a safetensors file"),
        (struct.pack("<Q", 1 << 63) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 10) + b"{}", "cut short: its header"),
        (encoded(b"[1]"), "not a safetensors file"),
        (encoded(b"{"), "not JSON"),
        (encoded(b'{"a": "\xff"}'), "not JSON"),
        (encoded(b'{"a":' * 50_000), "not JSON"),
        (encoded(b'{"a": {}, "a": {}}'), "twice"),
        (encoded({"__metadata__": {"a": 1}}), "metadata that is not text"),
        (encoded({"__metadata__": []}), "metadata that is not text"),
        (encoded({"w": []}), "lacks the dtype, shape or data_offsets"),
        (encoded({"w": {"dtype": "F32", "shape": [1]}}, bytes(4)), "lacks the dtype, shape or data_offsets"),
        (encoded(b'{"__metadata__": {"a": NaN}}'), "not JSON"),
        (encoded(b'{"\\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', bytes(4)), "not JSON"),
        (encoded({"w": entry("F32", [0, 1 << 62, 1 << 62], 0, 0)}), "larger than any memory"),
        (encoded({"w": entry("F31", [1], 0, 4)}, bytes(4)), 'unknown type, "F31"'),
        (encoded({"w": entry(["F32"], [1], 0, 4)}, bytes(4)), "unknown type"),
        (encoded({"w": entry("F32", [-1], 0, 4)}, bytes(4)), "no list of whole numbers"),
        (encoded({"w": entry("F32", [1.0], 0, 4)}, bytes(4)), "no list of whole numbers"),
        (encoded({"w": entry("F32", [True], 0, 4)}, bytes(4)), "no list of whole numbers"),
        (encoded({"w": entry("F32", [1 << 63], 0, 4)}, bytes(4)), "no list of whole numbers"),
        (encoded({"w": entry("F32", [1 << 58], 0, 4)}, bytes(4)), "takes 4 bytes"),
        (encoded({"w": entry("F32", [2], 0, 4)}, bytes(8)), "takes 4 bytes, its shape says 8"),
        (encoded({"w": entry("F32", [1], 4, 0)}, bytes(4)), "takes -4 bytes"),
        (encoded({"w": entry("F4", [1], 0, 0)}), "takes 0 bytes"),
        (encoded({"w": entry("F32", [1], 4, 8)}, bytes(8)), "a gap or an overlap"),
        (encoded({"v": entry("F32", [1], 0, 4), "w": entry("F32", [1], 0, 4)}, bytes(4)), "a gap or an overlap"),
        (encoded({"w": entry("F32", [2], 0, 8)}, bytes(7)), "cut short: its tensors end"),
        (encoded({"w": entry("F32", [2], 0, 8)}, bytes(9)), "1 bytes after its last tensor"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        opened(tmp_path, content)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_what_the_package_accepts_too(tmp_path: Path) -> None:
    more = {**entry("F32", [1], 0, 4), "more": 1}
    assert set(opened(tmp_path, encoded({"__metadata__": None, "w": more}, bytes(4))).tensors) == {"w"}


# -- Several files -----------------------------------------------------------------------------------------------------

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def shards(folder: Path, weight_map: Mapping[str, Any]) -> Path:
    save_file({"a": np.ones((2, 2), np.float32), "b": np.zeros(3, np.float16)}, folder / FIRST)
    save_file({"c": np.arange(6, dtype=np.float32).reshape(3, 2)}, folder / SECOND)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def test_shards_are_one_set_of_tensors(tmp_path: Path) -> None:
    weights = open_safetensors(shards(tmp_path, {"a": FIRST, "b": FIRST, "c": SECOND}))
    assert set(weights.tensors) == {"a", "b", "c"}
    np.testing.assert_array_equal(weights.array("a"), np.ones((2, 2)))
    np.testing.assert_array_equal(weights.rows("c", 1, 2), [[2, 3]])
    with pytest.raises(ModelError, match="no tensor 'd'"):
        weights.array("d")
    weights.close()


def test_what_the_index_forgets_counts_too(tmp_path: Path) -> None:
    assert set(open_safetensors(shards(tmp_path, {"a": FIRST, "c": SECOND})).tensors) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ([], "no weight_map"),
        ({"a": 1}, "no weight_map"),
        ({"a": "../model.safetensors"}, "not a .safetensors file beside it"),
        ({"a": "/etc/model.safetensors"}, "not a .safetensors file beside it"),
        ({"a": "..\\model.safetensors"}, "not a .safetensors file beside it"),
        ({"a": "C:model.safetensors"}, "not a .safetensors file beside it"),
        ({"a": "pytorch_model.bin"}, "not a .safetensors file beside it"),
        ({"a": "x\0.safetensors"}, "not a .safetensors file beside it"),
        ({"a": "other.safetensors"}, "'other.safetensors', which is not there"),
        ({"a": FIRST, "c": FIRST}, "holds tensor 'c', which it does not"),
        ({"z": FIRST}, "holds tensor 'z', which it does not"),
    ],
)
def test_an_index_that_is_wrong(tmp_path: Path, weight_map: Any, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        open_safetensors(shards(tmp_path, weight_map))
    assert message in caught.value.message


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = shards(tmp_path, {"a": FIRST, "c": SECOND})
    save_file({"b": np.ones(1, np.float32), "c": np.ones(1, np.float32)}, folder / SECOND)
    with pytest.raises(ModelError, match="tensor 'b' is in"):
        open_safetensors(folder)
