"""`llminspect info`: what is inside a model, without computing anything with it."""

from __future__ import annotations

from llminspect.arguments.shared import ModelOptions, OutputOptions
from llminspect.arguments.small import InfoOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import ProgressBars, named, note_reading
from llminspect.cli.run import emit

RESULTS = "analysis.info.InfoResult"


@takes_groups
def command(model: ModelOptions, output: OutputOptions, options: InfoOptions) -> None:
    """What is inside a model: sizes, tensors, tokenizer.

    Nothing is computed: only the headers of its files are read.

    \b
    llminspect info smollm2
    llminspect info toy --tensors
    llminspect info ./model --json
    """
    from llminspect.analysis.info import info, inside

    model = named(model, options.name)
    with ProgressBars(output) as progress:
        description, tokenizer, provenance = inside(model.model, progress=progress, **model.reading)
    note_reading(provenance, output)
    result = info(description, tokenizer, model.model)
    emit("info", model.model, provenance, result, output, details={"every_tensor": options.tensors})
