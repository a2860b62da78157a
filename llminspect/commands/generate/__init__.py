"""`llminspect generate`: one token after another, each with its probability and the runners-up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.generate import FollowOptions, GenerateOptions, SamplingOptions, seed_of
from llminspect.arguments.patch import PatchOptions
from llminspect.arguments.shared import EngineOptions, ModelOptions, OutputOptions, SourceOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.run import run_each

if TYPE_CHECKING:
    from llminspect.analysis.generate import GenerateResult
    from llminspect.text.prompt import Prompt

RESULTS = "analysis.generate.GenerateResult"


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
    from llminspect.commands.generate.follow import Follower

    seed = seed_of(sampling, options, patch, experiments, follow, source, model, output)
    follower = Follower(source, output, options, follow)
    opened = open_model_for(model, output, engine)
    if opened.engine is not None and seed is not None and sampling.seed is None:
        seed = opened.engine.agreed(seed)
    source_ids = None if patch.patch is None else text_prompt(str(patch.patch), source, opened.tokenizer, None).ids
    question = GenerateQuestion(sampling, options, experiments, seed, patch, source_ids)
    prompts = read_prompts(source, opened.tokenizer)
    provenance = {**opened.provenance, **({} if question.seed is None else {"seed": question.seed})}

    def working(prompt: Prompt) -> GenerateResult:
        return follower.run(partial(generate, opened, question, prompt), opened, prompt)

    run_each("generate", opened.name, provenance, prompts, output, working, show=follower.show)
