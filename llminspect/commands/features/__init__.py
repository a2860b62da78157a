"""`llminspect features`: which features of a sparse dictionary are on, and what they write."""

from __future__ import annotations

import sys
from functools import partial

from llminspect.arguments.features import FeatureEdits, FeaturesOptions
from llminspect.arguments.parts import CorpusOptions
from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts, reads_standard_input
from llminspect.cli.opening import ProgressBars, open_model_for
from llminspect.cli.run import emit, run_each

RESULTS = "analysis.feature_result.FeaturesResult"


@takes_groups
def command(
    options: FeaturesOptions,
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    edits: FeatureEdits,
    corpus: CorpusOptions,
) -> None:
    """Which features of a sparse dictionary are on at each token, what they write, how well they rebuild the stream.

    Reads what SAELens saves (standard, TopK, JumpReLU and gated autoencoders, transcoders), sparsify (with transcoders
    and skip connections) and Gemma Scope. Explained variance: 1 less the share of the vectors' spread that is not
    rebuilt. Loss recovered: how much of the loss stays as it was when the model goes on with the rebuilt vectors, from
    0, where it is as with zeros in their place, to 1.

    Without a text the dictionary is shown, and with --feature what single features write. A change (--ablate, --scale,
    --steer) moves the stream by what the feature writes more or less, and leaves what the dictionary cannot rebuild.

    \b
    llminspect features sae "The capital of France is"
    llminspect features sae --feature 5 --corpus docs
    llminspect features sae "The capital of France is" --steer 5*10
    llminspect features layer_20/width_16k/average_l0_71/params.npz "A cat sat." --at blocks.20.hook_resid_post
    """
    from llminspect.analysis.features import features
    from llminspect.analysis.opened_dictionary import open_dictionary

    opened = open_model_for(model, output)
    dictionary = open_dictionary(opened, options)
    provenance = {**opened.provenance, "dictionary": dict(dictionary.provenance)}
    alone = source.text is None and source.ids is None and reads_standard_input(source) and not source.lines
    if alone and (options.feature is not None or corpus.corpus is not None or sys.stdin.isatty()):
        with ProgressBars(output, "tokens") as progress:
            tell = None if progress is None else lambda done, total: progress(f"reading {corpus.corpus}", done, total)
            result = features(opened, dictionary, options, edits, corpus, None, tell)
        emit("features", opened.name, provenance, result, output)
        return
    work = partial(features, opened, dictionary, options, edits, corpus)
    run_each("features", opened.name, provenance, read_prompts(source, opened.tokenizer), output, work)
