"""The cache folder: only what is ours is an entry, what is damaged is found, and nothing else is ever removed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.errors import UsageError
from llminspect.files import cache_folder
from llminspect.files.catalogue import CATALOGUE, CatalogueEntry, Member
from llminspect.files.prepared import prepared
from llminspect.files.prepared_file import Planned

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"the weights of a model"


def catalogue_entry(content: bytes) -> CatalogueEntry:
    import hashlib

    members = tuple(
        Member(f"wheel/{place}", place, len(data), hashlib.sha256(data).hexdigest())
        for place, data in (("weights.bin", content), ("inner/config.json", b"{}"))
    )
    sizes = {"parameters": 1, "width": 1, "layers": 1, "heads": 1, "context": 1}
    return CatalogueEntry(
        name="small", title="Small", use="tests", format="huggingface", family="llama", licence="none", wheel="small",
        version="1", wheel_size=1, wheel_sha256="0" * 64, members=members, **sizes,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds a model, two prepared files, a leftover, and things of other people."""
    folder = tmp_path / "home"
    monkeypatch.setenv("LLMINSPECT_HOME", str(folder))
    monkeypatch.setitem(CATALOGUE, "small", catalogue_entry(CONTENT))
    model = folder / "models" / "small"
    (model / "inner").mkdir(parents=True)
    (model / "weights.bin").write_bytes(CONTENT)
    (model / "inner" / "config.json").write_bytes(b"{}")
    for key in ("one", "two"):
        prepared(key, [Planned("a", (100,), lambda: np.arange(100, dtype=np.float32))])
    (folder / "prepared" / ".three.0123456789ab.partial").write_bytes(b"half")
    return folder


@pytest.fixture
def strangers(home: Path, tmp_path: Path) -> list[Path]:
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "thesis.txt").write_text("years of work")
    (home / "notes.txt").write_text("mine")
    (home / "prepared" / "backup").write_bytes(b"not prepared weights")
    (home / "models" / "small" / "inner" / "README").write_text("mine")
    (home / "models" / "other").mkdir()
    (home / "prepared" / "link").symlink_to(home / "prepared" / "one")
    (home / "models" / "away").symlink_to(outside)
    return [
        home / "notes.txt",
        home / "prepared" / "backup",
        home / "prepared" / "link",
        home / "models" / "small" / "inner" / "README",
        home / "models" / "other",
        home / "models" / "away",
    ]


def named(kind: str) -> list[str]:
    return sorted(entry.name for entry in cache_folder.entries() if entry.kind == kind)


def test_what_is_ours_is_told_apart(home: Path) -> None:
    assert named("model") == ["small"]
    assert named("prepared") == ["one", "two"]
    assert named("leftover") == [".three.0123456789ab.partial"]
    assert cache_folder.foreign() == []
    model = next(entry for entry in cache_folder.entries() if entry.kind == "model")
    assert model.bytes == len(CONTENT) + 2


def test_what_another_process_removes_in_the_meantime_is_left_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, listing = cache_folder.entries(), cache_folder._listing
    gone = [".a.0123456789ab.partial", "0" * 32]
    monkeypatch.setattr(cache_folder, "_listing", lambda folder: [*listing(folder), *(folder / name for name in gone)])
    assert cache_folder.entries() == before


def test_clearing_everything_leaves_what_is_not_ours(home: Path, strangers: list[Path], tmp_path: Path) -> None:
    assert set(cache_folder.foreign()) == set(strangers)
    for entry in cache_folder.entries():
        cache_folder.remove(entry)
    assert [entry.kind for entry in cache_folder.entries() if entry.kind != "lock"] in ([], ["model"])
    assert not (home / "models" / "small" / "weights.bin").exists()
    assert all(os.path.lexists(path) for path in strangers)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"


def test_a_model_without_strangers_goes_with_its_folder(home: Path) -> None:
    for entry in cache_folder.entries():
        cache_folder.remove(entry)
    assert list((home / "models").iterdir()) == []
    assert list((home / "prepared").iterdir()) == []


def test_whole_entries_have_no_faults_and_damaged_ones_say_which(home: Path) -> None:
    assert [cache_folder.faults(entry) for entry in cache_folder.entries() if entry.kind in ("model", "prepared")] == [
        [],
        [],
        [],
    ]
    weights = home / "models" / "small" / "weights.bin"
    weights.write_bytes(CONTENT.replace(b"w", b"W"))
    status = (home / "prepared" / "one").stat()
    with (home / "prepared" / "one").open("r+b") as file:
        file.seek(-4096 + 64, os.SEEK_END)
        file.write(b"\xff")
    os.utime(home / "prepared" / "one", ns=(status.st_atime_ns, status.st_mtime_ns))
    (home / "prepared" / "two").write_bytes((home / "prepared" / "two").read_bytes()[:-1])
    found = {entry.name: cache_folder.faults(entry) for entry in cache_folder.entries()}
    assert found["small"] == ["weights.bin is not what was published"]
    assert found["one"] == ["a is damaged"]
    assert found["two"] == ["not whole"]
    assert found[".three.0123456789ab.partial"] == ["left by a run that was stopped"]


def test_a_limit_takes_leftovers_then_prepared_then_models_oldest_first(home: Path) -> None:
    os.utime(home / "prepared" / "two", (1, 1))
    os.utime(home / "prepared" / "one", (2, 2))
    total = sum(entry.bytes for entry in cache_folder.entries())
    chosen = [entry.name for entry in cache_folder.too_much(cache_folder.entries(), 0)]
    assert chosen == [".three.0123456789ab.partial", "two", "one", "small"]
    assert cache_folder.too_much(cache_folder.entries(), total) == []
    almost = [entry.name for entry in cache_folder.too_much(cache_folder.entries(), total - 5)]
    assert almost == [".three.0123456789ab.partial", "two"]


def test_a_new_entry_pushes_out_old_ones(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_folder.LIMIT_VARIABLE, "10kB")
    prepared("new", [Planned("a", (100,), lambda: np.ones(100, np.float32))])
    assert named("prepared") == ["new"]
    assert named("model") == ["small"]
    monkeypatch.setenv(cache_folder.LIMIT_VARIABLE, "plenty")
    with pytest.raises(UsageError, match="LLMINSPECT_CACHE_LIMIT"):
        prepared("newer", [Planned("a", (100,), lambda: np.ones(100, np.float32))])


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("500 mb", 500 * 10**6), ("1.5g", 1_500_000_000), ("12", 12), ("3KiB", 3072)]
)
def test_sizes(text: str, size: int) -> None:
    assert cache_folder.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "GB", "1e9", "two"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError):
        cache_folder.parse_size(text)
