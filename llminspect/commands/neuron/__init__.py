"""`llminspect neuron`: what one neuron reads and writes, and where it fires."""

from __future__ import annotations

from llminspect.arguments.parts import CorpusOptions, NeuronOptions
from llminspect.arguments.shared import ModelOptions, OutputOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import ProgressBars, open_model_for
from llminspect.cli.run import emit

RESULTS = "analysis.neuron.NeuronResult"


@takes_groups
def command(model: ModelOptions, output: OutputOptions, options: NeuronOptions, corpus: CorpusOptions) -> None:
    """What one neuron reads and writes, from its weights alone; and where it fires in a corpus.

    What it reads: the tokens whose vectors have the largest products with its rows, each token alone in the stream and
    normed. What it writes: the logits that an activation of 1 raises through the final norm. Where it fires: the
    places of a file or folder with the highest activations, their tokens coloured by it.

    \b
    llminspect neuron 28.1100
    llminspect neuron 28.1100 --corpus docs --examples 4
    llminspect forward "The capital of France is" --ablate 28.feedforward.1100
    """
    from llminspect.analysis.neuron import neuron

    opened = open_model_for(model, output)
    with ProgressBars(output, "tokens") as progress:
        tell = None if progress is None else lambda done, total: progress(f"reading {corpus.corpus}", done, total)
        result = neuron(opened, options, corpus, tell)
    emit("neuron", opened.name, opened.provenance, result, output)
