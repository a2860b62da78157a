"""Files of weights: GGUF, safetensors, and the index of several."""

from __future__ import annotations

import json
import math
import struct
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.errors import UserError
from llminspect.files.folder import open_safetensors
from llminspect.files.gguf import GGUFFile
from llminspect.files.safetensors import SafetensorsFile
from llminspect.files.weights import DECODABLE
from tests.fuzz import mutate, samples

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from llminspect.files.weights import WeightFile
from tests.fuzz.refusal import refused


def read_all(file: WeightFile, size: int) -> None:
    for name, info in file.tensors.items():
        assert info.offset + info.nbytes <= size
        if info.type in DECODABLE:
            array = file.array(name)
            assert array.shape == info.shape
            assert array.dtype == np.float32
            if info.shape and info.shape[0]:
                assert file.rows(name, 0, 1).shape == (1, *info.shape[1:])


def check_gguf(folder: Path, content: bytes) -> bool:
    """The file alone: header and tensors."""
    path = folder / "model.gguf"
    path.write_bytes(content)
    try:
        with GGUFFile(path) as file:
            read_all(file, len(content))
    except UserError as error:
        return refused(error)
    return True


def changed_gguf(random: Random) -> bytes:
    return mutate.changed_gguf(random, random.choice(samples.gguf_files()))


@cache
def right_safetensors() -> list[bytes]:
    found = [path.read_bytes()[:4096] for path in sorted(samples.GOLDEN.glob("*/model.safetensors"))[:1]]
    header = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "v": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
        "e": {"dtype": "F16", "shape": [0, 4], "data_offsets": [32, 32]},
        "s": {"dtype": "I64", "shape": [], "data_offsets": [32, 40]},
    }
    text = json.dumps(header).encode()
    return [*found, struct.pack("<Q", len(text)) + text + bytes(range(40))]


BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32}


BITS |= {"U16": 16, "U8": 8, "BOOL": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "C64": 64}


def built_safetensors(random: Random) -> bytes:
    """A file of other tensors than the samples', all of it in order (but for halves of bytes, and a name twice)."""
    header: dict[str, Any] = {}
    position = 0
    for _ in range(random.randrange(6)):
        dtype, shape = random.choice(list(BITS)), random.choices((0, 1, 2, 3, 4), k=random.randrange(4))
        end = position + math.prod(shape) * BITS[dtype] // 8
        header[random.choice(mutate.STRINGS)] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        position = end
    if random.random() < 0.3:
        header["__metadata__"] = {random.choice(mutate.STRINGS): random.choice(mutate.STRINGS)}
    text = json.dumps(header, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    text += b" " * random.choice((0, 0, -len(text) % 8, 9))
    return struct.pack("<Q", len(text)) + text + bytes(position)


def changed_safetensors(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.4:
        built = built_safetensors(random)
        return built if kind < 0.2 else mutate.changed_bytes(random, built)
    content = random.choice(right_safetensors())
    if kind < 0.6:
        return mutate.changed_bytes(random, content)
    content = right_safetensors()[-1]
    (length,) = struct.unpack_from("<Q", content)
    header = mutate.changed_json(random, json.loads(content[8 : 8 + length]))
    text = mutate.json_bytes(random, header)
    stated = len(text) if random.random() < 0.95 else mutate.edge(random)
    return struct.pack("<Q", stated) + text + content[8 + length :][: random.choice((40, 40, 40, 39, 0))]


def check_safetensors(folder: Path, content: bytes) -> bool:
    """One file; never more is accepted than the `safetensors` package accepts."""
    import safetensors

    path = folder / "model.safetensors"
    path.write_bytes(content)
    try:
        file = SafetensorsFile(path)
        read_all(file, len(content))
        file.close()
    except UserError as error:
        return refused(error)
    safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    return True


INDEX = {
    "metadata": {"total_size": 64},
    "weight_map": {"w": "a.safetensors", "v": "a.safetensors", "x": "b.safetensors"},
}


def changed_index(random: Random) -> bytes:
    names = ["a.safetensors", "../a.safetensors", "/etc/passwd", "b.safetensors", "c.safetensors", "a\0.safetensors"]
    index = mutate.changed_json(random, INDEX)
    if random.random() < 0.3 and isinstance(index.get("weight_map"), dict):
        index["weight_map"][random.choice(("w", "y"))] = random.choice(names)
    return mutate.json_bytes(random, index)


def check_index(folder: Path, content: bytes) -> bool:
    """A folder of two shards and an index."""
    if not (folder / "b.safetensors").exists():
        whole = right_safetensors()[-1]
        (folder / "a.safetensors").write_bytes(whole)
        text = json.dumps({"x": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}).encode()
        (folder / "b.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"ab")
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "model.safetensors.index.json").write_bytes(content)
    try:
        file = open_safetensors(folder)
        for name in file.tensors:
            file.array(name)
        file.close()
    except UserError as error:
        return refused(error)
    return True
