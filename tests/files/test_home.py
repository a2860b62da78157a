"""The cache folder and writing a file whole or not at all."""

from __future__ import annotations

import errno
import multiprocessing
import time
from pathlib import Path

import pytest

from llminspect.errors import UserError
from llminspect.files.home import (
    beside,
    cannot_write,
    clear_leftovers,
    home,
    only_one,
    replacing,
    subfolder,
    write_whole,
)


def test_home_is_named_by_the_environment_or_the_system(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == cache
    assert not cache.exists()
    assert subfolder("models").is_dir()
    monkeypatch.delenv("LLMINSPECT_HOME")
    assert home().name == "llminspect"
    monkeypatch.setenv("LLMINSPECT_HOME", "~/x")
    assert home() == Path.home() / "x"
    monkeypatch.setenv("LLMINSPECT_HOME", "")
    assert home().name == "llminspect"
    monkeypatch.setenv("LLMINSPECT_HOME", "~nobody by this name/x")
    assert home() == Path.cwd() / "~nobody by this name" / "x"


def test_a_cache_that_is_a_file_is_said_to_be_in_the_way(cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(UserError, match="cannot write") as caught:
        subfolder("models")
    assert caught.value.hint is not None
    assert "LLMINSPECT_HOME" in caught.value.hint


def test_a_full_disk_says_what_can_go(cache: Path) -> None:
    error = cannot_write(cache / "x", OSError(errno.ENOSPC, "No space left on device"))
    assert "no space left" in error.message
    assert str(cache) in (error.hint or "")


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError("bug")])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(failure)), replacing(path) as file:
        file.write(b"half")
        raise failure
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_this_name_go_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a[1]"
    beside(path).mkdir()
    beside(path).write_bytes(b"")
    other = beside(tmp_path / "a1")
    other.write_bytes(b"")
    clear_leftovers(path)
    assert list(tmp_path.iterdir()) == [other]


def _hold(started: Path, enough: Path) -> None:
    with only_one("work"):
        started.touch()
        while not enough.exists():
            time.sleep(0.01)
        started.rename(f"{started}-and-ended")


def test_one_waits_for_another_and_is_told(tmp_path: Path) -> None:
    started = tmp_path / "started"
    other = multiprocessing.get_context("spawn").Process(target=_hold, args=(started, tmp_path / "enough"))
    other.start()
    while not started.exists():
        time.sleep(0.01)
    with only_one("work", (tmp_path / "enough").touch):  # Else it would wait for ever.
        assert (tmp_path / "started-and-ended").exists()
    other.join()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    started = tmp_path / "started"
    other = multiprocessing.get_context("spawn").Process(target=_hold, args=(started, tmp_path / "never"))
    other.start()
    while not started.exists():
        time.sleep(0.01)
    other.kill()
    other.join()
    with only_one("work"):
        pass
