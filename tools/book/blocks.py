"""The commands of a page and what they wrote: fenced blocks that start with ```console.

    ```console
    $ llminspect encode "Alice gave Bob her book"
    7356 4502 8363 874 1863
    ```

A line with `$ ` in front is a command (one with `> ` goes on with it), what follows is its output. The commands of a
page run in its order, in one folder, as they would for a reader who types them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
COLUMNS = 100
"""The width of every output on a page."""


@dataclass(frozen=True)
class Command:
    """One command of a page: the shell's text, the output on the page, and the lines of the file that hold it."""

    shell: str
    output: str
    first: int
    last: int
    """The output is lines first to last - 1 of the page, counted from 0."""


def pages() -> list[Path]:
    """Every page that holds commands with their output."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if "```console\n" in page.read_text("utf-8")]


def commands_of(text: str) -> Iterator[Command]:
    """The commands of a page, in order. Raises ValueError for a block without a command or without an end."""
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        if lines[index] != "```console":
            index += 1
            continue
        end = lines.index("```", index)
        index += 1
        while index < end:
            if not lines[index].startswith("$ "):
                raise ValueError(f"line {index + 1}: a console block starts with a command")
            shell = [lines[index][2:]]
            index += 1
            while lines[index].startswith("> "):
                shell.append(lines[index][2:])
                index += 1
            first = index
            while index < end and not lines[index].startswith("$ "):
                index += 1
            yield Command("\n".join(shell), "\n".join(lines[first:index]), first, index)


def environment(programs: Path) -> dict[str, str]:
    """What a page's commands run in: this Python's `llminspect` in front, a fixed width, no colour and no network.

    The demos want `jq`; where it is not installed, the same library takes its place through its Python binding.
    """
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    starts = {"llminspect": "-m llminspect", "python": ""}
    if shutil.which("jq") is None:
        starts["jq"] = "-m tools.book.jq"
    for name, start in starts.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {start} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return {
        **kept,
        "PATH": f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": str(COLUMNS),
        "LC_ALL": "C.UTF-8",
        "HF_HUB_OFFLINE": "1",
    }


def output_of(shell: str, folder: Path, environ: dict[str, str]) -> str:
    """What a command writes, without trailing spaces and blank lines at the end; with its errors where it fails."""
    ran = subprocess.run(
        ["sh", "-c", shell], stdin=subprocess.DEVNULL, capture_output=True, cwd=folder, env=environ, check=False
    )
    return written_by(ran.returncode, ran.stdout, ran.stderr)


def written_by(code: int, out: bytes, err: bytes) -> str:
    """What stands on a page of a command that ended so."""
    written = (out + (err if code else b"")).decode("utf-8", "replace")
    return "\n".join(line.rstrip() for line in written.split("\n")).rstrip("\n")


def prepare(folder: Path) -> dict[str, str]:
    """A folder to run a page in, with the book's own files at `docs/`; its environment."""
    (folder / "bin").mkdir()
    work = folder / "work"
    work.mkdir()
    (work / "docs").symlink_to(ROOT / "docs")
    return environment(folder / "bin")
