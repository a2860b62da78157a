"""Fetching a model: whole or nothing, once, and every failure in one line. The downloads are made here."""

from __future__ import annotations

import hashlib
import multiprocessing
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llminspect.errors import ModelError, UserError
from llminspect.files import catalogue
from llminspect.files.catalogue import CATALOGUE, CatalogueEntry, Member
from llminspect.files.hashes import sha256_of
from llminspect.files.pull import fetched, pull

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = b"GGUF and a few weights" * 1000


def make_wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            archive.writestr(info, content)
    return path


def entry_of(wheel: Path) -> CatalogueEntry:
    content = wheel.read_bytes()
    return replace(
        CATALOGUE["smollm2"],
        name="tiny",
        wheel_size=len(content),
        wheel_sha256=hashlib.sha256(content).hexdigest(),
        members=(Member("pkg/model.gguf", "model.gguf", len(CONTENT), hashlib.sha256(CONTENT).hexdigest()),),
    )


def tiny_wheel(folder: Path) -> Path:
    return make_wheel(folder / "made.whl", {"pkg/model.gguf": CONTENT, "pkg/__init__.py": b"raise SystemExit"})


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogueEntry:
    made = entry_of(tiny_wheel(tmp_path))
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", made)
    return made


class Downloads:
    """Gives the wheel made in the test and counts how often."""

    def __init__(self, source: Path) -> None:
        self.source, self.count = source, 0

    def __call__(self, entry: CatalogueEntry, folder: Path, progress: Callable[[str, int, int | None], None]) -> Path:
        self.count += 1
        progress("download", entry.wheel_size, entry.wheel_size)
        target = folder / "made.whl"
        target.write_bytes(self.source.read_bytes())
        return target


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path / "made.whl")


def models(cache: Path) -> list[str]:
    folder = cache / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_fetched_once_whole_and_with_progress(cache: Path, entry: CatalogueEntry, downloads: Downloads) -> None:
    steps: list[tuple[str, int, int | None]] = []
    path = pull("tiny", lambda *step: steps.append(step), download=downloads)
    assert path == cache / "models" / "tiny" / "model.gguf"
    assert path.read_bytes() == CONTENT
    assert [step[0] for step in steps] == ["download", "unpack"]
    assert steps[-1] == ("unpack", len(CONTENT), len(CONTENT))
    assert pull("tiny", download=downloads) == path
    assert pull("tiny", offline=True, download=downloads) == path
    assert downloads.count == 1
    assert models(cache) == ["tiny"]
    assert (path.parent / "__init__.py").exists() is False


def test_its_hash_is_remembered_and_a_changed_file_hashed_anew(entry: CatalogueEntry, downloads: Downloads) -> None:
    path = pull("tiny", download=downloads)
    assert sha256_of(path) == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(b"other")
    assert sha256_of(path) == hashlib.sha256(b"other").hexdigest()


def test_offline_says_how_to_get_it(cache: Path, entry: CatalogueEntry, downloads: Downloads) -> None:
    with pytest.raises(ModelError, match="has not been fetched") as caught:
        pull("tiny", offline=True, download=downloads)
    assert "llminspect pull tiny" in (caught.value.hint or "")
    assert not cache.exists()


def test_a_part_that_was_deleted_is_fetched_again(entry: CatalogueEntry, downloads: Downloads) -> None:
    path = pull("tiny", download=downloads)
    path.unlink()
    assert fetched(entry) is None
    assert pull("tiny", download=downloads).read_bytes() == CONTENT


def _other_wheel(path: Path, entry: CatalogueEntry) -> CatalogueEntry:
    make_wheel(path, {"pkg/model.gguf": CONTENT[::-1]})
    return entry


def _more_in_the_wheel(path: Path, entry: CatalogueEntry) -> CatalogueEntry:
    make_wheel(path, {"pkg/model.gguf": CONTENT, "pkg/more.py": b"import os"})
    return entry


def _member_changed(path: Path, entry: CatalogueEntry) -> CatalogueEntry:
    make_wheel(path, {"pkg/model.gguf": CONTENT[::-1]})
    return replace(entry, wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _member_longer(path: Path, entry: CatalogueEntry) -> CatalogueEntry:
    make_wheel(path, {"pkg/model.gguf": CONTENT * 2})
    return replace(entry, wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _member_missing(path: Path, entry: CatalogueEntry) -> CatalogueEntry:
    make_wheel(path, {"../model.gguf": CONTENT})
    return replace(entry, wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _no_archive(path: Path, entry: CatalogueEntry) -> CatalogueEntry:
    path.write_bytes(b"<html>")
    return replace(entry, wheel_sha256=hashlib.sha256(b"<html>").hexdigest())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_other_wheel, "hash differs"),
        (_more_in_the_wheel, "hash differs"),
        (_member_changed, "hash differs"),
        (_member_longer, "hash differs"),
        (_member_missing, "damaged"),
        (_no_archive, "damaged"),
    ],
)
def test_a_wheel_that_is_not_the_one_leaves_nothing(
    cache: Path,
    entry: CatalogueEntry,
    downloads: Downloads,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path, CatalogueEntry], CatalogueEntry],
    message: str,
) -> None:
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", harm(downloads.source, entry))
    with pytest.raises(ModelError, match=message):
        pull("tiny", download=downloads)
    assert models(cache) == []


