"""The GGUF reader: against files of the `gguf` package's own writer, and against files that are wrong on purpose."""

from __future__ import annotations

import os
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

from llminspect.errors import ModelError
from llminspect.files.gguf import GGUFFile
from llminspect.files.weights import weight_types
from tests.files.gguf_writer import GGUF, Tensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)


def opened(folder: Path, content: bytes | GGUF) -> GGUFFile:
    path = folder / "a.gguf"
    path.write_bytes(content.build() if isinstance(content, GGUF) else content)
    return GGUFFile(path)


def refused(folder: Path, content: bytes | GGUF) -> str:
    with pytest.raises(ModelError) as caught:
        opened(folder, content)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.fixture
def weights() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(5, 3, 64)).astype(np.float32)


def test_a_file_of_the_gguf_package_reads_back(tmp_path: Path, weights: NDArray[np.float32]) -> None:
    writer = gguf.GGUFWriter(tmp_path / "w.gguf", "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("llama.epsilon", 0.5)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_string("tokenizer.chat_template", "{{ naïve }}")
    writer.add_array("tokenizer.ggml.tokens", ["a", "Ġb", "🙂", ""])
    writer.add_array("tokenizer.ggml.scores", [0.0, -1.5])
    writer.add_array("flags", [True, False])
    writer.add_tensor("plain", weights)
    quantized = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q4_1)
    writer.add_tensor("small", quantized, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    with GGUFFile(tmp_path / "w.gguf") as file:
        assert file.version == 3
        assert file.metadata["general.architecture"] == "llama"
        assert file.metadata["llama.block_count"] == 2
        assert file.metadata["llama.epsilon"] == 0.5
        assert file.metadata["tokenizer.ggml.add_bos_token"] is True
        assert file.metadata["tokenizer.chat_template"] == "{{ naïve }}"
        assert file.metadata["tokenizer.ggml.tokens"] == ["a", "Ġb", "🙂", ""]
        assert file.metadata["tokenizer.ggml.scores"] == [0.0, -1.5]
        assert file.metadata["flags"] == [True, False]
        assert weight_types(file.tensors) == {"F32": 1, "Q4_1": 1}
        assert file.tensors["small"].shape == (5, 3, 64)
        assert file.tensors["small"].size == 960
        assert np.array_equal(file.array("plain"), weights)
        expected = gguf.quants.dequantize(quantized, gguf.GGMLQuantizationType.Q4_1)
        assert np.array_equal(file.array("small"), expected)
        assert np.array_equal(file.rows("small", 1, 4), expected[1:4])
        assert np.array_equal(file.rows("plain", 4, 5), weights[4:5])
        assert file.rows("plain", 2, 2).shape == (0, 3, 64)


def test_float32_is_a_view_that_cannot_be_written_and_outlives_the_file(tmp_path: Path) -> None:
    file = opened(tmp_path, GGUF(tensors=[Tensor("w", (2, 3), FLOATS.tobytes())]))
    array = file.array("w")
    assert not array.flags.writeable
    assert not array.flags.owndata
    file.close()
    assert np.array_equal(array, FLOATS)


def test_version_2_and_an_alignment_of_its_own(tmp_path: Path) -> None:
    content = GGUF([("general.alignment", 64)], [Tensor("w", (2, 3), FLOATS.tobytes())], version=2, alignment=64)
    with opened(tmp_path, content) as file:
        assert file.version == 2
        assert file.tensors["w"].offset % 64 == 0
        assert np.array_equal(file.array("w"), FLOATS)


def test_rows_of_a_quantized_vector_and_rows_that_are_not_there(tmp_path: Path) -> None:
    raw = np.random.default_rng(5).integers(0, 100, 34 * 2, dtype=np.uint8).tobytes()
    with opened(tmp_path, GGUF(tensors=[Tensor("v", (64,), raw, type=8)])) as file:
        assert np.array_equal(file.rows("v", 30, 40), file.array("v")[30:40])
        with pytest.raises(IndexError):
            file.rows("v", 0, 65)
        with pytest.raises(ModelError, match="has no tensor 'nothing'"):
            file.array("nothing")


def test_nested_arrays_and_every_scalar(tmp_path: Path) -> None:
    scalars: list[tuple[str, Any]] = [("B", 255), ("b", -1), ("H", 65535), ("h", -2), ("I", 7), ("i", -7)]
    scalars += [("f", 0.5), ("?", True), ("Q", 1 << 63), ("q", -1), ("d", 0.1)]
    metadata: list[tuple[str | bytes, Any]] = [(layout, (layout, number)) for layout, number in scalars]
    with opened(tmp_path, GGUF([*metadata, ("nested", [[1, 2], [3, 4]]), ("none", [])])) as file:
        assert [file.metadata[layout] for layout, _ in scalars] == [number for _, number in scalars]
        assert file.metadata["nested"] == [[1, 2], [3, 4]]
        assert file.metadata["none"] == []


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    with opened(tmp_path, GGUF([("name", b"a\xff"), ("tokens", [b"\xff", b"\xc3\xa9"])])) as file:
        assert file.metadata["name"] == "a\ufffd"
        assert [token.encode("utf-8", "surrogateescape") for token in file.metadata["tokens"]] == [b"\xff", b"\xc3\xa9"]


def test_a_header_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = GGUF([("a", "text"), ("b", ["x", "yz"]), ("c", [1, 2])], [Tensor("w", (2, 3), FLOATS.tobytes())])
    whole = content.build()
    for length in range(len(whole) - 8):  # The last 8 bytes are padding.
        refused(tmp_path, whole[:length])
    opened(tmp_path, whole).close()


def test_a_list_of_strings_cut_at_the_very_end(tmp_path: Path) -> None:
    whole = GGUF([("b", ["x", "yz"])]).build()
    for length in range(len(whole) - 12, len(whole)):
        assert "cut short" in refused(tmp_path, whole[:length])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello, I am text", "not a GGUF file"),
        (b"<!DOCTYPE html>", "saved web page"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"PK\x03\x04........", "zip"),
        (b"version https://git-lfs", "Git LFS pointer"),
        (b"ggjt\x01\0\0\0", "older than GGUF"),
        (GGUF(version=1), "GGUF version 1; versions 2 and 3"),
        (GGUF(version=3 << 24), "big-endian"),
        (GGUF(metadata_count=1 << 63), "9,223,372,036,854,775,808 metadata entries"),
        (GGUF(tensor_count=1 << 40), "tensors, more than it has room for"),
        (GGUF([("a", 1), ("a", 2)]), "metadata key 'a' twice"),
        (GGUF([("", 1)]), "metadata key that is empty"),
        (GGUF([("general.alignment", 24)]), "no power of two"),
        (GGUF([("general.alignment", 0)]), "no power of two"),
        (GGUF([("general.alignment", "x" * 1000)]), "no power of two"),
        (GGUF([("deep", [[[[[1]]]]])]), "arrays more than 4 deep"),
        (GGUF(tensors=[Tensor("w", (3,), bytes(12)), Tensor("w", (3,), bytes(12))]), "'w' twice"),
        (GGUF(tensors=[Tensor("w", (1, 1, 1, 1, 1), bytes(4))]), "5 dimensions"),
        (GGUF(tensors=[Tensor("w", (0, 3), bytes(4))]), "empty dimension"),
        (GGUF(tensors=[Tensor("", (1,), bytes(4))]), "without a name"),
        (
            GGUF(tensors=[Tensor("w", (1,), bytes(4), type=99)]),
            "has a tensor of an unknown type, number 99 ('w')",
        ),
        (
            GGUF(tensors=[Tensor(n, (32,), bytes(18), type=kind) for n, kind in {"v": 31, "w": 99, "x": 31}.items()]),
            "has 2 tensors of the type Q4_0_4_4 ('v' and others), a tensor of an unknown type, number 99 ('w')",
        ),
        (GGUF(tensors=[Tensor("w", (33,), bytes(40), type=8)]), "no whole number of blocks of 32"),
        (GGUF(tensors=[Tensor("w", (1 << 62, 1 << 62), bytes(4))]), "cut short: tensor 'w'"),
        (GGUF(tensors=[Tensor("w", (1,), bytes(4), offset=1 << 63)]), "cut short: tensor 'w'"),
        (GGUF(tensors=[Tensor("w", (1,), bytes(4), offset=4)]), "multiple of 32"),
        (GGUF(tensors=[Tensor("v", (2,), bytes(8)), Tensor("w", (2,), bytes(8), offset=0)]), "on the same bytes"),
        (GGUF([("a\x1b[31m\u202e", 1), ("a\x1b[31m\u202e", 1)]), r"'a\\x1b[31m\\u202e' twice"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: bytes | GGUF, message: str) -> None:
    assert message.replace("\\\\", "\\") in refused(tmp_path, content)


def test_a_type_that_ggml_took_out_is_no_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    for kind, hint in {31: "take another file of the model", 38: "take another file of the model", 99: "again"}.items():
        path.write_bytes(GGUF(tensors=[Tensor("v", (32,), bytes(18), type=kind)]).build())
        with pytest.raises(ModelError) as caught:
            GGUFFile(path)
        assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(("kind", "width"), [(8, 8), (0, 1), (10, 8), (9, 12)])
def test_arrays_without_end_are_refused_before_they_are_read(tmp_path: Path, kind: int, width: int) -> None:
    """A file with room for them: half a gigabyte of zeros, which takes up nothing on the disk."""
    count = (1 << 23) + 1
    key = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, kind, count)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key)
    os.truncate(path, 60 + count * width)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"elements|arrays in arrays"):
            GGUFFile(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_unknown_metadata_type_is_refused(tmp_path: Path) -> None:
    whole = bytearray(GGUF([("key", 5)]).build())
    whole[35] = 77  # The type, after the header of 24 bytes, a length of 8 and the key.
    assert "unknown type, number 77" in refused(tmp_path, bytes(whole))


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        GGUFFile(tmp_path / "missing.gguf")
    with pytest.raises(ModelError, match="directory"):
        GGUFFile(tmp_path)
