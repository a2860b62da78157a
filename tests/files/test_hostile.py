"""Files from strangers: whatever the bytes, the readers give a model or one clear line.

The inputs are made from right files: fields get values that do not fit the rest, bytes change, ends go missing. Each
input that is accepted is read to the end, and no more memory is held than a small multiple of the file.
"""

from __future__ import annotations

import json
import math
import struct
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from llminspect.errors import ModelError
from llminspect.files.folder import shard_names
from llminspect.files.gguf import GGUFFile
from llminspect.files.quant_types import BY_NUMBER
from llminspect.files.safetensors import SafetensorsFile
from llminspect.files.source import read_json
from llminspect.files.weights import DECODABLE
from tests.files.gguf_writer import GGUF, SCALARS, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llminspect.files.weights import WeightFile

EDGES = [
    0,
    1,
    7,
    8,
    31,
    32,
    33,
    255,
    256,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
]
edges = st.sampled_from(EDGES) | st.integers(0, 2**64 - 1)


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder) / "model.bin"


def check(path: Path, content: bytes, open_file: Callable[[Path], WeightFile]) -> bool:
    """Whether the file is accepted; then everything in it can be read. Anything but a model or one line fails."""
    path.write_bytes(content)
    try:
        file = open_file(path)
    except ModelError as error:
        assert "\n" not in error.message
        assert error.message.isprintable()
        assert len(error.message) < 1000
        return False
    for name, info in file.tensors.items():
        assert info.offset + info.nbytes <= len(content)
        if info.type in DECODABLE:
            array = file.array(name)
            assert array.shape == info.shape
            assert array.dtype == np.float32
            assert array.size == math.prod(info.shape)
            if info.shape and info.shape[0]:
                np.testing.assert_array_equal(file.rows(name, 0, 1), array[:1])
    return True


def mutated(content: bytes, changes: list[tuple[int, int]], fields: list[tuple[int, int]], keep: float) -> bytes:
    """Bytes changed, numbers of 8 bytes replaced, and the end cut off."""
    data = bytearray(content)
    for place, value in changes:
        data[place % len(data)] = value
    for place, number in fields:
        struct.pack_into("<Q", data, place % (len(data) - 8), number)
    return bytes(data[: max(1, int(len(data) * keep))])


changes = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4)
fields = st.lists(st.tuples(st.integers(0, 5000), edges), max_size=2)
keeps = st.just(1.0) | st.floats(0, 1)

# -- GGUF --------------------------------------------------------------------------------------------------------------

scalars = st.sampled_from(sorted(SCALARS)).flatmap(
    lambda layout: st.tuples(
        st.just(layout),
        {"f": st.floats(width=32), "d": st.floats(), "?": st.booleans()}.get(
            layout,
            st.integers(
                -(2 ** (8 * struct.calcsize(layout) - 1)) if layout.islower() else 0,
                2 ** (8 * struct.calcsize(layout) - (1 if layout.islower() else 0)) - 1,
            ),
        ),
    )
)
values = st.recursive(
    st.binary(max_size=20) | scalars, lambda inner: st.lists(inner, max_size=1) | st.just([]), max_leaves=6
)
keys = st.sampled_from(["general.architecture", "general.alignment", "a", "b", "a"]) | st.binary(max_size=12)
tensors = st.builds(
    Tensor,
    name=st.sampled_from(["w", "v", "w"]) | st.binary(max_size=12),
    shape=st.lists(st.sampled_from([1, 2, 32, 64, 256]) | edges, max_size=5).map(tuple),
    data=st.binary(max_size=600),
    type=st.sampled_from([*BY_NUMBER, 4, 99, 2**32 - 1]),
    offset=st.none() | edges,
)
gguf_files = st.builds(
    GGUF,
    metadata=st.lists(st.tuples(keys, values), max_size=4),
    tensors=st.lists(tensors, max_size=3),
    version=st.sampled_from([2, 3, 3, 3, 1, 0, 2**24 * 3]),
    metadata_count=st.none() | st.none() | edges,
    tensor_count=st.none() | st.none() | edges,
)
RIGHT_GGUF = GGUF(
    [("general.architecture", "llama"), ("tokens", ["a", "bc", "def"]), ("scores", [0.5, 1.5]), ("deep", [[1], [2]])],
    [Tensor("w", (2, 32), bytes(36), type=2), Tensor("v", (4, 3), bytes(48)), Tensor("k", (256,), bytes(144), type=12)],
).build()


