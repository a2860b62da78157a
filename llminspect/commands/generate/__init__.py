"""`llminspect generate`: one token after another, each with its probability and the runners-up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.experiments import ExperimentOptions, PatchOptions
from llminspect.arguments.generate import FollowOptions, GenerateOptions, SamplingOptions, check_generate, seed_of
from llminspect.arguments.option import usual_of
from llminspect.arguments.shared import EngineOptions, ModelOptions, OutputOptions, SourceOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.output import Stream, live, note
from llminspect.cli.over import read_instead
from llminspect.cli.run import run_each
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.completion import CompletionListener, StepRecord
    from llminspect.analysis.generate import GenerateResult
    from llminspect.model.opened import Model

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
    from llminspect.analysis.generate import GenerateQuestion, check_writes, generate
    from llminspect.analysis.long_texts import noted_before, noted_of_examples
    from llminspect.analysis.model_settings import remark, with_model_settings
    from llminspect.analysis.prompt import text_prompt
    from llminspect.analysis.unmasking import check_way_of_writing

    others = (patch, experiments, follow, source, model, output)
    check_generate(sampling)
    opened = open_model_for(model, output, engine, writing=True)
    check_writes(opened)
    check_way_of_writing(opened, sampling, options, follow)
    if not opened.can("unmask") and (line := remark(opened, sampling, options)):
        note(line, output)
    sampling, options, stated = with_model_settings(opened, sampling, options, *others)
    seed, follower = seed_of(sampling, options), Follower(source, output, options, follow)
    follower.streams &= not opened.can("unmask")  # Which knows its text only at the end.
    if opened.engine is not None and seed is not None and sampling.seed is None:
        seed = opened.engine.agreed(seed)
    source_ids = None if patch.patch is None else text_prompt(str(patch.patch), source, opened.tokenizer, None).ids
    instead = read_instead(opened, experiments, source, output)
    question = GenerateQuestion(sampling, options, experiments, seed, patch, source_ids, stated, instead=instead)
    prompts = read_prompts(source, opened.tokenizer)
    provenance = {**opened.provenance, **({} if question.seed is None else {"seed": question.seed})}

    def working(prompt: Prompt) -> GenerateResult:
        return follower.run(partial(generate, opened, question, prompt), opened, prompt)

    before, shown = partial(noted_before, opened), noted_of_examples(opened, experiments)
    show = follower.show
    run_each("generate", opened.name, provenance, prompts, output, working, show=show, before=before, shown=shown)


class Follower:
    """Shows the text as it is written (`streams`, with --stream nothing else), or `bars`, or nothing until the end."""

    def __init__(
        self, source: SourceOptions, output: OutputOptions, options: GenerateOptions, follow: FollowOptions
    ) -> None:
        several = (usual_of(options, "n") > 1 or options.beams) and not follow.stream
        self.options, self.output, self.alone = options, output, follow.stream
        self.bars = follow.watch
        self.streams = not (output.json or source.lines or follow.watch or several)

    def run(
        self, compute: Callable[[CompletionListener | None], GenerateResult], model: Model, prompt: Prompt
    ) -> GenerateResult:
        if not self.streams and not self.bars:
            return compute(None)
        from llminspect.analysis.completion import CompletionListener
        from llminspect.analysis.generate import check_generates, written
        from llminspect.commands.generate.view import in_front, watch_view

        check_generates(model, prompt, self.options)  # Nothing is shown of what cannot be continued.
        starts, becomes = [token.start for token in prompt.tokens], model.can("source")
        before = in_front(written(model, prompt), prompt.ids, starts, becomes=becomes)
        if self.bars:
            with live(self.output) as picture:

                def redraw(step: StepRecord, text: str) -> None:
                    picture.update(watch_view(before, text, step), refresh=True)

                return compute(CompletionListener(step=redraw))
        stream = Stream(self.output)
        if not self.alone:
            stream.write(before, quiet=True)
        try:
            return compute(CompletionListener(text=stream.write))
        finally:
            # What comes next, be it an error, starts on a line of its own.
            stream.write("\n")

    def show(self, result: GenerateResult) -> RenderableType | None:
        """What is still to be shown at the end."""
        from llminspect.commands.generate.view import render

        return None if self.streams and self.alone else render(result, streamed=self.streams)
