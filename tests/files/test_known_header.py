"""Headers that were parsed before: the same as parsed anew, and never those of another file."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from llminspect.files import gguf, hashes, kept_header
from llminspect.files.cache_folder import entries, faults, remove
from llminspect.files.gguf import GGUFFile
from llminspect.files.gguf_header import Header
from tests.files.gguf_writer import GGUF, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WORDS = [f"word {number} \u0120\U0001f642" for number in range(20_000)]
NOT_UTF8 = b"\xff\xfe"


def write(path: Path, words: Sequence[str | bytes]) -> Path:
    metadata: list[tuple[str | bytes, Any]] = [
        ("general.architecture", "llama"),
        ("a.rate", 0.5),
        ("tokenizer.ggml.tokens", list(words)),
    ]
    path.write_bytes(GGUF(metadata, [Tensor("w", (2, 3), bytes(24))]).build())
    return path


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was just written counts as settled."""
    monkeypatch.setattr(hashes, "TICK", 0)
    monkeypatch.setattr(hashes, "COARSE_TICK", 0)


def refuse(*_: object) -> NoReturn:
    raise AssertionError("parsed")


def test_the_second_time_it_is_not_parsed_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.gguf", [*WORDS, NOT_UTF8])
    first = GGUFFile(path)
    monkeypatch.setattr(gguf, "read_header", refuse)
    second = GGUFFile(path)
    assert second.metadata == first.metadata
    assert second.metadata["tokenizer.ggml.tokens"][-1] == NOT_UTF8.decode("utf-8", "surrogateescape")
    assert second.tensors == first.tensors and second.version == first.version
    assert second.array("w").shape == (2, 3)


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_a_copy_that_is_not_whole_is_not_read(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "a.gguf", WORDS)
    GGUFFile(path)
    (entry,) = [entry for entry in entries() if entry.kind == "header"]
    assert faults(entry) == []
    data = bytearray(entry.path.read_bytes())
    data[len(data) // 2] ^= 1
    changed: dict[str, bytes] = {"cut": bytes(data[:-1]), "flipped": bytes(data), "foreign": b"x" * 40, "empty": b""}
    entry.path.write_bytes(changed[damage])
    assert faults(entry) == ["not whole"]
    assert GGUFFile(path).metadata["tokenizer.ggml.tokens"] == WORDS
    assert faults(entry) == []  # Written anew.
    assert remove(entry) and not [entry for entry in entries() if entry.kind == "header"]


def test_another_file_in_the_same_place_is_parsed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", WORDS)
    GGUFFile(path)
    others = [word[::-1] for word in WORDS]
    write(path, others)
    assert GGUFFile(path).metadata["tokenizer.ggml.tokens"] == others


def test_nothing_is_kept_of_what_was_changed_just_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "TICK", 1000)
    monkeypatch.setattr(hashes, "COARSE_TICK", 1000)
    GGUFFile(write(tmp_path / "a.gguf", WORDS))
    assert [entry for entry in entries() if entry.kind == "header"] == []


def test_a_small_header_is_not_kept(tmp_path: Path) -> None:
    GGUFFile(write(tmp_path / "a.gguf", WORDS[:100]))
    assert [entry for entry in entries() if entry.kind == "header"] == []


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file where the folder would be")
    assert GGUFFile(write(tmp_path / "a.gguf", WORDS)).metadata["tokenizer.ggml.tokens"] == WORDS


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON of a kept header, and make the checksum right."""
    content = kept_header.whole_content(path)
    assert content is not None
    length = int.from_bytes(content[:4], "little")
    kept = json.loads(content[4 : 4 + length])
    text = json.dumps(change(kept) or kept).encode()
    content = len(text).to_bytes(4, "little") + text + content[4 + length :]
    path.write_bytes(kept_header.MAGIC + zlib.crc32(content).to_bytes(4, "little") + content)


ODD: dict[str, Callable[[dict[str, Any]], object]] = {
    "no object": lambda kept: [kept],
    "of another file": lambda kept: kept.update(of="x"),
    "a version that is none": lambda kept: kept.update(version="3"),
    "no metadata": lambda kept: kept.pop("metadata"),
    "metadata of another form": lambda kept: kept.update(metadata=[1]),
    "bytes that are not there": lambda kept: kept["metadata"]["tokenizer.ggml.tokens"].__setitem__(1, 1 << 60),
    "fewer bytes than there are": lambda kept: kept["metadata"]["tokenizer.ggml.tokens"].__setitem__(1, 3),
    "a list of no known kind": lambda kept: kept["metadata"]["tokenizer.ggml.tokens"].__setitem__(0, ""),
    "numbers whose bytes are no whole number": lambda kept: kept["metadata"]["tokenizer.ggml.tokens"].__setitem__(
        0, "q"
    ),
    "a tensor after the end": lambda kept: kept["tensors"][0].__setitem__(3, 1 << 40),
    "a tensor in front of the start": lambda kept: kept["tensors"][0].__setitem__(3, -1),
    "a tensor of an unknown type": lambda kept: kept["tensors"][0].__setitem__(2, "F33"),
    "a tensor whose shape is another": lambda kept: kept["tensors"][0].__setitem__(1, [1 << 61, 1 << 61]),
    "a tensor of too few words": lambda kept: kept["tensors"].__setitem__(0, ["w"]),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_content_with_the_right_sum_is_made_anew(what: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", WORDS)
    GGUFFile(path)
    (entry,) = [entry for entry in entries() if entry.kind == "header"]
    before = entry.path.read_bytes()
    rewritten(entry.path, ODD[what])
    assert faults(entry) == []  # The sum is right.
    file = GGUFFile(path)
    assert file.metadata["tokenizer.ggml.tokens"] == WORDS
    assert file.array("w").shape == (2, 3)
    assert entry.path.read_bytes() == before


LISTS: list[list[Any]] = [
    [f"token {number}" for number in range(300)],
    ["\0\x01\x1e\x1f\ue000", *map(str, range(300))],
    ["a\0b", *map(str, range(300))],
    ["\ud800", *map(str, range(300))],
    [""] * 300,
    [float(number) / 3 for number in range(300)],
    [float("inf"), float("-inf"), -0.0] * 100,
    list(range(-150, 150)),
    [(1 << 64) - 1] * 300,
    [True, False] * 150,
    [1, 2.0] * 150,
    [[1, 2]] * 300,
    [],
    ["short"],
]


@pytest.mark.parametrize("value", LISTS, ids=range(len(LISTS)))
def test_every_list_comes_back_as_it_was(value: list[Any]) -> None:
    header = Header(3, {"front": [1.5] * 300, "a": value, "after": "x" * 1000}, {}, 0)
    kept = kept_header.unpacked(kept_header.packed("state", header)[12:], "state", 0)
    assert kept is not None
    assert repr(kept[1]) == repr(header.metadata)
