"""A rendering as text, and a comparison of tokenizers by their names: for the tests of `tokenize`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console

from llminspect.analysis.compare_tokenizers import compare
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.opening import open_tokenizer

if TYPE_CHECKING:
    from llminspect.analysis.compare_tokenizers import CompareResult


def drawn(rendering: Any, width: int, color: bool = False) -> str:
    file = io.StringIO()
    system: Any = "truecolor" if color else None
    Console(file=file, width=width, force_terminal=color, color_system=system).print(rendering)
    return file.getvalue()


def compared(text: str, *names: str) -> CompareResult:
    return compare(
        [(name, open_tokenizer(name, offline=True)[0]) for name in names], text, SourceOptions(), TokenizeOptions()
    )
