"""`llminspect info`: what is inside a model, without computing anything with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.arguments.shared import ModelOptions, OutputOptions
from llminspect.arguments.small import InfoOptions
from llminspect.arguments.together import check_together
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import named
from llminspect.cli.progress import ProgressBars
from llminspect.cli.run import emit
from llminspect.cli.save import check_ending

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.info import InfoResult
    from llminspect.model.opened import Description
    from llminspect.text.tokenizer import Tokenizer

RESULTS = "analysis.info.InfoResult"
"""The classes of what `--json` writes."""


def render(result: InfoResult, *, every_tensor: bool = False) -> RenderableType:
    """What it is, how large its parts are, its tensors, its tokenizer: one screen, or with `every_tensor` all."""
    from llminspect.commands.info.view import info_view

    return info_view(result, every_tensor=every_tensor)


@takes_groups
def command(
    model: ModelOptions,
    output: OutputOptions,
    options: InfoOptions,
) -> None:
    """What is inside a model: sizes, tensors, tokenizer.

    Nothing is computed: only the headers of its files are read.

    llminspect info smollm2 · llminspect info toy --tensors · llminspect info ./model --json
    """
    from llminspect.analysis.info import info

    check_together("info", options, model, output)
    check_ending(output, arrays=False)
    model = named(model, options.name)
    with ProgressBars(output) as progress:
        description, tokenizer, provenance = _described(model, progress)
    result = info(description, tokenizer, model.model)
    emit("info", model.model, provenance, result, output, partial(render, every_tensor=options.tensors))


def _described(options: ModelOptions, progress: Any) -> tuple[Description | None, Tokenizer | None, dict[str, Any]]:
    from llminspect.opening import describe_model, standalone, tokenizer_of

    alone = standalone(options.model)
    if alone is not None:
        return None, alone, {"file": "built in"}
    description = describe_model(options.model, revision=options.revision, offline=options.offline, progress=progress)
    provenance = {"file": "built in"} if description.located is None else description.located.provenance
    return description, tokenizer_of(description), provenance
