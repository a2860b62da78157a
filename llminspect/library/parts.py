"""What is asked of one part of a model: a head, a neuron."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.arguments.parts import CorpusOptions, HeadOptions, NeuronOptions
from llminspect.arguments.together import check_together
from llminspect.library.inputs import DEFAULT, noted, opened, takes_options

if TYPE_CHECKING:
    from llminspect.analysis.head import HeadResult
    from llminspect.analysis.neuron import NeuronResult
    from llminspect.library.inputs import Opened


@takes_options
def head(place: str, model: Opened = DEFAULT, *, options: HeadOptions, corpus: CorpusOptions) -> HeadResult:
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

    check_together("head", options, corpus)
    model = opened(model)
    return noted(question(model, replace(options, place=place), corpus), model.provenance)


@takes_options
def neuron(place: str, model: Opened = DEFAULT, *, options: NeuronOptions, corpus: CorpusOptions) -> NeuronResult:
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

    check_together("neuron", options, corpus)
    model = opened(model)
    return noted(question(model, replace(options, place=place), corpus), model.provenance)
