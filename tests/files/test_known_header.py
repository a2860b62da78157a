"""Headers that were parsed before: the same as parsed anew, and never those of another file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from llminspect.files import gguf, hashes
from llminspect.files.cache_folder import entries, faults, remove
from llminspect.files.gguf import GGUFFile
from tests.files.gguf_writer import GGUF, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence
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
