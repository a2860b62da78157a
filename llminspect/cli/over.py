"""`--over FILE.jsonl`: the records are read (- is standard input), the progress drawn, and what comes of it written."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.cli.opening import ProgressBars
from llminspect.cli.run import emit, show_early
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from llminspect.arguments.shared import OutputOptions
    from llminspect.model.opened import Model


def records_from(path: Path) -> list[Mapping[str, Any]]:
    """The records of a file, or with - of standard input. Raises UserError for what are none, UsageError rather than
    wait for a terminal."""
    from llminspect.files.records import read_records

    if str(path) != "-":
        return read_records(path)
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal", "pipe a JSON object a line into it, or name a file")
    return read_records(path, sys.stdin.buffer)


def over_file(command: str, path: Path, output: OutputOptions, model: Model, work: Callable[..., Any]) -> None:
    """`work(records, progress, file, announce)` over the records of a file."""
    records, noted = records_from(path), list[str]()
    with ProgressBars(output, "texts") as progress:
        name = "standard input" if str(path) == "-" else str(path)
        tell = None if progress is None else lambda done, total: progress(f"reading {name}", done, total)
        result = work(records, tell, str(path), partial(show_early, noted, output))
    emit(command, model.name, model.provenance, result, output, noted=noted)
