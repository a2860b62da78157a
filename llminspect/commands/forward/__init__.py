"""`llminspect forward`: a text through every layer to the most probable next tokens, and what changes them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.shared import EngineOptions, ModelOptions, PageOptions, SourceOptions
from llminspect.arguments.together import check_together
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.run import run_each
from llminspect.cli.save import check_ending
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.forward import ForwardResult

RESULTS = "analysis.forward.ForwardResult"
"""The classes of what `--json` writes."""


def render(result: ForwardResult) -> RenderableType:
    """The text, the way through the layers, the answer."""
    from llminspect.commands.forward.view import forward_view

    return forward_view(result)


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: PageOptions,
    engine: EngineOptions,
    look: ForwardOptions,
    patch: SweepOptions,
    experiments: ExperimentOptions,
) -> None:
    """Follow a text through every layer to the most probable next tokens, and change what happens on the way.

    llminspect forward "The capital of France is" --lens --target " Paris"
    """
    from llminspect.analysis.forward import ForwardQuestion, forward, forward_arrays
    from llminspect.analysis.prompt import text_prompt

    check_together("forward", look, patch, experiments, source, model, output)
    check_ending(output, arrays=True)
    if look.perplexity and output.save is not None and not output.json:
        raise UsageError(
            "--perplexity gives a number and nothing to save", "--surprise --save keeps all, or add --json"
        )
    opened = open_model_for(model, output, engine)
    source_ids = None if patch.patch is None else text_prompt(str(patch.patch), source, opened.tokenizer, None).ids
    question = ForwardQuestion(look, patch, experiments, source_ids)
    prompts = read_prompts(source, opened.tokenizer)
    if look.perplexity and not output.json:
        from llminspect.commands.forward.perplexity import write_perplexities

        write_perplexities(prompts, lambda prompt: forward(opened, question, prompt).surprise)
        return
    arrays = partial(forward_arrays, opened, question)
    run_each(
        "forward", opened.name, opened.provenance, prompts, output, partial(forward, opened, question), render, arrays
    )
