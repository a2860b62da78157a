"""What was saved is said to who looks, and to nobody else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from llminspect.__main__ import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_saved_is_said_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llminspect.cli.waiting.SILENCE", float("inf"))
    path = tmp_path / "picture.svg"
    for stream, quiet, expected in (
        (Terminal(), [], f"llminspect: saved {path}\n"),
        (Terminal(), ["--quiet"], ""),
        (io.StringIO(), [], ""),
    ):
        monkeypatch.setattr("sys.stderr", stream)
        assert run(["forward", "world", "--model", "toy", "--save", str(path), *quiet]) == 0
        assert stream.getvalue() == expected
