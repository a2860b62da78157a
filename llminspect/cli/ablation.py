"""What stands in the place of ablated parts, read from a corpus with a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.cli.opening import ProgressBars

if TYPE_CHECKING:
    from llminspect.analysis.ablation import Instead
    from llminspect.arguments.experiments import ExperimentOptions
    from llminspect.arguments.shared import OutputOptions, SourceOptions
    from llminspect.model.opened import Model


def read_instead(
    model: Model, experiments: ExperimentOptions, source: SourceOptions, output: OutputOptions
) -> Instead | None:
    """What stands in the place of ablated parts, read once for all texts."""
    if experiments.corpus is None and experiments.ablate_from is None:
        return None
    from llminspect.analysis.ablation import instead_of
    from llminspect.analysis.prompt import text_prompt

    text = experiments.ablate_from
    given = None if text is None else text_prompt(str(text), source, model.tokenizer, None).ids
    with ProgressBars(output, "tokens") as progress:
        tell = None if progress is None else lambda done, all: progress(f"reading {experiments.corpus}", done, all)
        return instead_of(model, experiments, given, tell)
