"""The cache is the user's alone: whatever the umask, and whoever else could write to it."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from llminspect.errors import UserError
from llminspect.files import hashes
from llminspect.files.home import existing, subfolder
from llminspect.files.pull import pull
from llminspect.files.source import save_whole
from llminspect.opening import open_model
from tests.files.test_hashes import content, published, quick_clock  # noqa: F401 (fixtures)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llminspect.files.catalogue import CatalogueEntry
    from tests.conftest import Program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Whatever is made is open to everybody, unless the program sees to it."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
def test_folders_and_files_are_closed_whatever_the_umask(
    cache: Path,
    published: CatalogueEntry,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("LLMINSPECT_HOME", str(cache / "deep" / "er"))
    monkeypatch.setattr("llminspect.files.gguf.WORTH_KEEPING", 0)
    open_model("tiny")
    found = sorted(cache.rglob("*"))
    assert {path.name for path in found} >= {"models", "prepared", "headers", "hashes", "locks", "model.gguf"}
    assert {mode(path) for path in [cache, *found] if path.is_dir()} == {0o700}
    assert {mode(path) & 0o077 for path in found if path.is_file()} == {0}
    open_model("tiny")  # And when it is there already.
    pull("tiny", offline=True)
    save_whole(tmp_path / "result", b"")
    assert mode(tmp_path / "result") == 0o666  # What the user saves is the user's, by their umask.


def test_what_an_older_version_left_open_is_closed(cache: Path) -> None:
    (cache / "hashes").mkdir(parents=True)
    cache.chmod(0o777)
    (cache / "hashes").chmod(0o775)
    subfolder("hashes")
    assert (mode(cache), mode(cache / "hashes")) == (0o755, 0o700)
    cache.chmod(0o1777)  # As /tmp is: whoever names it means its folders to be the user's, and no more.
    subfolder("hashes")
    assert mode(cache) == 0o1777


@pytest.mark.parametrize("whose", ["cache", "folder in it"])
def test_a_cache_of_another_user_is_refused_in_one_line(
    whose: str, cache: Path, called: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("models", "headers", "hashes"):
        subfolder(name)
    if os.geteuid() == 0:
        for place in [cache] if whose == "cache" else [cache / name for name in ("models", "headers", "hashes")]:
            os.chown(place, 12345, -1)
    elif whose == "cache":
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
    else:
        pytest.skip("a folder cannot be given away")
    with pytest.raises(UserError, match="belongs to another user"):
        existing("hashes")
    for arguments in (["tokenize", "hi", "-m", "smollm2"], ["cache"], ["pull", "smollm2", "--offline"]):
        ran = called(*arguments, LLMINSPECT_HOME=str(cache))
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
        assert "belongs to another user" in ran.err
        assert "LLMINSPECT_HOME" in ran.err
    assert called("forward", "world", "-m", "toy", LLMINSPECT_HOME=str(cache)).code == 0  # It needs no cache.


def test_the_administrators_cache_is_trusted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a folder cannot be given away")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert existing("hashes") == cache / "hashes"
    assert hashes.COARSE_TICK
