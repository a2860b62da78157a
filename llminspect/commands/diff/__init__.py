"""`llminspect diff`: one text in two models, or two texts in one model, side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.arguments.small import DiffOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.run import run_each

if TYPE_CHECKING:
    from llminspect.text.prompt import Prompt

RESULTS = "analysis.diff.DiffResult"


@takes_groups
def command(source: SourceOptions, model: ModelOptions, output: OutputOptions, options: DiffOptions) -> None:
    """Compare two texts in one model, or one text in two models: what comes next, and where the streams part.

    llminspect diff "The capital of France is" --against "The capital of Italy is"
    """
    from llminspect.analysis.diff import diff
    from llminspect.analysis.long_texts import noted_before
    from llminspect.analysis.prompt import text_prompt

    against, against_model = options.against, options.against_model
    first = open_model_for(model, output)
    other_model = ModelOptions(against_model or "", model.revision, model.offline)  # What is added is the first one's.
    second = first if against_model is None else open_model_for(other_model, output)
    other = None if against is None else text_prompt(against, source, second.tokenizer, None)
    prompts = read_prompts(source, first.tokenizer)
    provenance = {**first.provenance, **({} if second is first else {"against": second.provenance})}
    work = partial(diff, first, second, other, options.top, source=source)
    of_other = [] if other is None else noted_before(second, other)

    def before(prompt: Prompt) -> list[str]:
        return list(dict.fromkeys([*noted_before(first, prompt), *of_other]))

    run_each("diff", first.name, provenance, prompts, output, work, before=before)
