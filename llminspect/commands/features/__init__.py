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
    and skip connections) and Gemma Scope. Explained variance: 1 minus the share of the vectors'
    variance that is not rebuilt. Loss recovered: the loss of the model when it goes on with the rebuilt vectors, on a
    scale where 1 is the loss with its own vectors and 0 the loss with zeros in their place.

    Without a text the dictionary is shown, and with --feature what single features write. A change (--ablate, --scale,
    --steer) adds to the stream only the difference in what the feature writes; what the dictionary cannot
    rebuild stays as it is. The other commands that change a model take the same changes, with --features PATH.

    \b
    llminspect features sae "The capital of France is"
    llminspect features sae --feature 5 --corpus docs
    llminspect features sae "The capital of France is" --steer feature.5*10
    llminspect features layer_20/width_16k/average_l0_71/params.npz "A cat sat." --at blocks.20.hook_resid_post
    """
    from llminspect.analysis.features import features
    from llminspect.analysis.long_texts import noted_before
    from llminspect.analysis.opened_dictionary import open_dictionary

    opened = open_model_for(model, output)
    dictionary = open_dictionary(opened, options.dictionary, options.at)
    provenance = {**opened.provenance, "dictionary": dict(dictionary.provenance)}
    alone = source.text is None and source.ids is None and reads_standard_input(source) and not source.lines
    if alone and (options.feature is not None or corpus.corpus is not None or sys.stdin.isatty()):
        with ProgressBars(output, "tokens") as progress:
            tell = None if progress is None else lambda done, total: progress(f"reading {corpus.corpus}", done, total)
            result = features(opened, dictionary, options, edits, corpus, None, tell)
        emit("features", opened.name, provenance, result, output)
        return
    work = partial(features, opened, dictionary, options, edits, corpus)
    prompts, before = read_prompts(source, opened.tokenizer), partial(noted_before, opened)
    run_each("features", opened.name, provenance, prompts, output, work, before=before)
