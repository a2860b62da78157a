"""`llminspect diff`: one text in two models, or two texts in one model, side by side; or two models as a whole."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.parts import CorpusOptions
from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.arguments.small import DiffOptions, WeightsOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import ProgressBars, open_model_for
from llminspect.cli.run import emit, run_each
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.analysis.diff_models import DiffModelsResult

RESULTS = "analysis.diff.DiffResult analysis.diff_models.DiffModelsResult"


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    options: DiffOptions,
    of_models: WeightsOptions,
    corpus: CorpusOptions,
) -> None:
    """Compare two texts in one model, one text in two models, or two models: what comes next, and where they part.

    \b
    llminspect diff "The capital of France is" --against "The capital of Italy is"
    llminspect diff "A cat sat." --against-adapter FOLDER
    llminspect diff --model model.gguf --against-model tuned.gguf --weights --corpus docs

    Two models are a, the one of --model, and b: a fine-tune, or the same in other bits. With a text, and over a corpus
    with --corpus: KL(a ‖ b) after each token, and the heads that look elsewhere. With --weights: ‖b - a‖ / ‖a‖ of each
    array of the model, whatever tensors of the two files it is in. Weights of other vocabularies and families are
    compared as far as names and shapes are the same; probabilities only where the vocabularies are.
    """
    if of_models.weights or corpus.corpus is not None:
        result, provenance = _models(model, output, options, of_models, corpus)
        emit("diff", model.model, provenance, result, output, details={"top": options.top})
        return
    from llminspect.analysis.diff import diff
    from llminspect.analysis.long_texts import noted_before
    from llminspect.analysis.prompt import text_prompt

    first = open_model_for(model, output)
    other_model = _against(model, options)
    second = first if other_model is None else open_model_for(other_model, output)
    other = None if options.against is None else text_prompt(options.against, source, second.tokenizer, None)
    prompts = read_prompts(source, first.tokenizer)
    provenance = {**first.provenance, **({} if second is first else {"against": second.provenance})}
    work = partial(diff, first, second, other, options.top, source=source)
    of_other = [] if other is None else noted_before(second, other)

    def before(prompt: Prompt) -> list[str]:
        return list(dict.fromkeys([*noted_before(first, prompt), *of_other]))

    run_each("diff", first.name, provenance, prompts, output, work, before=before)


def _against(model: ModelOptions, options: DiffOptions) -> ModelOptions | None:
    """What the second model is; None: the first. What is added to the first is not added to the second."""
    if options.against_model is None and options.against_adapter is None:
        return None
    if options.against_model is None:
        return replace(model, adapter=options.against_adapter)
    return ModelOptions(options.against_model, model.revision, model.offline, adapter=options.against_adapter)


def _models(
    model: ModelOptions, output: OutputOptions, options: DiffOptions, of_models: WeightsOptions, corpus: CorpusOptions
) -> tuple[DiffModelsResult, dict[str, object]]:
    """What is the same of both comes once: the weights are read from the models' own files, nothing is prepared."""
    from llminspect.analysis.diff_models import of_weights, over_corpus

    beside = _against(model, options)
    assert beside is not None
    found: list[DiffModelsResult] = []
    if corpus.corpus is not None:
        first, second = open_model_for(model, output), open_model_for(beside, output)
        with ProgressBars(output, "tokens") as progress:
            tell = None if progress is None else lambda done, total: progress(f"reading {corpus.corpus}", done, total)
            found.append(over_corpus(first, second, corpus, options.top, tell))
    if of_models.weights:
        first, second = (open_model_for(each, output, streamed=True) for each in (model, beside))
        with ProgressBars(output, "tensors") as progress:
            tell = None if progress is None else lambda done, total: progress("comparing weights", done, total)
            found.append(of_weights(first, second, tell))
    provenance = {**first.provenance, "against": second.provenance}
    return replace(found[0], weights=found[-1].weights), provenance
