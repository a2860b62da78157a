"""`llminspect head`: what one head writes and looks for."""

from __future__ import annotations

from llminspect.arguments.parts import CorpusOptions, HeadOptions
from llminspect.arguments.shared import ModelOptions, OutputOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import ProgressBars, open_model_for
from llminspect.cli.run import emit

RESULTS = "analysis.head.HeadResult"


@takes_groups
def command(model: ModelOptions, output: OutputOptions, options: HeadOptions, corpus: CorpusOptions) -> None:
    """What one head writes and looks for, from its weights alone; and its habits over a corpus.

    OV, what a token's presence writes: for each token the logits that the head raises where all of its weight is on
    that token; the copying score, Σ λ / Σ |λ| over the eigenvalues of unembedding · output · value · embedding; the
    singular values of output · value, and which tokens lie along the first directions.

    QK, what a token looks for: the pairs of tokens with the highest scores, what any query looks for, and what
    positions add, by distance.

    Each token stands alone in the stream, as it does only before layer 0: what is folded in and what is left out is
    said below the picture. Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".

    \b
    llminspect head 11.4
    llminspect head 11.4 --token " Paris" --token " London"
    llminspect head 11.4 --corpus docs
    """
    from llminspect.analysis.head import head

    opened = open_model_for(model, output)
    with ProgressBars(output, "tokens") as progress:
        tell = None if progress is None else lambda done, total: progress(f"reading {corpus.corpus}", done, total)
        result = head(opened, options, corpus, tell)
    emit("head", opened.name, opened.provenance, result, output)
