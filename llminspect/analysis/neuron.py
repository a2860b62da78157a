"""`neuron`: what one neuron reads and writes, of its weights alone, and where it fires in a corpus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llminspect.analysis.corpus import Corpus
from llminspect.analysis.firing import Firing, FiringPlace, Places, activations, fire
from llminspect.analysis.neighbours import LogitToken, ReadToken, Words
from llminspect.analysis.result import Result
from llminspect.arguments.option import usual_of
from llminspect.arguments.parts import CorpusOptions, NeuronOptions, parse_neuron
from llminspect.arguments.ranges import check_exists
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model.folded import check_words, logits_of, vocabulary
from llminspect.model.neuron_maps import NeuronMaps, neuron_maps, neuron_notes
from llminspect.model.opened import Model


@dataclass(frozen=True)
class NeuronReads:
    """What one of a neuron's rows is read most and least in."""

    row: str
    """gate and up, or hidden where there is no gate."""
    constant: float
    """What biases make of it, which is in the products."""
    top: list[ReadToken]
    bottom: list[ReadToken]


@dataclass(frozen=True)
class NeuronResult(Result):
    """One neuron."""

    layer: int
    neuron: int
    formula: str
    """How its activation is made of what it reads."""
    reads: list[NeuronReads]
    """Products with tokens that stand alone in the stream, by row."""
    writes: list[LogitToken]
    """What an activation of 1 raises most: logits above their mean over the vocabulary, through the final norm."""
    lowers: list[LogitToken]
    """What it lowers most."""
    size: float
    """The root mean square over the vocabulary of what is added to the logits."""
    folded: list[str]
    """What of the model beside the neuron's own rows and column is in the numbers …"""
    left_out: list[str]
    """… and what is not."""
    words: bool
    """Whether only tokens that begin a word and consist of letters are listed."""
    expert: int | None = None
    """Of a mixture of experts: whose neuron it is."""
    examples: list[FiringPlace] | None = None
    """With --corpus: where it is highest (with --lowest: lowest), at most one place of each piece."""
    firing: Firing | None = None
    """With --corpus: its activation over all of it."""


def neuron(
    model: Model, options: NeuronOptions, corpus: CorpusOptions, progress: Callable[[int, int], object] | None = None
) -> NeuronResult:
    """What a neuron reads and writes; with --corpus where it fires, of which `progress` is told the tokens done.

    Raises UsageError for a neuron that is not there, UserError for a corpus that cannot be read.
    """
    place = parse_neuron(options.place)
    check_words(model, f"neuron {place}")
    check_exists(place.layer, model.config.sizes.L, "layer")
    maps = neuron_maps(model, place.layer, place.neuron, place.expert)
    words = Words(model, options.words)
    logits_V = logits_of(model, maps.write_D[None])[0]
    logits_V = logits_V - logits_V.mean()
    reads = [
        NeuronReads(row.name, row.constant, words.read(products_V, options.top), _least(words, products_V, options.top))
        for row, products_V in zip(maps.rows, _products(model, maps), strict=True)
    ]
    examples = firing = None
    if corpus.corpus is not None:
        read = Corpus(model, corpus.corpus, usual_of(corpus, "length"), usual_of(corpus, "most"), progress)
        places = Places(usual_of(options, "examples"), options.lowest)
        fire(
            read,
            lambda ids_BT: activations(model, maps.tap, place.layer, place.neuron, place.expert, ids_BT)[None],
            [places],
        )
        examples, firing = places.best(model), places.summed(read.read())
    folded, left_out = neuron_notes(model, place.layer)
    return NeuronResult(
        place.layer, place.neuron, maps.formula, reads,
        words.raised(logits_V, options.top), words.lowered(logits_V, options.top),
        float(np.sqrt(np.mean(logits_V**2))), folded, left_out, not words.all, place.expert, examples, firing,
    )  # fmt: skip


def _products(model: Model, maps: NeuronMaps) -> Array:
    """What each row gives for each token that stands alone in the stream, [rows, V]."""
    read_DR = np.stack([row.read_D for row in maps.rows], axis=1)
    parts = [x_TD @ read_DR * maps.norm.scale(x_TD)[:, None] for _, x_TD in vocabulary(model)]
    found_RV: Array = np.concatenate(parts).T + np.array([[row.constant] for row in maps.rows], np.float32)
    return found_RV


def _least(words: Words, products_V: Array, count: int) -> list[ReadToken]:
    return [ReadToken(token.id, token.text, -token.product) for token in words.read(-products_V, count)]
