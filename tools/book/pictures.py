"""The pictures of docs/pictures/, made by the program itself with --save, dark and light in one file, and compared by
the text that they hold."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.book.blocks import ROOT
from tools.book.compare import same_line
from tools.book.schemes import in_both
from tools.book.screens import screens

FOLDER = ROOT / "docs" / "pictures"
PICTURES = {
    "her.svg": ["attend", "Alice gave Bob her book", "--find", "her->Alice", "--width", "84"],
    "lens.svg": ["forward", "The capital of France is", "--lens", "--all", "--top", "3", "--width", "84"],
    "attend.svg": ["attend", "Alice gave Bob her book", "--width", "124"],
    "patch.svg": ["forward", "The capital of France is", "--patch", "The capital of Italy is", "--width", "84"],
}


def check(*, write: bool = False) -> list[str]:
    """The pictures that show something else today; with `write` they are made anew."""
    drawn = dict(screens())
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in PICTURES.items():
            made = Path(folder) / name
            drawings = []
            for theme in ("dark", "light"):
                program = [sys.executable, "-m", "llminspect", *arguments, "--offline", "--save", str(made)]
                subprocess.run([*program, "--theme", theme], stdout=subprocess.DEVNULL, cwd=ROOT, check=True)
                drawings.append(made.read_text("utf-8"))
            drawn[name] = in_both(*drawings)
    stale = []
    for name, new in drawn.items():
        kept = FOLDER / name
        if not kept.exists() or not same_picture(kept.read_text("utf-8"), new):
            stale.append(kept.relative_to(ROOT).as_posix())
            if write:
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(new, encoding="utf-8")
    return stale


def same_picture(one: str, other: str) -> bool:
    """Whether the words and numbers in two drawings say the same, in the same places."""
    texts = [re.findall(r"<text[^>]*>([^<]*)</text>", drawing) for drawing in (one, other)]
    return len(texts[0]) == len(texts[1]) and all(same_line(*pair) for pair in zip(*texts, strict=True))
