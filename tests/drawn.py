"""The weights of the golden models, drawn from a seed instead of stored.

A golden folder keeps `weights.txt`, and what it says is written beside it as `model.safetensors` (or as the files that
its index names), which git ignores; `python -m tests.drawn` does it for all, and every run of the tests for those that
lack it or changed. The first line gives the seed and the kind of number, then a line a tensor: its name, its shape, and
the mean and the spread of its numbers. A name with `{0,2}` stands for one tensor each; a single number has the shape -.

    seed 3 F32
    model.layers.{0,1,2}.self_attn.q_proj.weight 60x36 0 0.25

Numbers that the reference computes itself stand there as they are: `inv_freq 2 = 1.0 0.01`.

A number is mean + spread · (a + b + c) / 2¹⁵ where a, b and c are 16 bits each, counted from their middle, of the hash
SHAKE-128 of the seed and the name: near a normal distribution, and by additions, products and roundings of IEEE 754
only, so that each machine gets the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llminspect.core.array import Array

GOLDEN, DESCRIPTION, INDEX = Path(__file__).parent / "golden", "weights.txt", "model.safetensors.index.json"
STAMP = "drawn from"


def tensors(description: str) -> Iterator[tuple[str, str, Array]]:
    """Each tensor's name, its kind of number, and its numbers: those of BF16 as their 16 bits."""
    head, *lines = description.splitlines()
    _, seed, kind = head.split()
    for line in lines:
        names, shape, *numbers = line.split()
        size = () if shape == "-" else tuple(map(int, shape.split("x")))
        for name in each(names):
            if numbers[0] == "=":
                values = np.array(numbers[1:], np.float64).reshape(size)
            else:
                mean, spread = map(float, numbers)
                values = np.asarray(mean + spread * noise(f"{seed} {name}", size))
            yield name, kind, rounded(values, kind)


def each(names: str) -> Iterator[str]:
    """The names for which one with braces stands."""
    parts = re.split(r"\{(.*?)\}", names)
    for chosen in product(*(part.split(",") for part in parts[1::2])):
        yield "".join(part + number for part, number in zip(parts[::2], [*chosen, ""], strict=True))


def noise(key: str, shape: tuple[int, ...]) -> Array:
    """Of mean 0 and spread 1, all within ±3."""
    count = math.prod(shape)
    parts = np.frombuffer(hashlib.shake_128(key.encode()).digest(6 * count), "<u2").reshape(count, 3)
    found: Array = (parts.sum(axis=1, dtype=np.int64) - 3 * 32767.5) / 32768
    return found.reshape(shape)


def rounded(values: Array, kind: str) -> Array:
    if kind != "BF16":
        return values.astype({"F32": "<f4", "F16": "<f2"}[kind])
    bits: Array = values.astype("<f4").view("<u4")
    whole: Array = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return whole.astype("<u2")


def file_of(named: dict[str, tuple[str, Array]], stamp: str) -> bytes:
    """As safetensors has it: the length of the header, the header, the numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", STAMP: stamp}}
    end = 0
    for name, (kind, array) in named.items():
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (end, end := end + array.nbytes)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for _, array in named.values())


def stamped(path: Path, stamp: str) -> bool:
    """Whether the file is there and was made of the same description, by the same code."""
    with suppress(OSError), path.open("rb") as file:
        return stamp.encode() in file.read(8 + 2 * len(stamp) + 64)
    return False


def make(folder: Path) -> None:
    """Write the weights of a golden folder, unless they are there; several processes at once do no harm."""
    description = (folder / DESCRIPTION).read_text("utf-8")
    stamp = hashlib.sha256(CODE + description.encode()).hexdigest()
    index = folder / INDEX
    places: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"] if index.exists() else {}
    files = sorted({*places.values()}) or ["model.safetensors"]
    if all(stamped(folder / name, stamp) for name in files):
        return
    drawn = {name: (kind, array) for name, kind, array in tensors(description)}
    for file in files:
        part = {name: of for name, of in drawn.items() if not places or places[name] == file}
        beside = folder / file.replace(".safetensors", f".{os.getpid()}.safetensors")
        beside.write_bytes(file_of(part, stamp))
        beside.replace(folder / file)


def make_all(golden: Path = GOLDEN) -> None:
    for path in sorted(golden.glob(f"*/{DESCRIPTION}")):
        make(path.parent)


CODE = Path(__file__).read_bytes()

if __name__ == "__main__":
    make_all()
