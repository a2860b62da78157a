"""Every file that code, tests, tools and pages name is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("llminspect", "tests", "tools", "docs", ".github", ".ci")
PATH = re.compile(rf"(?<![\w./-])(?:\./)?((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*[\w*])")
"""A path from the root: `tests/golden/smollm2.json`, `tests/golden/*.npz`, `llminspect/core`."""
PAGE = re.compile(r"(?<![\w./-])([A-Z][A-Z_]+\.md)\b")
"""A page by its bare name: `README.md`."""
MODULE = re.compile(r"(?<![\w./-])(\w+(?:/\w+)+\.py)\b")
"""A file of code by the end of its path: `families/llama.py`."""
MADE_UP = ("my_olmo", "pkg/", "tiktoken_ext/", "/NAME.py", "/COMMAND.py")
"""Parts of the names of files that a reader makes, a test writes, or another project has; names to be filled in."""


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    names = listed.stdout.decode().splitlines() or [  # A copy without its history.
        path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*")
    ]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


FILES = tracked()
TEXTS = [path for path in FILES if path.suffix in (".py", ".md", ".sh", ".toml", ".yml") or not path.suffix]


def missing(text: str) -> list[str]:
    """The files that a text names and that are not there."""
    paths = {name for name in PATH.findall(text) if not any(ROOT.glob(name)) and not any(ROOT.glob(f"{name}.*"))}
    named = {*PAGE.findall(text), *MODULE.findall(text)}
    ends = {name for name in named if not any(f"/{path.as_posix()}".endswith(f"/{name}") for path in FILES)}
    return sorted(name for name in paths | ends if not any(part in name for part in MADE_UP))


@pytest.mark.parametrize("folder", ["", *FOLDERS])
def test_every_file_that_is_named_exists(folder: str) -> None:
    texts = [path for path in TEXTS if path.relative_to(ROOT).parent.parts[:1] == ((folder,) if folder else ())]
    wrong = {
        path.relative_to(ROOT).as_posix(): names
        for path in texts
        if path != Path(__file__) and (names := missing(path.read_text("utf-8")))
    }
    assert wrong == {}


def test_what_is_missing_is_found() -> None:
    text = "docs/forward.md, tests/golden/*.json, `llminspect/core/attention.py`, CONTRACT.md README.md a/docs/x.md "
    text += "core/mask.py core/masks.py"
    assert missing(text) == ["CONTRACT.md", "core/masks.py", "docs/forward.md"]
