"""How the answers of `forward` look: lens, attribution, surprise, masks; and experiments, with what was done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType

from llminspect.core.numbers import added_up, column, fixed, largest_first, number, percent, ranges, several, signed
from llminspect.core.written import digits_for, read
from llminspect.render import theme
from llminspect.render.bars import BarCell, probability_bars, signed_bars
from llminspect.render.heatmap import head_map
from llminspect.render.prose import Text
from llminspect.render.ramp_key import Ramp, ramp_key
from llminspect.render.safe import fit, quoted, visible
from llminspect.render.section import Drawn, headed, remark
from llminspect.render.table import Cell, Column, Entries, table
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from llminspect.analysis.attribution import Attribution, NeuronShare
    from llminspect.analysis.candidates import FilledMask, ProbableToken
    from llminspect.analysis.corpus import CorpusRead
    from llminspect.analysis.experiments import AnswerChange, Baseline, Experiment
    from llminspect.analysis.lens import LensLayer
    from llminspect.analysis.token_scores import Surprise
    from llminspect.arguments.alignment import Aligned

PARTS = 14
"""Parts shown as bars in an attribution."""
LENS_SHOWN = 5
"""Tokens a layer in the lens."""
SHOWN = 14
"""Tokens whose probability is compared."""
GRID_CELL = 10
"""Terminal cells of a token in the grid of the lens."""


def lens_table(layers: Sequence[LensLayer], *, tuned: bool = False) -> RenderableType:
    """A line a layer: what it would say, and where the target stands; through a `tuned` lens."""
    target = layers[0].target
    rows: list[list[Cell]] = []
    final = layers[-1].top[0].id if layers[-1].top else None
    for layer in layers:
        row: list[Cell] = [str(layer.layer), None, None, None]
        if layer.target is not None:
            prob = float(layer.target.prob)
            row[1:] = [f"{layer.target.rank:,}", percent(prob, 2), BarCell(prob, 8)]
        entries = []
        for entry in layer.top[:LENS_SHOWN]:
            style = theme.STRONG if entry.id == (target.id if target else final) else ""
            prob_shown = percent(entry.prob, 1 if target is None else 2)  # As in the column of the target.
            entries.append(Text.assemble((visible(entry.text, True), style), f" {prob_shown}"))
        rows.append([*row, Entries(entries, one_line=True)])
    name = quoted(target.text) if target else ""
    of_target = [Column(f"rank of {name}", "right"), Column("prob", "right"), Column("")] if target else [None] * 3
    note = "the final norm and the output matrix applied after each layer; the last layer is the answer"
    note = f"the tuned lens's maps, {note}" if tuned else note
    if target is not None:
        first = leads_from(layers)
        leads = f"from layer {first} on" if first is not None else "at no layer up to the end"
        note += f"; rank 0 is the most probable; {name} leads {leads}"
    columns = [Column("layer", "right"), *of_target, "most probable"]
    return table(columns, rows, title=f"{'tuned ' if tuned else ''}lens: what each layer would say", note=note)


def leads_from(layers: Sequence[LensLayer]) -> int | None:
    """The first layer from which the target stays in front to the end; None where it is not in front at the end."""
    first = None
    for layer in reversed(layers):
        if layer.target is None or layer.target.rank:
            break
        first = layer.layer
    return first


def lens_grid(grid: Sequence[Sequence[ProbableToken]], labels: Sequence[str]) -> Drawn:
    """The best token of each layer (down, layer 0 on top) at each position (across), on the colour of its
    probability; the last positions where not all fit."""

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        colors = theme.has_colors(console)
        room = max(1, (options.max_width - 6) // GRID_CELL)
        first = max(0, len(labels) - room)
        yield Text("lens: the most probable next token after each layer, at each position", theme.TITLE)
        last = f"; the last {room} of {len(labels)} positions" if first else ""
        yield Text(f"layers down, positions across{last}", theme.QUIET)
        names = "".join(fit(visible(label, True), GRID_CELL - 1) + " " for label in labels[first:])
        yield Text(" " * 6 + names, theme.STRONG, no_wrap=True, overflow="crop")
        for layer in range(len(grid)):
            line = Text(f"{layer:>5} ", theme.QUIET, no_wrap=True, overflow="crop")
            for token in grid[layer][first:]:
                shown = fit(visible(token.text, True), GRID_CELL - 1) + " "
                line.append(shown, theme.cell_style("sequential", float(token.prob)) if colors else "")
            yield line
        if colors:
            yield Text()
            yield ramp_key(np.array([0.0, 1.0]), Ramp("sequential", 0.0, 1.0), name="its probability")

    return Drawn(draw)


def neurons_that_add(neurons: Sequence[NeuronShare], name: str) -> RenderableType:
    """The neurons of all layers that add or take most."""
    by_place = sorted(neurons, key=lambda one: (one.layer, one.neuron))
    neurons = [by_place[at] for at in largest_first([abs(one.share) for one in by_place])]
    return signed_bars(
        [f"{one.layer}.{one.neuron}" for one in neurons],
        [one.share for one in neurons],
        title=f"neurons that add or take most of the {name}",
    )


def attribution(found: Attribution) -> RenderableType:
    """The parts that add most, all heads as a map, and the sum."""
    parts = [("embedding", found.embedding)] + ([("bias", found.bias)] if found.bias else [])
    parts += [] if found.experiment is None else [("experiment", found.experiment)]
    for layer in found.layers:
        parts.append((f"{layer.layer}.feedforward", layer.feedforward))
        parts += [] if layer.cross is None else [(f"{layer.layer}.cross attention", layer.cross)]
        parts += [(f"{layer.layer}.state", layer.state)] if layer.state else []
        parts += [(f"{layer.layer}.{head} head", value) for head, value in enumerate(layer.heads)]
    largest = [parts[at] for at in largest_first([abs(value) for _, value in parts])[:PARTS]]
    name = f"the logit of {quoted(found.target.text)}"
    if found.versus is not None:
        name += f" - the logit of {quoted(found.versus.text)}"
    views: list[RenderableType] = [
        signed_bars(
            [label for label, _ in largest],
            [value for _, value in largest],
            title=f"attribution: what adds most to {name}, or takes most from it (of {several(len(parts), 'part')})",
        ),
        Text(),
    ]
    if any(layer.heads for layer in found.layers):
        views += [
            head_map(
                np.array([layer.heads for layer in found.layers]),
                title="what each head adds",
                scale="diverging",
                value_name="logit",
                numbers=False,
            ),
            Text(),
        ]
    if found.neurons is not None:
        views += [neurons_that_add(found.neurons, name), Text()]
    rest = found.logit - found.sum
    attention = sum(layer.attention for layer in found.layers)
    fed = sum(layer.feedforward for layer in found.layers)
    kept = [layer.state for layer in found.layers if layer.state is not None]
    crossed = [layer.cross for layer in found.layers if layer.cross is not None]
    terms = {"embedding": found.embedding, "attention": attention, "feed forward": fed}
    terms |= {"cross attention": sum(crossed)} if crossed else {}
    terms |= {"states": sum(kept)} if kept else {}
    terms |= {"bias": found.bias} if found.bias else {}
    terms |= {} if found.experiment is None else {"experiment": found.experiment}
    shown, sign, total = added_up(list(terms.values()), found.sum)
    added = " + ".join(f"{part} {value}" for part, value in zip(terms, shown, strict=True))
    logit = fixed(found.logit, len(total.partition(".")[2]))
    computed = f"the model computed {logit} (rounding: {number(rest, 1)})"
    views.append(Text(f"{added} {sign} {total}; {computed}"))
    views.append(Text("the final norm is taken with the scale that it has for the whole stream", theme.QUIET))
    return Group(*views)


def surprise(found: Surprise, labels: Sequence[str]) -> RenderableType:
    """The text coloured by surprisal, and the perplexity."""
    bits = [np.nan if value is None else value for value in found.bits]
    line = Text()
    if found.perplexity is not None:
        line.append(f"perplexity {number(found.perplexity)}", theme.STRONG)
        each = number(found.total_bits / found.scored)
        digits = digits_for(lambda digits: read(found.total_bits, digits) / found.scored, [each], 4) or 4
        line.append(
            f"   {number(found.total_bits, digits)} bits over {several(found.scored, 'token')}, "
            f"{each} bits per token: like a choice among "
            f"{number(found.perplexity, 2)} equally probable tokens each time"
        )
    else:
        line.append("a single token has nothing before it to be predicted from")
    parts: list[RenderableType] = [
        value_strip(labels, bits, numbers=len(bits) <= 200, name="surprisal in bits"),
        Text(),
        line,
    ]
    if found.window is not None:
        parts.append(Text(f"in windows of {several(found.window, 'token')} that overlap by half", theme.QUIET))
    return Group(*parts)


def masked(found: Sequence[FilledMask], *, of_text: bool) -> RenderableType:
    """What each mask stands for; `of_text`: whether the ids were made of a text."""
    if not found:
        how = "--parse special reads its spelling, such as [MASK]" if of_text else "its id is none of --ids"
        return Text(f"no mask token in the text to be filled; {how}")
    parts: list[RenderableType] = []
    for mask in found:
        parts += [
            probability_bars(
                [candidate.text for candidate in mask.top],
                [candidate.prob for candidate in mask.top],
                strong=[0],
                title=f"the mask at position {mask.index}",
            ),
            Text(),
        ]
    return Group(*parts[:-1])


KL_KEY = "KL: how far two lists of probabilities are apart, in bits; 0 if they are the same, without an upper end"
LOGIT_KEY = (
    "only differences between logits count: a probability can fall though its logit rises, if the other logits rise "
    "more, and rise though its logit falls, if they fall more"
)


def change(baseline: Baseline, found: AnswerChange) -> RenderableType:
    """Before, after, and the change."""
    tokens = sorted(found.tokens, key=lambda token: -max(token.prob_before, token.prob_after))
    rows = [(token.text, token.prob_before, token.prob_after, signed(token.logit_change, 3)) for token in tokens]
    before = quoted(baseline.next[0].text) if baseline.next else "–"
    best = max(found.tokens, key=lambda token: token.prob_after, default=None)
    after = quoted(best.text) if best else "–"
    moved = f"the answer stays {after}" if before == after else f"the answer moves from {before} to {after}"
    compared = two_probabilities(rows, ("before", "after", "logit change"), 12)
    # Nothing but a gap after a token, which may be a comma, and no number parted from its name.
    answer = Entries([Text(moved, theme.STRONG), Text(f"KL(before ‖ after) = {number(found.kl)} bits")])
    lines: list[RenderableType] = []
    if found.difference is not None and found.target is not None and found.versus is not None:
        names = (quoted(token.text) for token in (found.target, found.versus))
        left, right = (f"logit({name})" for name in names)
        lines.append(Text(f"{left} - {right}: {' before, '.join(column(found.difference))} after", theme.QUIET))
    key = remark(f"{KL_KEY}. Logit change: {LOGIT_KEY}.")
    return Group(*experiments_made(found.experiments), answer, compared, *lines, key)


def two_probabilities(
    tokens: Sequence[tuple[str, float | None, float | None, str | None]], names: tuple[str, str, str | None], cells: int
) -> RenderableType:
    """A line a token: its probability in one run and in the other, with bars of up to `cells`; and one thing more."""
    most = max((max(one or 0, other or 0) for _, one, other, _ in tokens), default=1.0) or 1.0
    rows: list[list[Cell]] = []
    for text, one, other, more in tokens[:SHOWN]:
        row: list[Cell] = [Text(visible(text, True))]
        for probability, style in ((one, theme.BAR), (other, theme.BAR_CHOSEN)):
            row.append(None if probability is None else percent(probability, 2))
            row.append(BarCell((probability or 0) / most, cells, style))
        rows.append([*row, more])
    first, second, third = (name and Column(name, "right") for name in names)
    return table(["next token", first, "", second, "", third], rows)


DROWNS = 4
"""Times the stream's own length from which on little of the stream is left in the sum."""