LINK = (0o120777) << 16
"""How an archive says that an entry is a symbolic link to what stands in it."""


def hostile_wheel(path: Path, outside: Path, *, linked: bool = False, encrypted: bool = False) -> Path:
    """One whose hash is right, with every way out of a folder that an archive's names know."""
    away = [f"{'../' * up}evil" for up in range(1, 9)] + [str(outside / "evil"), "//evil", "C:\\evil", "..\\evil"]
    away += ["pkg/../../evil", "pkg/./evil", "pkg/model.gguf/evil", "", "/", "..", ".", "pkg/\u202eevil"]
    with zipfile.ZipFile(path, "w") as archive:
        for name in away:
            archive.writestr(zipfile.ZipInfo(name), b"evil")
        for name in ("pkg", "pkg/link", "model", "download", "model.gguf"):
            info = zipfile.ZipInfo(name)
            info.external_attr = LINK
            archive.writestr(info, str(outside))
        info = zipfile.ZipInfo("pkg/model.gguf")
        info.external_attr = LINK if linked else 0o777 << 16
        archive.writestr(info, str(outside / "victim") if linked else CONTENT)
    if encrypted:
        data = bytearray(path.read_bytes())
        data[data.rindex(b"PK\1\2") + 8] |= 1
        path.write_bytes(data)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("form", "message"), [({}, None), ({"linked": True}, "hash differs"), ({"encrypted": True}, "damaged")]
)
def test_nothing_leaves_the_folder_whatever_a_wheel_names(
    cache: Path,
    entry: CatalogueEntry,
    downloads: Downloads,
    monkeypatch: pytest.MonkeyPatch,
    form: dict[str, bool],
    message: str | None,
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(CONTENT)
    hostile_wheel(downloads.source, outside, **form)
    digest = hashlib.sha256(downloads.source.read_bytes()).hexdigest()
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", replace(entry, wheel_sha256=digest))
    before = {path for path in tmp_path.rglob("*") if cache not in (path, *path.parents)}
    if message is None:
        path = pull("tiny", download=downloads)
        assert path.read_bytes() == CONTENT and not path.is_symlink() and path.stat().st_mode & 0o777 == 0o600
        assert [inner.name for inner in path.parent.iterdir()] == ["model.gguf"]
    else:
        with pytest.raises(ModelError, match=message):
            pull("tiny", download=downloads)
        assert models(cache) == []
    assert {path for path in tmp_path.rglob("*") if cache not in (path, *path.parents)} == before
    assert not [path for path in cache.rglob("*") if "evil" in path.name or path.is_symlink()]
    assert not Path("/evil").exists()


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ModelError("no network")])
def test_an_interrupted_download_leaves_nothing(cache: Path, entry: CatalogueEntry, failure: BaseException) -> None:
    def download(entry: CatalogueEntry, folder: Path, progress: object) -> Path:
        (folder / "half.whl").write_bytes(b"half")
        raise failure

    with pytest.raises(type(failure)):
        pull("tiny", download=download)
    assert models(cache) == []


def test_a_disk_that_fills_up_leaves_nothing_and_says_what_can_go(cache: Path, entry: CatalogueEntry) -> None:
    def download(entry: CatalogueEntry, folder: Path, progress: object) -> Path:
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="no space left") as caught:
        pull("tiny", download=download)
    assert str(cache) in (caught.value.hint or "")
    assert models(cache) == []


def test_too_little_room_is_said_before_anything_is_fetched(
    entry: CatalogueEntry, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(UserError, match="0 are free"):
        pull("tiny", download=downloads)
    assert downloads.count == 0


def test_a_cache_that_cannot_be_written(cache: Path, entry: CatalogueEntry, downloads: Downloads) -> None:
    cache.write_bytes(b"in the way")
    with pytest.raises(UserError, match="cannot write"):
        pull("tiny", download=downloads)


def test_a_name_that_is_not_known_gets_the_nearest() -> None:
    with pytest.raises(ModelError, match="no model is called 'smolm'") as caught:
        pull("smolm")
    assert caught.value.exit_code == 3
    assert "smollm2" in (caught.value.hint or "")


def _pull_at_once(home: str, wheel: str, counts: str, barrier: object) -> None:
    import os

    os.environ["LLMINSPECT_HOME"] = home
    catalogue.CATALOGUE["tiny"] = entry_of(Path(wheel))

    def download(entry: CatalogueEntry, folder: Path, progress: object) -> Path:
        (Path(counts) / str(os.getpid())).touch()
        return Path(wheel)

    barrier.wait()  # type: ignore[attr-defined]
    assert pull("tiny", download=download).read_bytes() == CONTENT


def test_two_processes_at_once_fetch_it_once(tmp_path: Path, cache: Path) -> None:
    wheel = tiny_wheel(tmp_path)
    context, counts = multiprocessing.get_context("spawn"), tmp_path / "counts"
    counts.mkdir()
    barrier = context.Barrier(2)
    arguments = (str(cache), str(wheel), str(counts), barrier)
    processes = [context.Process(target=_pull_at_once, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list(counts.iterdir())) == 1
    assert models(cache) == ["tiny"]


def test_every_entry_of_the_catalogue_is_complete() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert entry.size > entry.wheel_size
        for member in entry.members:
            assert len(member.sha256) == 64
            assert ".." not in Path(member.place).parts
            assert not Path(member.place).is_absolute()
