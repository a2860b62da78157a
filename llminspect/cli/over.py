"""`--over FILE.jsonl`: the records are read, the progress drawn, and what comes of it written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.cli.opening import ProgressBars
from llminspect.cli.run import emit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llminspect.arguments.shared import OutputOptions
    from llminspect.model.opened import Model


def over_file(command: str, path: Path, output: OutputOptions, model: Model, work: Callable[..., Any]) -> None:
    """`work(records, progress, file)` over the records of a file."""
    from llminspect.files.records import read_records

    records = read_records(path)
    with ProgressBars(output, "texts") as progress:
        tell = None if progress is None else lambda done, total: progress(f"reading {path}", done, total)
        result = work(records, tell, str(path))
    emit(command, model.name, model.provenance, result, output)
