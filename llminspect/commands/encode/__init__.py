"""`llminspect encode`: a text as the ids that a model reads, and ids as text again."""

from __future__ import annotations

from dataclasses import replace

from llminspect.arguments.encode import EncodeOptions, SearchOptions
from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.run import emit

RESULTS = "analysis.encode.EncodeResult analysis.encode.DecodeResult analysis.vocabulary_search.SearchResult"
"""The classes of what `--json` writes."""


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    searched: SearchOptions,
    options: EncodeOptions,
) -> None:
    """Write a text as the ids that a model reads, or ids as text.

    \b
    llminspect encode "Alice gave Bob her book"
    llminspect encode --decode 7356,4502,8363
    llminspect encode HI --letters
    llminspect encode --search "*ization" --longest
    """
    model = replace(model, model="letters") if options.letters else model
    if searched.search is None:
        from llminspect.commands.encode.work import encode_all

        encode_all(options, source, model, output)
        return
    from llminspect.analysis.vocabulary_search import search_vocabulary

    tokenizer, provenance = open_tokenizer_for(model, output)
    found = search_vocabulary(tokenizer, searched)
    emit("encode", model.model, provenance, found, output, details={"limit": searched.limit})
