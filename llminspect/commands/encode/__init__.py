"""`llminspect encode`: a text as the ids that a model reads, and ids as text again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.encode import EncodeOptions, SearchOptions
from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.arguments.together import check_together
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.run import emit
from llminspect.cli.save import check_ending

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.encode import DecodeResult, EncodeResult, SearchResult

RESULTS = "analysis.encode.EncodeResult analysis.encode.DecodeResult analysis.encode.SearchResult"
"""The classes of what `--json` writes."""


def render(result: EncodeResult | DecodeResult | SearchResult) -> RenderableType:
    """The tokens over their ids, the one-hot rows, the text, or what was found."""
    from llminspect.commands.encode.view import rendering

    return rendering(result)


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
    from llminspect.commands.encode.work import encode_all, encode_lines

    check_ending(output, arrays=False)
    check_together("encode", searched, options, source, model, output)
    decode, one_hot = options.decode, options.one_hot
    model = replace(model, model="letters") if options.letters else model
    if source.lines and searched.search is None and output.save is None:
        encode_lines(decode, one_hot, source, model, output, options.workers)
        return
    tokenizer, provenance = open_tokenizer_for(model, output)
    if searched.search is not None:
        from llminspect.analysis.encode import search_vocabulary
        from llminspect.commands.encode.view import found_view

        found = search_vocabulary(tokenizer, searched)
        emit("encode", model.model, provenance, found, output, partial(found_view, limit=searched.limit))
        return
    encode_all(decode, one_hot, source, model.model, (tokenizer, provenance), output, render)
