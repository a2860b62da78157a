"""Kills, crowds, full disks: a short run of `python -m tests.hostile.kills`, and what only a real file system shows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.hostile import fetching, kills

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")


def test_killed_at_random_moments() -> None:
    """In a process of its own, which has only one thread to fork."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.hostile.kills", "--count", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert [line.split(",")[0] for line in ran.stdout.splitlines()[:4]] == [
        "fetch and prepare: 3 runs",
        "fetch from a hub: 3 runs",
        "repack: 3 runs",
        "save: 3 runs",
    ]
    assert "8 runs at once on an empty cache: all right, 1 download\n" in ran.stdout
    assert ran.stdout.endswith("8 runs at once that fetch from a hub: all right\n")


def test_half_of_something_is_seen(tmp_path: Path) -> None:
    """That the look at the cache after each kill can fail."""
    with kills.small_model(tmp_path):
        home = tmp_path / "home"
        assert kills.ended(kills.started(home, tmp_path / "output")) == 0
        (prepared,) = (home / "prepared").iterdir()
        with prepared.open("r+b") as file:
            file.seek(-64, 2)
            file.write(b"x")
        with pytest.raises(AssertionError, match="not whole"):
            kills.whole(home)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a disk cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("ending", ["npz", "json", "html", "svg"])
def test_a_result_is_whole_or_the_old_one_on_a_full_disk(called: Program, small_disk: Path, ending: str) -> None:
    saved, base = small_disk / f"saved.{ending}", ("forward", "hello", "--model", "toy", "-q", "--save")
    saved.write_bytes(b"old")
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space left"):
        while True:
            ballast.write(bytes(4096))
    ran = called(*base, str(saved))
    assert ran.code == 1 and ran.err.endswith("No space left on device\n") and len(ran.err.splitlines()) == 1
    assert saved.read_bytes() == b"old" and not list(small_disk.glob(".*"))


def test_a_disk_that_is_full(small_disk: Path, tmp_path: Path) -> None:
    """A model that is there is used, if more slowly; one that is not cannot be had; nothing is left behind."""
    output, home = tmp_path / "output", small_disk / "home"
    with kills.small_model(tmp_path):
        assert kills.ended(kills.started(home, output)) == 0
        shutil.rmtree(home / "prepared")
        with (small_disk / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space left"):
            while True:
                ballast.write(bytes(4096))
        assert kills.ended(kills.started(home, output, notes=True)) == 0
        assert "cannot be kept, so they are made again each time" in output.read_text()
        assert kills.whole(home) == "a whole model"
        assert kills.ended(kills.started(small_disk / "other", output)) == 1
        assert "LLMINSPECT_HOME" in output.read_text()
        assert not list(small_disk.rglob("*.partial"))


def test_a_disk_that_is_full_before_the_hub_has_sent_all(small_disk: Path, tmp_path: Path) -> None:
    """One line, nothing half-written is left, and with room the same run goes on to its end."""
    output, home, ballast = tmp_path / "output", small_disk / "home", small_disk / "ballast"
    ballast.write_bytes(bytes((1 << 20) - (100 << 10)))  # The weights have more than the rest.
    with fetching.played():
        assert kills.ended(fetching.started(home, output)) == 1
        lines = output.read_text().splitlines()
        assert "no space left" in lines[0] and all(line.startswith("{") for line in lines[1:])
        assert fetching.whole(home) == "1 of 2 files"
        ballast.unlink()
        assert kills.ended(fetching.started(home, output)) == 0
        assert "part" not in fetching.whole(home)
