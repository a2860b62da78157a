"""How the special views of `forward` look: lens, attribution, saliency, surprise, masks, experiments, the sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group
from rich.text import Text

from llminspect.commands.forward.experiments import experiments_made
from llminspect.core.numbers import count, number, percent
from llminspect.render import theme
from llminspect.render.bars import BarCell, probability_bars, signed_bars
from llminspect.render.heatmap import head_map, heatmap
from llminspect.render.safe import fit, visible
from llminspect.render.table import Cell, Column, table
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from llminspect.analysis.attribution import Attribution
    from llminspect.analysis.change import AnswerChange, Baseline
    from llminspect.analysis.forward import ForwardResult
    from llminspect.analysis.lens import LensLayer, LensToken
    from llminspect.analysis.masks import FilledMask
    from llminspect.analysis.patching import Sweep
    from llminspect.analysis.saliency import Saliency
    from llminspect.analysis.surprise import Surprise

Token = dict[str, object]
SHOWN = 5
"""Tokens a layer in the lens."""
PARTS = 14
"""Parts shown as bars in an attribution."""


def asked_for(result: ForwardResult) -> list[RenderableType]:
    """The special views of this result, in the order in which one thing leads to the other."""
    views: list[RenderableType] = []
    if result.lens is not None:
        views.append(lens_table(result.lens))
    if result.grid is not None:
        views.append(lens_grid(result.grid, result.tokens))
    if result.attribution is not None:
        views.append(attribution(result.attribution))
    if result.saliency is not None:
        views.append(saliency(result.saliency, result.tokens))
    if result.sweep is not None:
        views.append(sweep(result.sweep, result.tokens))
    if result.change is not None and result.baseline is not None:
        views.append(change(result.baseline, result.change))
    return views


def labels(tokens: Sequence[Token]) -> list[str]:
    return [str(token["text"]) for token in tokens]


def lens_table(layers: Sequence[LensLayer]) -> RenderableType:
    """A line a layer: what it would say, and where the target stands."""
    target = layers[0].target
    rows: list[list[Cell]] = []
    leads = [layer.layer for layer in layers if layer.target is not None and layer.target.rank == 0]
    final = layers[-1].top[0].id if layers[-1].top else None
    for layer in layers:
        row: list[Cell] = [str(layer.layer)]
        if layer.target is not None:
            row += [
                str(layer.target.rank),
                percent(layer.target.prob, 2),
                BarCell(float(layer.target.prob), 8),
            ]
        said = Text(no_wrap=True, overflow="ellipsis")
        for entry in layer.top[:SHOWN]:
            style = theme.STRONG if entry.id == (target.id if target else final) else ""
            said.append(visible(entry.text, True), style)
            said.append(f" {percent(entry.prob)}   ", theme.QUIET)
        rows.append([*row, said])
    name = visible(target.text, True) if target else ""
    columns = [Column("layer", "right")]
    columns += [Column(f"rank of {name}", "right"), Column("prob", "right"), Column("")] if target else []
    note = "the final norm and the vocabulary applied to the stream of each layer; the last layer is the answer"
    if target is not None:
        first = _lead(leads, layers[-1].layer)
        note += f"; {name} leads " + (f"from layer {first} on" if first is not None else "at no layer up to the end")
    return table([*columns, Column("most probable")], rows, title="lens: what each layer would say", note=note)


def _lead(leads: Sequence[int], last: int) -> int | None:
    """The first layer from which the target stays in front to the end."""
    first = None
    for layer in reversed(leads):
        if layer != (last if first is None else first - 1):
            break
        first = layer
    return first


def lens_grid(grid: Sequence[Sequence[LensToken]], tokens: Sequence[Token]) -> RenderableType:
    """The best token of each layer (down, the last on top) at each position (across), coloured by its probability."""
    return LensGrid(grid, tokens)


class LensGrid:
    """Cells of token text on the colour of their probability; the last positions where not all fit."""

    CELL = 10

    def __init__(self, grid: Sequence[Sequence[LensToken]], tokens: Sequence[Token]) -> None:
        self.grid, self.labels = grid, labels(tokens)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colors = theme.has_colors(console)
        room = max(1, (options.max_width - 6) // self.CELL)
        first = max(0, len(self.labels) - room)
        yield Text("lens: the most probable next token after each layer, at each position", theme.TITLE)
        if first:
            yield Text(f"the last {room} of {len(self.labels)} positions", theme.QUIET)
        yield self._line("", [fit(visible(label, True), self.CELL - 1) + " " for label in self.labels[first:]])
        for layer in reversed(range(len(self.grid))):
            line = Text(f"{layer:>5} ", theme.QUIET, no_wrap=True, overflow="crop")
            for said in self.grid[layer][first:]:
                shown = fit(visible(said.text, True), self.CELL - 1) + " "
                line.append(shown, theme.cell_style("sequential", float(said.prob)) if colors else "")
            yield line
        yield Text("colour: its probability, dark 0 to light 1" if colors else "layers down, positions across", "dim")

    @staticmethod
    def _line(label: str, cells: Sequence[str]) -> Text:
        return Text(f"{label:>5} " + "".join(cells), theme.STRONG, no_wrap=True, overflow="crop")


def attribution(found: Attribution) -> RenderableType:
    """The parts that add most, all heads as a map, and the sum."""
    parts = [("embedding", found.embedding)] + ([("bias", found.bias)] if found.bias else [])
    parts += [] if found.experiment is None else [("experiment", found.experiment)]
    for layer in found.layers:
        parts.append((f"{layer.layer}.feedforward", layer.feedforward))
        parts += [] if layer.cross is None else [(f"{layer.layer}.cross attention", layer.cross)]
        parts += [(f"{layer.layer}.{head} head", value) for head, value in enumerate(layer.heads)]
    largest = sorted(parts, key=lambda part: -abs(part[1]))[:PARTS]
    name = f"logit of {visible(found.target.text, True)}"
    if found.versus is not None:
        name += f" − logit of {visible(found.versus.text, True)}"
    views: list[RenderableType] = [
        signed_bars(
            [label for label, _ in largest],
            [value for _, value in largest],
            title=f"attribution: what adds most to the {name} (of {count(len(parts))} parts)",
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
    rest = found.logit - found.sum
    attention = sum(layer.attention for layer in found.layers)
    fed = sum(layer.feedforward for layer in found.layers)
    crossed = [layer.cross for layer in found.layers if layer.cross is not None]
    views.append(
        Text(
            f"embedding {number(found.embedding)} + attention {number(attention)} + feed forward {number(fed)}"
            + (f" + cross attention {number(sum(crossed))}" if crossed else "")
            + (f" + bias {number(found.bias)}" if found.bias else "")
            + ("" if found.experiment is None else f" + experiment {number(found.experiment)}")
            + f" = {number(found.sum, 6)}; the model computed {number(found.logit, 6)} (rounding {number(rest, 1)})"
        )
    )
    views.append(Text("the final norm is taken with the scale that it has for the whole stream", theme.QUIET))
    return Group(*views)


def saliency(found: Saliency, tokens: Sequence[Token]) -> RenderableType:
    """The text coloured by what each token does for the target, and the strongest as bars."""
    texts = labels(tokens)[: len(found.drops)]
    target = visible(found.target.text, True)
    by_gradient = found.by == "gradient"
    nearly = ", by gradient × input" if by_gradient else ""
    out = (
        "were it a straight line from here to a vector of noughts"
        if by_gradient
        else "left out: no token attends to it; the last one keeps its own vector"
    )
    strongest = sorted(range(len(texts)), key=lambda index: -abs(found.drops[index]))[:10]
    return Group(
        Text(f"saliency: how far log p({target}) falls when a token is left out{nearly}", theme.TITLE),
        value_strip(texts, found.drops, scale="diverging", numbers=True, name="fall of log p, in nats"),
        Text(),
        signed_bars(
            [f"{index} {visible(texts[index], True)}" for index in strongest],
            [found.drops[index] for index in strongest],
        ),
        Text(f"log p({target}) = {number(found.logprob)} with the whole text; {out}", theme.QUIET),
    )


def surprise(found: Surprise, tokens: Sequence[Token]) -> RenderableType:
    """The text coloured by surprisal, and the perplexity."""
    bits = [np.nan if value is None else value for value in found.bits]
    said = Text()
    if found.perplexity is not None:
        said.append(f"perplexity {number(found.perplexity)}", theme.STRONG)
        said.append(
            f"   {number(found.total_bits)} bits over {count(found.scored)} tokens, "
            f"{number(found.total_bits / found.scored)} bits a token: like a choice among "
            f"{number(found.perplexity, 2)} equally probable tokens each time"
        )
    else:
        said.append("a single token has nothing before it to be predicted from")
    parts: list[RenderableType] = [
        value_strip(labels(tokens), bits, numbers=len(bits) <= 200, name="surprisal in bits"),
        Text(),
        said,
    ]
    if found.window is not None:
        parts.append(Text(f"in windows of {count(found.window)} tokens that overlap by half", theme.QUIET))
    return Group(*parts)


def masked(found: Sequence[FilledMask], tokens: Sequence[Token]) -> RenderableType:
    """What each mask stands for."""
    if not found:
        return Text("no mask token in the text to be filled; --parse special reads its spelling, such as [MASK]")
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


def sweep(found: Sweep, tokens: Sequence[Token]) -> RenderableType:
    """How much of the other answer comes back, layer by position."""
    heads = found.part == "head"
    order = ", to first order" if found.by == "gradient" else ""
    target, versus = visible(found.target.text, True), visible(found.versus.text, True)
    restored = np.asarray(found.restored)
    rows = [str(layer) for layer in range(len(restored))]
    columns = [str(index) for index in range(restored.shape[1])] if heads else labels(tokens)
    picture = heatmap(
        restored,
        rows,
        columns,
        scale="diverging",
        limits=(-1.0, 1.0),
        fold="extreme",
        row_name="layers",
        column_name="heads" if heads else "positions",
        value_name=f"share of {target} over {versus} that comes back",
        title=f"patching the {found.part}{order}: 1 = the other text's answer {target}, 0 = this text's {versus}",
    )
    scores = f"logit({target}) − logit({versus}): {number(found.before)} here, {number(found.after)} in the other text"
    return Group(picture, Text(scores, theme.QUIET))


def change(baseline: Baseline, found: AnswerChange) -> RenderableType:
    """Before, after, and the change."""
    rows: list[list[Cell]] = []
    most = max((max(token.prob_before, token.prob_after) for token in found.tokens), default=1.0) or 1.0
    for token in sorted(found.tokens, key=lambda token: -max(token.prob_before, token.prob_after))[:PARTS]:
        rows.append(
            [
                Text(visible(token.text, True)),
                percent(token.prob_before, 2),
                BarCell(token.prob_before / most, 12),
                percent(token.prob_after, 2),
                BarCell(token.prob_after / most, 12, theme.BAR_CHOSEN),
                f"{token.logit_change:+.3f}",
            ]
        )
    columns = [
        Column("next token"),
        Column("before", "right"),
        Column(""),
        Column("after", "right"),
        Column(""),
        Column("logit change", "right"),
    ]
    before = visible(baseline.next[0].text, True) if baseline.next else "–"
    best = max(found.tokens, key=lambda token: token.prob_after, default=None)
    after = visible(best.text, True) if best else "–"
    said = f"the answer stays {after}" if before == after else f"the answer moves from {before} to {after}"
    note = f"{said}; KL(before ‖ after) = {number(found.kl)} bits"
    return Group(*experiments_made(found.experiments), table(columns, rows), Text(note, theme.QUIET))