def experiments_made(experiments: Sequence[Experiment]) -> list[RenderableType]:
    """What was done, and for each direction that was added how long it is beside what it was added to."""
    made = ", ".join(f"{entry.kind} {entry.where} ({entry.what})" for entry in experiments)
    lines = [line for where in dict.fromkeys(entry.where for entry in experiments) for line in _of_a_head(where)]
    lines += [
        _length(entry.where, entry.length)
        for entry in experiments
        if entry.length is not None and math.isfinite(entry.length)
    ]
    lines += [_shared(entry) for entry in experiments if entry.heads is not None]
    lines += [aligned_line(entry.aligned) for entry in experiments if entry.aligned is not None][:1]
    lines += [_read(entry.read) for entry in experiments if entry.read is not None][:1]
    if any(entry.taken_from is not None for entry in experiments):
        lines.append("each position gives what the same position of that text gives")
    return [headed(made), *map(remark, lines)]


def _of_a_head(where: str) -> Iterator[str]:
    """What `3.2` and `3.2.pattern` stand for; of other places the name says it."""
    layer, head, part = (*where.split(".", 2), "", "")[:3]
    if layer.isdecimal() and head.isdecimal() and part in ("", "query", "key", "value", "pattern"):
        whose = part and f"the {part.replace('pattern', 'attention weights')} of "
        yield f"{where}: {whose}head {head} of layer {layer}"


