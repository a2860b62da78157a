"""`llminspect probe`: what a linear probe reads of labels in the stream, layer by layer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llminspect.arguments.parts import ProbeOptions
from llminspect.arguments.shared import ModelOptions, OutputOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import ProgressBars, open_model_for
from llminspect.cli.over import records_from
from llminspect.cli.run import emit, show_early
from llminspect.errors import UsageError

RESULTS = "analysis.probe.ProbeResult"


@partial(takes_groups, arrays=True)
def command(model: ModelOptions, output: OutputOptions, options: ProbeOptions) -> None:
    """How well a linear probe reads labels from the stream after each layer, beside shuffled labels as a control.

    The file holds a text and its label a line: {"text": "A fine film.", "label": "good"}. The texts are split into
    parts with the same share of every class; each part in its turn is held out, and a probe that learned from the
    others predicts its labels. Vectors are standardised with the mean and deviation of the texts learned from. The
    control is the same with shuffled labels: only what is found beyond it (the selectivity) comes from the texts
    (Alain and Bengio 2016; Hewitt and Liang 2019).

    --save FILE.npz keeps the directions, of probes that learned from all texts, for --steer FILE.npz@LAYER*X.

    \b
    llminspect probe reviews.jsonl
    llminspect probe reviews.jsonl --at 12 --save mood.npz
    llminspect generate "The film was" --steer mood.npz@12*4
    """
    from llminspect.analysis.probe import for_json, probe, probe_arrays

    if options.records is None:
        raise UsageError("no file is named", 'a JSON object a line: {"text": "A fine film.", "label": "good"}')
    records = records_from(options.records)
    opened, noted = open_model_for(model, output), list[str]()
    with ProgressBars(output, "done") as progress:
        found = probe(opened, records, options, progress, partial(show_early, noted, output))
    result, arrays = replace(found, records=str(options.records)), partial(probe_arrays, found)
    emit(
        "probe", opened.name, opened.provenance, for_json(result), output, arrays=lambda _: arrays(), noted=noted
    )  # fmt: skip
