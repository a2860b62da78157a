"""`llminspect info`: what is inside a model, without computing anything with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.arguments.shared import ModelOptions, OutputOptions
from llminspect.arguments.small import InfoOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import ProgressBars, named, note_reading
from llminspect.cli.run import emit

if TYPE_CHECKING:
    from llminspect.model.opened import Description
    from llminspect.text.tokenizer import Tokenizer

RESULTS = "analysis.info.InfoResult"


@takes_groups
def command(model: ModelOptions, output: OutputOptions, options: InfoOptions) -> None:
    """What is inside a model: sizes, tensors, tokenizer.

    Nothing is computed: only the headers of its files are read.

    llminspect info smollm2 · llminspect info toy --tensors · llminspect info ./model --json
    """
    from llminspect.analysis.info import info

    model = named(model, options.name)
    with ProgressBars(output) as progress:
        description, tokenizer, provenance = _described(model, progress)
    note_reading(provenance, output)
    result = info(description, tokenizer, model.model)
    emit("info", model.model, provenance, result, output, details={"every_tensor": options.tensors})


def _described(options: ModelOptions, progress: Any) -> tuple[Description | None, Tokenizer | None, dict[str, Any]]:
    from llminspect.opening import describe_model, standalone, tokenizer_of, with_note

    alone = standalone(options.model)
    if alone is not None:
        return None, alone, {"file": "built in"}
    description = describe_model(options.model, **options.reading, progress=progress)
    provenance = {"file": "built in"} if description.located is None else description.located.provenance
    tokenizer = tokenizer_of(description)
    return description, tokenizer, with_note(provenance, tokenizer)
