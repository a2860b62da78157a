"""`llminspect circuit`: the smallest graph of heads and feed-forward steps that makes the difference of two texts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.circuit import CircuitOptions, CircuitOverOptions
from llminspect.arguments.shared import ModelOptions, PageOptions, SourceOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import ProgressBars, open_model_for
from llminspect.cli.output import note
from llminspect.cli.over import records_from
from llminspect.cli.run import emit, show_early
from llminspect.cli.save import is_page
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt

RESULTS = "analysis.circuit_result.CircuitResult"


@partial(takes_groups, arrays=True)
def command(model: ModelOptions, output: PageOptions, options: CircuitOptions, over: CircuitOverOptions) -> None:
    """Which heads and feed-forward steps make the difference between two texts, and which edges join them.

    Every head's query, key and value, every feed-forward step and the logits read what was written before them: each
    is an edge with a score, about how far logit of target - logit of versus falls if that edge alone carries what it
    carries in CORRUPT (edge attribution patching with integrated gradients: Hanna et al. 2024; with --steps 1 without
    them: Syed et al. 2023). Edges are taken in the order of their scores, to find the smallest graph that keeps a
    share of the effect. What it keeps is measured exactly: all other edges are patched, and each part is computed
    again.

    With --over scores are means over many pairs, as Hanna et al. take them, and shares those of the mean effect.

    Shown beside it: what is lost without the graph (completeness), random graphs of the same size, and the other
    method.

    \b
    llminspect circuit "Anne met Tom. Tom saw" "Anne met Tom. Anne saw"
    llminspect circuit "Anne met Tom. Tom saw" "Anne met Tom. Anne saw" --target " Anne" --versus " Tom" --keep 0.9
    llminspect circuit "Anne met Tom. Tom saw" "Anne met Tom. Anne saw" --save page.html --interactive
    llminspect circuit --over pairs.jsonl --model toy-induction
    """
    from llminspect.analysis.circuit import circuit
    from llminspect.analysis.circuit_over import circuit_over
    from llminspect.analysis.circuit_result import circuit_arrays, for_json
    from llminspect.analysis.long_texts import noted_before

    if over.over is None and (options.clean is None or options.corrupt is None):
        raise UsageError("circuit compares two texts", 'circuit "Anne met Tom. Tom saw" "Anne met Tom. Anne saw"')
    records = [] if over.over is None else records_from(over.over)
    opened, noted = open_model_for(model, output), list[str]()
    tell, early = partial(note, options=output), partial(show_early, noted, output)
    if over.over is None:
        clean, corrupt = (prompt_of(options, text, opened) for text in (options.clean, options.corrupt))
        early(noted_before(opened, clean, others=[corrupt]))
    with ProgressBars(output, "done") as progress:
        if over.over is None:
            result = circuit(opened, clean, corrupt, options, progress, tell, page=is_page(output))
        else:
            file = str(over.over)
            result = circuit_over(opened, records, options, progress, tell, early, file, page=is_page(output))
    shown, arrays = for_json(result), partial(circuit_arrays, result)
    emit("circuit", opened.name, opened.provenance, shown, output, arrays=lambda _: arrays(), noted=noted)


def prompt_of(options: CircuitOptions, text: str | None, model: Model) -> Prompt:
    """The tokens of one of the two texts."""
    from llminspect.analysis.prompt import prompt_of_ids, text_prompt
    from llminspect.arguments.ranges import parse_ids

    assert text is not None
    if options.ids:
        return prompt_of_ids(parse_ids(text), model.tokenizer, None)
    return text_prompt(text, SourceOptions(special=options.special), model.tokenizer, None)