def _length(where: str, length: float) -> str:
    layer, _, part = where.partition(".")
    there = f"what stands at {where}"
    if part == "stream" or "feedforward." in part:
        there = f"the stream after layer {layer}"
    line = f"the direction is {number(length, 2)} times as long as {there}"
    return line + (" and drowns it" if length >= DROWNS else "")


def _shared(made: Experiment) -> str:
    heads, part = made.heads or [], made.where.split(".")[2]
    return f"heads {heads[0]} to {heads[-1]} share their {part}s: {made.where} is changed for all"


def _read(read: CorpusRead) -> str:
    more = "" if read.whole else "; there is more (--most)"
    return f"every position gives the mean over {several(read.pieces, 'piece')} of {several(read.files, 'file')}{more}"


def aligned_line(aligned: Aligned) -> str:
    """Each run of positions beside that of the other text."""
    runs: list[list[tuple[int, int]]] = []
    for here, there in aligned.pairs:
        if runs and runs[-1][-1] == (here - 1, there - 1):
            runs[-1].append((here, there))
        else:
            runs.append([(here, there)])
    sides = [(ranges(here for here, _ in run), ranges(there for _, there in run)) for run in runs]
    line = "position = position of the other text: " + ", ".join(f"{here} = {there}" for here, there in sides)
    left = [(aligned.left_out, "here"), (aligned.left_out_there, "in the other text")]
    out = " and ".join(f"{ranges(positions)} {where}" for positions, where in left if positions)
    return line + (f"; left out: {out}" if out else "")
