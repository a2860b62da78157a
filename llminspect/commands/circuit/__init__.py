"""`llminspect circuit`: the smallest graph of heads and feed-forward steps that makes the difference of two texts."""

from __future__ import annotations

from functools import partial

from llminspect.arguments.circuit import CircuitOptions
from llminspect.arguments.shared import ModelOptions, PageOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import ProgressBars, open_model_for
from llminspect.cli.output import note
from llminspect.cli.run import emit, show_notes
from llminspect.cli.save import is_page
from llminspect.errors import UsageError

RESULTS = "analysis.circuit_result.CircuitResult"


@partial(takes_groups, arrays=True)
def command(model: ModelOptions, output: PageOptions, options: CircuitOptions) -> None:
    """Which heads and feed-forward steps make the difference between two texts, and which edges join them.

    Every head's query, key and value, every feed-forward step and the logits read what was written before them: each
    is an edge with a score, about how far logit of target − logit of versus falls if that edge alone carries what it
    carries in CORRUPT (edge attribution patching with integrated gradients: Hanna et al. 2024; with --steps 1 without
    them: Syed et al. 2023). Edges are taken in the order of their scores, to find the smallest graph that keeps a
    share of the effect. What it keeps is measured exactly: all other edges are patched, and each part is computed
    again.

    Shown beside it: what is lost without the graph (completeness), random graphs of the same size, and the other
    method.

    \b
    llminspect circuit "Anne met Tom. Tom saw" "Anne met Tom. Anne saw"
    llminspect circuit "Anne met Tom. Tom saw" "Anne met Tom. Anne saw" --target " Anne" --versus " Tom" --keep 0.9
    llminspect circuit "Anne met Tom. Tom saw" "Anne met Tom. Anne saw" --save page.html --interactive
    """
    from llminspect.analysis.circuit import circuit
    from llminspect.analysis.circuit_result import circuit_arrays, for_json
    from llminspect.analysis.long_texts import noted_before
    from llminspect.analysis.prompt import prompt_of_ids, text_prompt
    from llminspect.arguments.ranges import parse_ids
    from llminspect.arguments.shared import SourceOptions

    if options.clean is None or options.corrupt is None:
        raise UsageError("circuit compares two texts", 'circuit "Anne met Tom. Tom saw" "Anne met Tom. Anne saw"')
    opened = open_model_for(model, output)
    source = SourceOptions(special=options.special)
    clean, corrupt = (
        prompt_of_ids(parse_ids(text), opened.tokenizer, None)
        if options.ids
        else text_prompt(text, source, opened.tokenizer, None)
        for text in (options.clean, options.corrupt)
    )
    show_notes(noted := noted_before(opened, clean, others=[corrupt]), None, output)
    with ProgressBars(output, "done") as progress:
        tell = partial(note, options=output)
        result = circuit(opened, clean, corrupt, options, progress, tell, page=is_page(output))
    shown, arrays = for_json(result), partial(circuit_arrays, result)
    emit("circuit", opened.name, opened.provenance, shown, output, arrays=lambda _: arrays(), noted=noted)
