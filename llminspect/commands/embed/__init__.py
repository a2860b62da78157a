"""`llminspect embed`: tokens as vectors, and what lies near what."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from llminspect.arguments.embed import EmbedOptions
from llminspect.arguments.shared import EngineOptions, ModelOptions, OutputOptions, PairOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.run import run_each
from llminspect.text.prompt import Prompt

RESULTS = "analysis.embed.EmbedResult"


@partial(takes_groups, arrays=True)
def command(
    source: PairOptions, model: ModelOptions, output: OutputOptions, engine: EngineOptions, options: EmbedOptions
) -> None:
    """Show the vectors that tokens become, and what lies near what.

    \b
    llminspect embed "Alice gave Bob her book"
    llminspect embed --analogy "king - man + woman"
    llminspect embed "king queen man woman" --similarity --project pca
    llminspect embed "A cat sat." "A dog sat." --pool model --similarity --model minilm
    """
    from llminspect.analysis.embed import embed, embed_analogy, embed_arrays, place_of, prompt_of_terms, reading_model
    from llminspect.analysis.long_texts import noted_before
    from llminspect.analysis.prompt import text_prompt

    opened = reading_model(open_model_for(model, output, engine))
    at = place_of(opened, options, bool(options.others))  # Refused before a text is read.
    if options.analogy is not None:
        prompts: Iterator[Prompt] = iter([prompt_of_terms(opened, options.analogy)])
        working, others = partial(embed_analogy, opened, options), []
    else:
        prompts = read_prompts(source, opened.tokenizer)
        others = [text_prompt(text, source, opened.tokenizer, None) for text in options.others]
        working = partial(embed, opened, options, others)
    computed = at != "embedding" and options.analogy is None
    before = partial(noted_before, opened, others=others) if computed else None
    run_each("embed", opened.name, opened.provenance, prompts, output, working, arrays=embed_arrays, before=before)
