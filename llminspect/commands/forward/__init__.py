"""`llminspect forward`: a text through every layer to the most probable next tokens, and what changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.shared import (
    ChoiceOptions,
    EngineOptions,
    ModelOptions,
    OutputOptions,
    OverOptions,
    PageOptions,
)
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts, reads_standard_input
from llminspect.cli.opening import ProgressBars, open_model_for
from llminspect.cli.output import note, report_error, write_text
from llminspect.cli.over import over_file, read_instead
from llminspect.cli.run import run_each, show_notes
from llminspect.cli.waiting import standard_input
from llminspect.errors import UsageError, UserError
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.analysis.forward_result import ForwardResult
    from llminspect.model.opened import Model

RESULTS = "analysis.forward_result.ForwardResult analysis.over.OverResult"


@partial(takes_groups, arrays=True)
def command(
    source: ChoiceOptions,
    model: ModelOptions,
    output: PageOptions,
    engine: EngineOptions,
    look: ForwardOptions,
    patch: SweepOptions,
    experiments: ExperimentOptions,
    over: OverOptions,
) -> None:
    """Follow a text through every layer to the most probable next tokens, and change what happens on the way.

    \b
    llminspect forward "The capital of France is" --lens --target " Paris"
    llminspect forward --over capitals.jsonl --attribution

    With --over a record may have target, versus, patch, align and at beside its text: {"text": …, "target": " Paris"}.
    """
    from llminspect.analysis.forward import forward
    from llminspect.analysis.forward_arrays import forward_arrays
    from llminspect.analysis.forward_result import ForwardQuestion
    from llminspect.analysis.long_texts import noted_of_examples
    from llminspect.analysis.prompt import text_prompt
    from llminspect.analysis.swept import Watcher, swept_places

    if look.perplexity and output.save is not None and not output.json:
        raise UsageError(
            "--perplexity gives one number, and nothing to save", "--surprise --save writes everything; or add --json"
        )
    ways = _ways(look, source)
    opened = open_model_for(model, output, engine)
    instead = read_instead(opened, experiments, source, output, swept_places(opened, patch, experiments))
    if over.over is not None:
        question = ForwardQuestion(
            look, patch, experiments, None, source.special is False, source.parse, instead=instead
        )
        from llminspect.analysis.over_questions import forward_over

        over_file("forward", over.over, output, opened, partial(forward_over, opened, question, source))
        return
    source_ids = None if patch.patch is None else text_prompt(str(patch.patch), source, opened.tokenizer, None).ids
    question = ForwardQuestion(
        look, patch, experiments, source_ids, source.special is False, source.parse, ways, instead
    )
    prompts = read_prompts(source, opened.tokenizer)
    before, shown = _before(opened, look, source, ways), noted_of_examples(opened, experiments)
    if look.perplexity and not output.json:
        _write_perplexities(prompts, partial(forward, opened, question), before, shown, output)
        return
    with ProgressBars(output, "cells") as progress:
        question = replace(question, watcher=Watcher(lambda text: note(text, output), progress))
        working, arrays = partial(forward, opened, question), partial(forward_arrays, opened, question)
        how: Any = {"arrays": arrays, "before": before, "shown": shown}
        run_each("forward", opened.name, opened.provenance, prompts, output, working, **how)


def _before(
    model: Model, look: ForwardOptions, source: ChoiceOptions, ways: list[tuple[str, str]]
) -> Callable[[Prompt], list[str]]:
    """What is noted of a text before anything is computed."""
    from llminspect.analysis.continuations import Question, noted_before_scores
    from llminspect.analysis.long_texts import noted_before

    if ways and not model.can("source"):
        return partial(noted_before_scores, model, Question(ways, source.ids is not None, source.parse))
    window = (look.window or model.config.sizes.context) if look.surprise or look.perplexity else None
    return partial(noted_before, model, window=window)


def _ways(look: ForwardOptions, source: ChoiceOptions) -> list[tuple[str, str]]:
    """What --score and --scores compare; - stands for standard input, unless the text is read from there."""
    if look.scores is None or str(look.scores) != "-":
        return look.continuations()
    if reads_standard_input(source):
        raise UsageError("--scores - and the text are both read from standard input", "give the text in quotes")
    from llminspect.files.source import text_lines

    return look.continuations(text_lines(look.scores, standard_input()))


def _write_perplexities(
    prompts: Iterable[Prompt],
    score: Callable[[Prompt], ForwardResult],
    before: Callable[[Prompt], list[str]],
    shown: Sequence[str],
    output: OutputOptions,
) -> None:
    """A number a text: as many lines out as in. A line that cannot be scored is nan, and the run goes on."""
    code = 0
    show_notes(shown, None, output)
    for prompt in prompts:
        value = None
        try:
            if prompt.error is not None:
                raise prompt.error
            show_notes(noted := before(prompt), prompt.line, output)
            result = score(prompt)
            value = None if result.surprise is None else result.surprise.perplexity
            show_notes([remark for remark in result.notes or () if remark not in (*noted, *shown)], prompt.line, output)
        except UserError as error:
            if prompt.line is None:
                raise
            code = code or error.exit_code
            report_error((), error.code, f"line {prompt.line}: {error.message}", error.hint)
        write_text("nan\n" if value is None else f"{value:.6g}\n")
    if code:
        raise SystemExit(code)
