"""`llminspect generate`: one token after another, each with its probability and the runners-up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.experiments import ExperimentOptions, PatchOptions
from llminspect.arguments.generate import FollowOptions, GenerateOptions, SamplingOptions, seed_of
from llminspect.arguments.shared import EngineOptions, ModelOptions, OutputOptions, SourceOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.run import run_each
from llminspect.cli.save import check_ending

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.generate import GenerateResult

RESULTS = "analysis.generate.GenerateResult"
"""The classes of what `--json` writes."""


def render(result: GenerateResult) -> RenderableType:
    """The text, then each token with its probability and the runners-up."""
    from llminspect.commands.generate.view import generate_view

    return generate_view(result)


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    engine: EngineOptions,
    sampling: SamplingOptions,
    options: GenerateOptions,
    patch: PatchOptions,
    experiments: ExperimentOptions,
    follow: FollowOptions,
) -> None:
    """Continue a text token by token, each with its probability and the runners-up.

    llminspect generate "The capital of France is"
    """
    from llminspect.analysis.generate import GenerateQuestion, generate
    from llminspect.analysis.prompt import text_prompt
    from llminspect.commands.generate.follow import followed

    check_ending(output, arrays=False)
    seed = seed_of(sampling, options, patch, experiments, follow, source, model, output)
    following = followed(source, output, options, follow)
    opened = open_model_for(model, output, engine)
    if opened.engine is not None and seed is not None and sampling.seed is None:
        seed = opened.engine.agreed(seed)
    source_ids = None if patch.patch is None else text_prompt(str(patch.patch), source, opened.tokenizer, None).ids
    question = GenerateQuestion(sampling, options, experiments, seed, patch, source_ids)
    prompts = read_prompts(source, opened.tokenizer)
    provenance = {**opened.provenance, **({} if question.seed is None else {"seed": question.seed})}
    run_each(
        "generate",
        opened.name,
        provenance,
        prompts,
        output,
        lambda prompt: following.run(partial(generate, opened, question, prompt), opened, prompt),
        render,
        show=following.show,
    )
