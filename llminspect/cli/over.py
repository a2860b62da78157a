"""What is read with a progress bar beside the text: the records of `--over`, and what stands in the place of parts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llminspect.cli.opening import ProgressBars
from llminspect.cli.run import emit, show_early
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.analysis.ablation import Instead
    from llminspect.arguments.experiments import ExperimentOptions
    from llminspect.arguments.shared import OutputOptions, SourceOptions
    from llminspect.core.intervention import Place
    from llminspect.model.opened import Model


def records_from(path: Path) -> list[Mapping[str, Any]]:
    """The records of a file, or with - of standard input. Raises UserError for what are none, UsageError rather than
    wait for a terminal."""
    from llminspect.files.source import read_records

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


def read_instead(
    model: Model,
    experiments: ExperimentOptions,
    source: SourceOptions,
    output: OutputOptions,
    swept: Sequence[Place] = (),
) -> Instead | None:
    """What stands in the place of ablated parts, and of places `swept` in turn, read once for all texts."""
    if experiments.corpus is None and experiments.ablate_from is None:
        return None
    from llminspect.analysis.ablation import instead_of
    from llminspect.analysis.prompt import text_prompt

    text = experiments.ablate_from
    given = None if text is None else text_prompt(str(text), source, model.tokenizer, None).ids
    with ProgressBars(output, "tokens") as progress:
        tell = None if progress is None else lambda done, all: progress(f"reading {experiments.corpus}", done, all)
        return instead_of(model, experiments, given, tell, swept)
