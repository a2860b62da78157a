"""How `diff` looks: both texts, both distributions, and how far the streams part, layer by layer; or two models.

Of two models: weights as a map of layers × parts, tokens by how far apart, heads that moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType

from llminspect.analysis.diff_models import DiffModelsResult, ModelSide
from llminspect.commands.forward.answers import KL_KEY, two_probabilities
from llminspect.commands.forward.view import strip
from llminspect.commands.head.view import read_of
from llminspect.core.numbers import aligned, column, count, fixed, largest_first, number, percent, several, shape
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.heatmap import head_map, heatmap
from llminspect.render.prose import Text
from llminspect.render.safe import quoted, visible
from llminspect.render.section import page, remark, section
from llminspect.render.table import Cell, Column, table
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from llminspect.analysis.diff import DiffResult, StreamDistance
    from llminspect.analysis.head_changes import HeadChange, HeadChanges
    from llminspect.analysis.token_changes import ExpectedToken, MovedPlace, TokenChanges
    from llminspect.analysis.weight_changes import LeftOut, TensorChange, WeightChanges

ROWS_SHOWN = 14


def render(result: DiffResult | DiffModelsResult, top: int = 10) -> RenderableType:
    """The two texts, the two distributions, the streams; of two models what they differ in."""
    if isinstance(result, DiffModelsResult):
        return page(models_parts(result, top))
    same_model = result.a.model == result.b.model
    parts: list[RenderableType] = []
    for name, side in (("a", result.a), ("b", result.b)):
        parts.append(Text(name if same_model else f"{name}  {visible(side.model)}", theme.QUIET))
        parts.append(strip(side.tokens, len(side.tokens) - 1))
    pairs = [(token.text, token.prob_a, token.prob_b, None) for token in result.tokens]
    parts += [Text(), two_probabilities(pairs, ("a", "b", None), 14), divergences(result), Text()]
    if result.layers is not None:
        parts.append(streams(result.layers))
    else:
        parts.append(Text("the streams have different sizes: their layers cannot be compared number by number"))
    if result.token_changes is not None:
        heads = [] if result.head_changes is None else head_parts(result.head_changes, 6)
        parts += [Text(), page([*token_parts(result.token_changes), *heads])]
    return Group(*parts)


def divergences(result: DiffResult) -> RenderableType:
    if result.kl_ab is None or result.kl_ba is None:
        return Text("the vocabularies differ: there is no KL divergence; tokens are matched by their text", theme.QUIET)
    one, other = aligned(result.kl_ab, result.kl_ba)
    line = f"KL(a ‖ b) = {one} bits   KL(b ‖ a) = {other} bits"
    return Group(Text(line, theme.STRONG), remark(KL_KEY))


def streams(layers: Sequence[StreamDistance]) -> RenderableType:
    """A line a layer (of many, some): the angle and the distance."""
    stride = max(1, -(-len(layers) // ROWS_SHOWN))
    shown = [entry for entry in layers if entry.layer % stride == 0 or entry.layer == len(layers) - 1]
    most = max((entry.distance for entry in layers), default=1.0) or 1.0
    rows: list[list[Cell]] = [
        [str(entry.layer), entry.cosine, entry.distance, BarCell(entry.distance / most, 20)] for entry in shown
    ]
    columns = [Column("layer", "right"), Column("cosine"), Column("distance"), Column("")]
    folded = f"{len(layers)} layers, one in {stride} shown; " if stride > 1 else ""
    note = f"{folded}distance: ‖a - b‖ / ‖a‖ at the last position of each text; ‖ ‖: the length of a vector"
    return table(columns, rows, title="how far apart the residual streams are", note=note)


BAR, SHOWN = 20, 6
"""Cells of a bar; arrays that are named where some are not compared."""


def models_parts(result: DiffModelsResult, top: int) -> Iterator[RenderableType]:
    """One below the other."""
    yield Group(*(Text(f"{name}  {_named(side)}", theme.QUIET) for name, side in (("a", result.a), ("b", result.b))))
    if result.weights is not None:
        yield from weight_parts(result.weights, top)
    if result.token_changes is not None:
        read = [] if result.read is None else [read_of(result.read)]
        yield from token_parts(result.token_changes, ". ".join([KL_KEY, *read]))
    if result.head_changes is not None:
        yield from head_parts(result.head_changes, top)


def _named(side: ModelSide) -> str:
    return visible(side.model + ("" if side.adapter is None else f" + {side.adapter}"))


def weight_parts(weights: WeightChanges, top: int) -> Iterator[RenderableType]:
    """The whole, layers × parts, the tensors that moved most, and what is not compared."""
    line = Text("‖b - a‖ / ‖a‖ = ", theme.QUIET).append(number(weights.relative, 3), theme.STRONG)
    line.append(f" over {count(weights.parameters)} numbers in {several(len(weights.tensors), 'tensor')}", theme.QUIET)
    line.append(f"; {several(weights.same, 'tensor')} the same to the last bit", theme.QUIET)
    parts: list[RenderableType] = [line]
    in_layers = list(dict.fromkeys(tensor.part for tensor in weights.tensors if _is_drawn(tensor)))
    if in_layers and weights.relative:
        parts += [Text(), _map(weights, in_layers)]
    yield section("Where the weights are apart", *parts, note="‖ ‖: the root of the sum of the squares of all numbers")
    moved = [tensor for tensor in weights.tensors if tensor.relative and math.isfinite(tensor.relative)]
    moved = [moved[at] for at in largest_first([tensor.relative for tensor in moved], digits=3)[:top]]
    unmeasured = [tensor.name for tensor in weights.tensors if math.isnan(tensor.relative)]
    if moved or unmeasured:
        most = max((tensor.relative for tensor in moved), default=1.0)
        rows: list[Sequence[Cell]] = [
            [tensor.name, shape(tensor.shape), tensor.relative, BarCell(tensor.relative / most, BAR)]
            for tensor in moved
        ]
        columns = [
            Column("tensor"),
            Column("shape", quiet=True, spared=4),
            Column("‖b - a‖ / ‖a‖", digits=3),
            Column(""),
        ]
        note = f"; nought in a, and not in b: {', '.join(unmeasured[:SHOWN])}" if unmeasured else ""
        yield section("The tensors that moved most", table(columns, rows), note=note.removeprefix("; "))
    if weights.left_out:
        yield Group(*map(remark, _left_out(weights.left_out)))


def _is_drawn(tensor: TensorChange) -> bool:
    return tensor.layer is not None and not tensor.name.endswith(".bias")


def _map(weights: WeightChanges, parts: Sequence[str]) -> RenderableType:
    """Parts of a layer down, layers across; of a matrix with its bias the matrix."""
    layers = [part.layer for part in weights.layers]
    values_PL = np.full((len(parts), len(layers)), np.nan)
    for tensor in weights.tensors:
        if _is_drawn(tensor):
            values_PL[parts.index(tensor.part), layers.index(tensor.layer)] = tensor.relative
    numbered = None if layers == list(range(len(layers))) else [str(layer) for layer in layers]
    return heatmap(
        values_PL, parts, numbered, fold="max", row_name="parts", column_name="layers",
        value_name="‖b - a‖ / ‖a‖", masked="none", limits=(0, float(np.nanmax(values_PL)) or 1.0),
    )  # fmt: skip


def _left_out(arrays: Sequence[LeftOut]) -> Iterator[str]:
    """A line for each reason why tensors are not compared."""
    reasons: dict[str, list[str]] = {}
    for array in arrays[:SHOWN]:
        if array.shape_a is None or array.shape_b is None:
            reasons.setdefault(f"only in {'b' if array.shape_a is None else 'a'}", []).append(array.name)
        else:
            shapes = f"{shape(array.shape_a)} and {shape(array.shape_b)}"
            reasons.setdefault("of different shapes", []).append(f"{array.name} ({shapes})")
    for reason, names in reasons.items():
        yield f"Not compared, {reason}: {', '.join(names)}"
    if len(arrays) > SHOWN:
        yield f"and {len(arrays) - SHOWN} more (--json has all)"


def token_parts(changes: TokenChanges, read: str = "") -> Iterator[RenderableType]:
    """The sums, and the text, or the places that moved most, coloured."""
    mean, low, high = aligned(changes.mean, changes.low, changes.high, digits=3)
    line = Text("KL(a ‖ b) ", theme.QUIET).append(f"{mean} bits per token", theme.STRONG)
    interval = "" if math.isnan(changes.low) else f", 95% {low} … {high}"
    spread = "" if math.isnan(changes.std) else f"; standard deviation {number(changes.std, 3)}"
    line.append(
        f"{interval}{spread}, median {number(changes.median, 3)}, largest {number(changes.largest, 3)}; "
        f"KL(b ‖ a) {number(changes.reverse, 3)}",
        theme.QUIET,
    )
    first = Text("the same token first ", theme.QUIET).append(percent(changes.same_first, 1), theme.STRONG)
    low, high = percent(changes.same_first_low, 1), percent(changes.same_first_high, 1)
    first.append(f" (95% {low} … {high}) of {several(changes.count, 'token')}", theme.QUIET)
    if changes.bits_a is not None and changes.bits_b is not None:
        in_a, in_b = aligned(changes.bits_a, changes.bits_b, digits=3)
        first.append(
            f"; the text costs {in_a} bits per token in a, {in_b} in b",
            theme.QUIET,
        )
    yield section("What they say comes next, token by token", line, first, note=read)
    if changes.largest:
        yield _strips(changes)


def _strips(changes: TokenChanges) -> RenderableType:
    limits = (0.0, changes.largest)
    shown: list[RenderableType] = []
    places = changes.places
    whole = changes.kls is not None and places and len(changes.kls) == len(places[0].tokens)
    if whole:
        places = sorted(places, key=lambda place: place.index)
    places = [places[at] for at in largest_first([place.kl for place in places], digits=3)]
    if whole:
        place = places[0]
        shown += [
            value_strip(place.tokens, place.kls, limits=limits, name="KL(a ‖ b) after the token, in bits"),
            Text(),
        ]
        rows: list[Sequence[Cell]] = [
            [place.tokens[place.index], place.kl, *_expected(place.expected_a), *_expected(place.expected_b)]
            for place in places
            if place.kl
        ]
        columns = [
            Column("after", spaces=True, whole=True), Column("KL, bits", digits=3), Column("a expects", spaces=True),
            Column("in a", digits=3), Column("in b", digits=3), Column("b expects", spaces=True),
            Column("in a", digits=3), Column("in b", digits=3),
        ]  # fmt: skip
        return section("Where they are furthest apart", *shown, table(columns, rows))
    for index, place in enumerate(places):
        last = index == len(places) - 1
        shown += [
            _where(place),
            value_strip(place.tokens, place.kls, limits=limits, name="KL(a ‖ b) after the token, in bits", key=last),
            Text(),
        ]
    return section("Where they are furthest apart", *shown[:-1])


def _expected(token: ExpectedToken) -> list[Cell]:
    return [token.text, token.prob_a, token.prob_b]


def _where(place: MovedPlace) -> Text:
    line = Text.assemble((f"{number(place.kl, 3)} bits ", theme.STRONG))
    line.append(f"after {quoted(place.tokens[place.index])}: ", theme.QUIET)
    same = place.expected_a.id == place.expected_b.id
    sides = [("both expect", place.expected_a)] if same else []
    sides = sides or [("a expects", place.expected_a), ("; b expects", place.expected_b)]
    for words, token in sides:
        line.append(f"{words} {quoted(token.text)} ({percent(token.prob_a)} in a, ", theme.QUIET)
        line.append(f"{percent(token.prob_b)} in b)", theme.QUIET)
    return line if place.path is None else line.append(f", in {visible(place.path)}", theme.QUIET)


def head_parts(changes: HeadChanges, top: int) -> Iterator[RenderableType]:
    """All heads as a map, and those that moved most."""
    moved_LH = np.asarray(changes.moved, float)
    if np.isnan(moved_LH).all():
        return
    drawn = head_map(moved_LH, value_name="share of the weight given elsewhere", numbers=False, masked="no attention")
    of = several(int(np.isfinite(moved_LH).sum()), "head")
    line = Text(f"{count(changes.changed)} of {of} with another habit", theme.QUIET)
    yield section("Which heads look elsewhere", line, drawn, note=changes.definition)
    if changes.heads and changes.heads[0].moved:
        yield _moved(changes.heads[:top])
    layers = zip(changes.habits_a, changes.habits_b, strict=True)
    others = [
        (moved_LH[layer, head], f"{layer}.{head} ({a} → {b})")
        for layer, (row_a, row_b) in enumerate(layers)
        for head, (a, b) in enumerate(zip(row_a, row_b, strict=True))
        if a != b
    ]
    if others:
        named = [others[at][1] for at in largest_first([moved for moved, _ in others], digits=3)]
        more = f" and {len(named) - top} more" if len(named) > top else ""
        yield remark(f"Other habits: {', '.join(named[:top])}{more}")


def _moved(heads: Sequence[HeadChange]) -> RenderableType:
    heads = sorted(heads, key=lambda head: (head.layer, head.head))
    heads = [heads[at] for at in largest_first([head.moved for head in heads], digits=3)]
    rows: list[Sequence[Cell]] = []
    most_moved = max(head.moved for head in heads) or 1
    sure = any(math.isfinite(head.low) for head in heads)
    ends = column([end for head in heads for end in (head.low, head.high)], 2)
    for head, low, high in zip(heads, ends[::2], ends[1::2], strict=True):
        interval = f"{low} … {high}" if math.isfinite(head.low) else None
        habits = head.habit_a if head.habit_a == head.habit_b else f"{head.habit_a} → {head.habit_b}"
        shares = [entry for entry in head.measures if entry.measure != "distance"]
        most = max(shares, key=lambda entry: abs(entry.change))
        change = f"{most.measure} {fixed(most.a, 2)} → {fixed(most.b, 2)}"
        cells: list[Cell] = [f"{head.layer}.{head.head}", head.moved, BarCell(head.moved / most_moved, BAR)]
        rows.append([*cells, *([interval] if sure else []), habits, change])
    columns: list[str | Column | None] = [
        Column("head", "right", whole=True), Column("moved", digits=3), Column("", spared=5),
        *([Column("95% interval", "right", whole=True, spared=3)] if sure else []),
        Column("habit"), Column("what changed most"),
    ]  # fmt: skip
    return table(columns, rows)
