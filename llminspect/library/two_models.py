"""What is asked of two models side by side: their weights, and what they make of a corpus."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.arguments.option import checked
from llminspect.arguments.parts import CorpusOptions
from llminspect.arguments.small import DiffOptions, WeightsOptions
from llminspect.arguments.together import check_together
from llminspect.errors import UsageError
from llminspect.library.inputs import name_of, noted, opened, takes_options

if TYPE_CHECKING:
    from llminspect.analysis.diff_models import DiffModelsResult
    from llminspect.library.inputs import Opened
    from llminspect.model.opened import Model


@takes_options
def diff_models(
    model: Opened, against_model: Opened, *, top: int = 10, options: WeightsOptions, corpus: CorpusOptions
) -> DiffModelsResult:
    """A model beside its fine-tune, or the same in other bits: their weights, and what differs over a corpus.

    With `weights`: `weights.tensors`, each with ‖b − a‖ / ‖a‖, the same of `weights.parts` and `weights.layers`, and
    what is `left_out`. With `corpus`, a file or folder: `token_changes`, KL(a ‖ b) in bits after each token, its mean
    with a 95% interval and the `top` places where it is largest; `head_changes`, the share of its weight that each
    head gives elsewhere (`moved` [L, H]), and the habits in both. A model with a LoRA is what
    `open_model(name, adapter=folder)` gives. Raises UsageError for models that have nothing to compare.

    >>> import llminspect
    >>> found = llminspect.diff_models("toy", "toy-relu", weights=True)
    >>> [(tensor.name, round(tensor.relative, 2)) for tensor in found.weights.tensors if tensor.relative]
    [('embedding.weight', 2.02)]
    """
    from llminspect.analysis.diff_models import of_weights, over_corpus

    check_together("diff_models", options, corpus)
    top = checked(DiffOptions(top=top)).top
    if not options.weights and corpus.corpus is None:
        raise UsageError("nothing to compare", "give weights=True, or corpus")
    weights = of_weights(_as_stored(model), _as_stored(against_model)) if options.weights else None
    if corpus.corpus is None:
        assert weights is not None
        return weights
    a, b = opened(model), opened(against_model)
    found = over_corpus(a, b, corpus, top)
    return noted(found if weights is None else replace(found, weights=weights.weights), a.provenance)


def _as_stored(model: Opened) -> Model:
    """A model that is named, read from its own files as it is looked through."""
    from llminspect.opening import open_model

    return open_model(name_of(model), streamed=True) if isinstance(model, str) else opened(model)
