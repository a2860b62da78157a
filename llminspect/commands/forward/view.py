"""How `forward` looks: the text, the way through the layers, one feed-forward step, the answer as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from llminspect.analysis.forward_result import ForwardResult
from llminspect.analysis.result import shown_text
from llminspect.commands.forward.answers import attribution, change, lens_grid, lens_table, masked, surprise
from llminspect.commands.forward.feed_forward import activation, feed_forward
from llminspect.commands.forward.labels import continuations, head_views
from llminspect.commands.forward.sweep import saliency, silencing, sweep, why_there
from llminspect.core.numbers import column, count, duration, number, percent, ranges, shape, vector
from llminspect.render import theme
from llminspect.render.bars import BarCell, probability_bars
from llminspect.render.heatmap import heatmap
from llminspect.render.prose import Text
from llminspect.render.safe import quoted, visible
from llminspect.render.section import remark, section
from llminspect.render.section import steps as formula_steps
from llminspect.render.sized_table import SizedTable, first_fitting
from llminspect.render.table import Cell, Column, Columns, table
from llminspect.render.token_strip import token_strip

if TYPE_CHECKING:
    from llminspect.analysis.by_hand import Written
    from llminspect.analysis.candidates import Candidate
    from llminspect.analysis.over import OverResult
    from llminspect.analysis.trace import LayerTrace, Routing
    from llminspect.core.trace import TraceStep

ADDS = ("attention adds", "feed forward adds")
ROWS_SHOWN = 12
"""Layers shown in the folded trace."""


def render(result: ForwardResult | OverResult) -> RenderableType:
    """What was chosen to look at; the way through the layers where nothing more special was."""
    if not isinstance(result, ForwardResult):
        from llminspect.commands.forward.over import render_over

        return render_over(result)
    if result.surprise is not None:
        return surprise(result.surprise, labels(result.tokens))
    parts: list[RenderableType] = [strip(result.tokens, result.position), Text()]
    if result.source is not None:
        read = result.labels is not None or result.span is not None
        becomes = "is read again, one place later" if read else "becomes"
        parts = [strip(result.source, len(result.source) - 1), Text(becomes, theme.QUIET), *parts]
    if result.scores is not None:
        return Group(*parts, continuations(result.scores))
    answers = answer_views(result)
    if result.steps is not None and not answers:
        parts += [calculation(result.steps), Text()]
        parts += [part for step in result.feedforward or [] if step.curve for part in (activation(step), Text())]
    if any(trace.steps for trace in result.layers):
        parts += opened_layers(result)
    if not answers and (result.steps is None or len(result.layers) > 1):
        parts += [folded_trace(result.layers, place_of(result)), Text()]
        for step in result.feedforward or []:
            parts += [feed_forward(step), Text()]
    if result.experts and not answers:
        opened = {trace.layer for trace in result.layers if trace.steps}
        looked_at = [layer for layer in result.experts if layer.layer in opened]
        if 0 < len(looked_at) <= MOST_MAPS:
            parts += [part for layer in looked_at for part in (routes(layer, labels(result.tokens)), Text())]
        else:
            parts += [experts(result.experts, result.tokens), Text()]
    for answer in answers:
        parts += [answer, Text()]
    parts += head_views(result)
    if result.no_next is not None:
        parts.append(Text(f"no next token: {result.no_next}; llminspect embed shows its vectors"))
    if result.masked is not None:
        parts.append(masked(result.masked, of_text=bool(result.text)))
    elif result.next and result.change is None:
        parts.append(next_tokens(result.next, result.tokens, result.position))
    parts += target_views(result)
    return Group(*parts)


def target_views(result: ForwardResult) -> list[RenderableType]:
    """Where the target stands, and that it is another token with its space."""
    target, spaced = result.target, result.target_spaced
    views: list[RenderableType] = []
    if target is not None and target.rank and result.lens is None:
        name, rank = quoted(target.text), count(target.rank)
        views.append(Text(f"{name} has rank {rank} (0 is the most probable) and {percent(target.prob, 2)}"))
    if target is not None and spaced is not None:
        with_space, bare = quoted(spaced.text), quoted(target.text)
        note = f"{bare} without its space is another token than {with_space}, which has rank {count(spaced.rank)} and "
        views.append(remark(f'{note}{percent(spaced.prob, 2)}: --target "{visible(spaced.text)}"'))
    return views


def answer_views(result: ForwardResult) -> list[RenderableType]:
    """The answers to special questions, in the order in which one leads to the other."""
    views: list[RenderableType] = []
    if result.lens is not None:
        views.append(lens_table(result.lens))
        views += [] if result.tuned_lens is None else [lens_table(result.tuned_lens, tuned=True)]
        views += [] if result.grid is None else [lens_grid(result.grid, labels(result.tokens))]
    if result.attribution is not None:
        views.append(attribution(result.attribution))
    if result.saliency is not None:
        views.append(saliency(result.saliency, labels(result.tokens)))
    if result.sweep is not None:
        views.append(sweep(result.sweep, labels(result.tokens)))
    if result.silencing is not None:
        views.append(silencing(result.silencing, labels(result.tokens)))
    if result.change is not None and result.baseline is not None:
        found, moved = result.sweep, change(result.baseline, result.change)
        if found is not None and found.part == "stream" and found.direction == "denoising":
            moved = Group(Text(why_there(found), theme.QUIET), moved)
        views.append(moved)
    return views


def place_of(result: ForwardResult) -> str:
    """`position 4 (·is)`."""
    return f"position {result.position} ({quoted(shown_text(result.tokens[result.position]))})"


def labels(tokens: Sequence[dict[str, object]]) -> list[str]:
    return [shown_text(token) for token in tokens]


def strip(tokens: Sequence[dict[str, object]], position: int) -> RenderableType:
    """The tokens; where the position looked at is not the last, the later ones are left out."""
    shown = tokens[: position + 1]
    kinds = ["special" if token.get("special") else "text" for token in shown]
    return token_strip(labels(shown), kinds)  # type: ignore[arg-type]


def next_tokens(candidates: Sequence[Candidate], tokens: Sequence[dict[str, object]], position: int) -> RenderableType:
    """Logits, and the softmax of them as bars."""
    if not candidates:
        return Text()
    logits = column([candidate.logit for candidate in candidates])
    numbers = [f"{logit}  {percent(candidate.prob, 2):>6}" for logit, candidate in zip(logits, candidates, strict=True)]
    bars = probability_bars(
        [candidate.text for candidate in candidates],
        [candidate.prob for candidate in candidates],
        numbers=numbers,
        strong=[0],
        title="next token: logit, and its probability after the softmax",
    )
    rest = 1 - sum(candidate.prob for candidate in candidates)
    line = Text()
    line.append(f"all other tokens together {percent(max(rest, 0.0), 2)}", theme.QUIET)
    answer = Text.assemble(
        "after ",
        (quoted(shown_text(tokens[position])), theme.STRONG),
        " most probable: ",
        (quoted(candidates[0].text), theme.CHOSEN),
        f"  {percent(candidates[0].prob, 2)}",
    )
    return Group(bars, *([line] if rest > 5e-5 else []), Text(), answer)


def folded_trace(layers: Sequence[LayerTrace], place: str) -> RenderableType:
    """A line a layer, of the position `place`; of many layers every so many, and the last. Where the line is short with
    shorter names, without the time, then without the bars."""
    return first_fitting([_folded_trace(layers, place)], [_folded_trace(layers, place, short=True)])


def _folded_trace(layers: Sequence[LayerTrace], place: str, *, short: bool = False) -> SizedTable:
    stride = max(1, -(-len(layers) // ROWS_SHOWN))
    shown = [trace for index, trace in enumerate(layers) if index % stride == 0 or index == len(layers) - 1]
    longest = max((trace.norm for trace in layers), default=0.0) or 1.0
    rows: list[list[Cell]] = []
    stateful = any(trace.state_norm is not None for trace in layers)
    for trace in shown:
        states = (trace.state_norm,) if stateful else ()
        lengths = (trace.attention_norm, *states, trace.feedforward_norm, trace.norm)
        rows.append([str(trace.layer), *lengths, BarCell(trace.norm / longest, 12), duration(trace.seconds)])
    names = ["attention", "feed forward", "stream"] if short else [*ADDS, "residual stream"]
    names[1:1] = ["state" if short else "state adds"] if stateful else []
    columns: Columns = [Column("layer", "right", whole=True), *map(Column, names), ""]
    columns.append(Column("time", "right", quiet=True, whole=True, spared=9))
    folded = f"{len(layers)} layers, one in {stride} shown; " if stride > 1 else ""
    last = f"--layer {layers[-1].layer} opens a layer" if layers else ""
    note = f"lengths of the vectors at {place} alone; {folded}--trace shows every step, {last}"
    return table(columns, rows, title="through the layers", note=note)


def opened_layers(result: ForwardResult) -> list[RenderableType]:
    """The steps of each opened layer."""
    groups: list[tuple[str, Sequence[TraceStep]]] = [("before the layers", result.before or [])]
    groups += [(f"layer {trace.layer}", trace.steps or []) for trace in result.layers]
    groups += [("after the layers", result.after or [])]
    return [part for title, steps in groups if steps for part in (step_table(title, steps), Text())]


def step_table(title: str, steps: Sequence[TraceStep]) -> SizedTable:
    """A line a step; where its name would be broken, without the mean, then the time, then all but the norm."""
    rows = [
        [
            step.name.split(".", 2)[-1] if step.name.startswith("layers.") else step.name,
            shape(step.shape).replace(" ", ""),  # Leaves the names room at 80 columns.
            number(step.norm),
            *(number(value, 3) for value in (step.mean, step.min, step.max)),
            duration(step.seconds),
        ]
        for step in steps
    ]
    names = {"shape": 0, "norm": 0, "mean": 4, "min": 1, "max": 2, "time": 3}
    notes = {"time": "time: since the step listed before, or since the pass began"}
    columns = [
        Column("step"),
        *(Column(name, "right", spared=at, note=notes.get(name, "")) for name, at in names.items()),
    ]
    note = "over all positions together; norm: the square root of the sum of the squares"
    return table(columns, rows, title=title, note=note)


MOST_MAPS = 4
"""Opened layers whose experts are each a map of their own; of more there is one table."""


def routes(layer: Routing, names: Sequence[str]) -> RenderableType:
    """How much each expert counts for each token, in one layer; experts that no token went to are left out."""
    chosen = sorted({route.expert for token in layer.tokens for route in token})
    weights_TX = [[math.nan] * len(chosen) for _ in layer.tokens]
    for row, token in zip(weights_TX, layer.tokens, strict=True):
        for route in token:
            row[chosen.index(route.expert)] = route.weight
    drawn = heatmap(
        weights_TX,
        row_labels=[visible(name, True) for name in names],
        column_labels=[str(expert) for expert in chosen],
        title=f"layer {layer.layer}: which experts each token went to",
        fold="max",
        row_name="tokens",
        column_name="experts",
        value_name="how much the expert's result counts",
        masked="not chosen",
    )
    sums = [sum(route.weight for route in token) for token in layer.tokens]
    if all(abs(total - 1) < 0.005 for total in sums):
        return drawn
    many = (
        f"to {number(sums[0], 3)}"
        if max(sums) - min(sums) < 0.005
        else f"to {number(min(sums), 3)} to {number(max(sums), 3)}"
    )
    return section("", drawn, note=f"In this model the weights of a token do not sum to 1, but {many}.")


def experts(layers: Sequence[Routing], tokens: Sequence[dict[str, object]]) -> RenderableType:
    """A line a token: the experts it went to, layer by layer, the heaviest first."""
    rows: list[list[Cell]] = []
    for index, token in enumerate(tokens):
        chosen = ("+".join(str(route.expert) for route in layer.tokens[index]) for layer in layers)
        rows.append([Text(visible(shown_text(token), True)), "  ".join(chosen)])
    numbers = ranges([layer.layer for layer in layers])
    named = f"layer {numbers}" if len(layers) == 1 else f"layers {numbers}"
    function = layers[0].function
    formula = f"{function}(h, W′ z)" if " " in function else f"{function}(h)" + " · (W′ z)" * layers[0].gated
    note = "the router sends each token to a few experts, the one that counts most first; in each a = " + formula
    return table([Column("token"), Column(named)], rows, title="experts", note=note)


def calculation(steps: Sequence[Written], shown: slice | None = None) -> RenderableType:
    """Each line of the calculation with its numbers; of some of them alone, as they stand among the others."""
    rows = []
    for step in steps if shown is None else steps[shown]:
        value = visible(step.value, True) if isinstance(step.value, str) else _value(step.value)
        rows.append([part for part in (step.name, step.formula, step.with_numbers, value) if part is not None])
    least = max(len(step.name) for step in steps)
    if shown is not None:
        return formula_steps(rows, least=least)
    return formula_steps(rows, title="step by step", least=least, signs=True)


def _value(value: object) -> str:
    import numpy as np

    array = np.asarray(value)
    return number(array.item()) if array.ndim == 0 else vector(array)