@settings(max_examples=300, deadline=None)
@given(gguf_files)
def test_gguf_with_fields_that_do_not_fit(path: Path, file: GGUF) -> None:
    check(path, file.build(), GGUFFile)


@settings(max_examples=300, deadline=None)
@given(changes, fields, keeps)
def test_gguf_with_bytes_changed(
    path: Path, changes: list[tuple[int, int]], fields: list[tuple[int, int]], keep: float
) -> None:
    check(path, mutated(RIGHT_GGUF, changes, fields, keep), GGUFFile)


def test_the_right_gguf_is_accepted(path: Path) -> None:
    assert check(path, RIGHT_GGUF, GGUFFile)


@pytest.mark.parametrize("count", [2**20, 2**40, 2**61, 2**64 - 1])
def test_a_count_without_the_bytes_for_it_allocates_nothing(path: Path, count: int) -> None:
    """The largest promise that a short file can make, for each kind of array."""
    for kind in (0, 6, 8, 9, 12):
        key = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, kind, count)
        tracemalloc.start()
        assert not check(path, b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + bytes(1000), GGUFFile)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


# -- safetensors -------------------------------------------------------------------------------------------------------

dtypes = st.sampled_from(["F32", "F16", "BF16", "I64", "U8", "BOOL", "F4", "F31"]) | st.integers()
sizes = st.sampled_from([0, 1, 2, 3, 2**31, 2**62, 2**63, 2**64]) | st.integers(-2, 6)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": dtypes,
        "shape": st.lists(sizes, max_size=3) | st.none(),
        "data_offsets": st.lists(sizes, min_size=1, max_size=3) | st.tuples(st.just(0), st.just(8)).map(list),
    },
)
right_entries = st.integers(0, 4).map(lambda n: {"dtype": "F32", "shape": [n], "data_offsets": [0, 4 * n]})
headers = st.dictionaries(
    st.sampled_from(["w", "v", "__metadata__", "\x1b[31m"]) | st.text(max_size=5),
    entries | right_entries | st.dictionaries(st.text(max_size=3), st.text(max_size=3)) | st.integers(),
    max_size=3,
)
RIGHT_HEADER = {
    "__metadata__": {"format": "pt"},
    "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "v": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
}


def safetensors_bytes(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def package_accepts(content: bytes) -> bool:
    try:
        safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError:
        return False
    return True


def beyond_numpy(entry: Any) -> bool:
    """Whether an empty tensor has a shape that no array can have."""
    shape = entry.get("shape") if isinstance(entry, dict) else None
    return isinstance(shape, list) and math.prod(max(length, 1) for length in shape) >= 1 << 60


@settings(max_examples=300, deadline=None)
@given(headers, st.integers(0, 40))
def test_safetensors_accepted_as_the_package_does(path: Path, header: dict[str, Any], length: int) -> None:
    content = safetensors_bytes(header, bytes(length))
    accepted = check(path, content, SafetensorsFile)
    assert accepted == (package_accepts(content) and not any(map(beyond_numpy, header.values())))


@settings(max_examples=300, deadline=None)
@given(changes, fields, keeps)
def test_safetensors_with_bytes_changed(
    path: Path, changes: list[tuple[int, int]], fields: list[tuple[int, int]], keep: float
) -> None:
    content = mutated(safetensors_bytes(RIGHT_HEADER, bytes(32)), changes, fields, keep)
    # Never more than the package accepts; less where a name stands twice.
    assert package_accepts(content) or not check(path, content, SafetensorsFile)


def test_the_right_safetensors_are_accepted(path: Path) -> None:
    assert check(path, safetensors_bytes(RIGHT_HEADER, bytes(32)), SafetensorsFile)


# -- JSON --------------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps({"weight_map": value}).encode()))
def test_json_gives_an_object_or_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for read in (read_json, shard_names):
        try:
            assert isinstance(read(path), dict)
        except ModelError as error:
            assert "\n" not in error.message
            assert error.message.isprintable()
