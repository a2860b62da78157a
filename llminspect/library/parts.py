"""What is asked of one part of a model: a head, a neuron, the stream after a layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llminspect.arguments.features import FeatureEdits, FeaturesOptions
from llminspect.arguments.parts import CorpusOptions, HeadOptions, NeuronOptions, ProbeOptions
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.together import check_together
from llminspect.core.intervention import Place
from llminspect.errors import UsageError
from llminspect.library.inputs import DEFAULT, checked_text, each, noted, opened, path_text, takes_options

if TYPE_CHECKING:
    from llminspect.analysis.feature_result import FeaturesResult
    from llminspect.analysis.head import HeadResult
    from llminspect.analysis.neuron import NeuronResult
    from llminspect.analysis.probe import ProbeResult
    from llminspect.library.inputs import Opened, Text, Texts


@takes_options
def head(place: str | Place, model: Opened = DEFAULT, *, options: HeadOptions, corpus: CorpusOptions) -> HeadResult:
    """What one head writes and looks for, of its weights alone; with `corpus` its habits over a file or folder.

    Gives `ov` (for each source token what the head raises where it looks at it, the copying score, singular values and
    directions), `qk` (pairs of tokens with high scores, what any query looks for, what positions add), `folded` and
    `left_out`, which say what the numbers hold, and `habits`. Each token stands alone in the stream, as it does only
    before layer 0. Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits". Raises UsageError for a
    head that is not there, and for a model whose words are not the product of a stream with a matrix.

    >>> import llminspect
    >>> found = llminspect.head("27.1", "smollm2", token=" Paris", top=2)
    >>> round(found.ov.copying, 2), [pair.key.text for pair in found.qk.top]
    (1.0, [' Pre', ' English'])
    """
    from llminspect.analysis.head import head as question

    place = f"{place.layer}.{place.head}" if isinstance(place, Place) else checked_text(place, "a place", "27.1")
    check_together("head", options, corpus)
    model = opened(model)
    return noted(question(model, replace(options, place=place), corpus), model.provenance)


@takes_options
def neuron(
    place: str | Place, model: Opened = DEFAULT, *, options: NeuronOptions, corpus: CorpusOptions
) -> NeuronResult:
    """What one neuron reads and writes, of its weights alone; with `corpus` where it fires in a file or folder.

    Gives `reads` (for each of its rows the tokens with the largest and smallest products), `writes` and `lowers` (the
    logits that an activation of 1 moves most, through the final norm), `folded` and `left_out`, which say what the
    numbers hold, and `examples` and `firing`. Of a mixture of experts the place is layer, expert and neuron. Raises
    UsageError for a neuron that is not there.

    >>> import llminspect
    >>> found = llminspect.neuron("28.1100", "smollm2", top=2)
    >>> found.formula, [row.row for row in found.reads]
    ('silu(gate) · up', ['gate', 'up'])
    """
    from llminspect.analysis.neuron import neuron as question

    place = f"{place.layer}.{place.neuron}" if isinstance(place, Place) else checked_text(place, "a place", "27.1")
    check_together("neuron", options, corpus)
    model = opened(model)
    return noted(question(model, replace(options, place=place), corpus), model.provenance)


@takes_options
def probe(
    records: str | Path | Iterable[Mapping[str, Any]], model: Opened = DEFAULT, *, options: ProbeOptions
) -> ProbeResult:
    """What a linear probe reads of labels in the stream after each layer, beside labels that were shuffled.

    `records` are dictionaries, in whatever can be gone through, with `text` and `label`, or the path of a file with one
    a line as JSON. Gives `layers`,
    each with its held-out `accuracy` (of numbers `r2`), the ends `low` and `high` of its interval, the `control` of
    shuffled labels, the `selectivity`, and `directions` [K, D] in the stream, one a class, to add there
    (`llminspect.added`); and `best`, the layer with the highest. Alain and Bengio 2016; Hewitt and Liang 2019. Raises
    UserError for records that are none, UsageError for a layer that is not there.

    >>> import llminspect
    >>> words = {"animal": "cat dog horse cow sheep goat lion bear", "food": "bread milk cheese rice soup salt egg jam"}
    >>> records = [{"text": f"The {word}", "label": kind} for kind, some in words.items() for word in some.split()]
    >>> found = llminspect.probe(records, "smollm2", at=[5, 10])
    >>> [place.accuracy for place in found.layers], found.layers[1].directions.shape
    ([1.0, 1.0], (2, 576))
    """
    from llminspect.analysis.probe import probe as question
    from llminspect.files.source import read_records

    check_together("probe", options)
    named = str(records) if isinstance(records, str | Path) else None
    given = read_records(Path(records)) if isinstance(records, str | Path) else records_of(records)
    model = opened(model)
    return noted(replace(question(model, given, options), records=named), model.provenance)


@takes_options
def features(
    path: str | Path,
    text: Text | Texts | None = None,
    model: Opened = DEFAULT,
    *,
    source: SourceOptions,
    options: FeaturesOptions,
    edits: FeatureEdits,
    corpus: CorpusOptions,
) -> FeaturesResult:
    """Which features of a sparse dictionary are on at each token, what they write, and how well they rebuild.

    `path` is what SAELens, sparsify or Gemma Scope saved. Of a text it gives `features`, those of each token with the
    highest activations, `active` (how many are on), `explained_variance` and `loss`, which says how much of the loss is
    recovered with the rebuilt vectors in place of the model's own; with `feature=5` single features, where they are on
    and, with `corpus`, where they are highest; with `ablate`, `scale` and `steer` what a change does to the next token.
    Without a text it tells of the dictionary alone. Bricken et al. 2023, "Towards Monosemanticity". Raises ModelError
    for a dictionary that is not understood, UsageError for one that does not fit the model.

    >>> import llminspect
    >>> found = llminspect.features("tests/golden/dictionaries/toy", "world", "toy")
    >>> [(feature.index, round(feature.activation, 3)) for feature in found.features]
    [(1, 2.7), (0, 2.0)]
    """
    from llminspect.analysis.features import features as question
    from llminspect.analysis.opened_dictionary import open_dictionary

    check_together("features", options, source, edits, corpus)
    model = opened(model)
    dictionary = open_dictionary(model, path_text(path), options.at)
    work = partial(question, model, dictionary, options, edits, corpus)
    if text is None:
        return noted(work(None), model.provenance)
    return each(text, source, model.tokenizer, work, provenance=model.provenance)


def records_of(given: Any) -> list[Mapping[str, Any]]:
    """Records that were handed over. Raises UsageError for what is none, UserError for one that is none."""
    from llminspect.files.source import records_of as checked

    if not isinstance(given, Iterable) or isinstance(given, Mapping | bytes):
        raise UsageError("records are dictionaries, or the path of a file", "each with text and label")
    return checked(given)
