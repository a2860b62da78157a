"""How `forward` shows which places the answer hangs on: `--patch` without --into and `--ablate each` as maps, with the
places that count most, `--saliency` as colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType

from llminspect.analysis.swept import HEADS
from llminspect.commands.forward.answers import KL_KEY, aligned_line
from llminspect.core.numbers import added_up, aligned, column, fixed, largest_first, number, percent, several
from llminspect.render import theme
from llminspect.render.bars import signed_bars
from llminspect.render.heatmap import heatmap
from llminspect.render.prose import Text
from llminspect.render.safe import quoted, visible
from llminspect.render.table import Cell, Column, table
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from llminspect.analysis.silencing import Silencing
    from llminspect.analysis.sweeping import Sweep
    from llminspect.analysis.swept import Agreement
    from llminspect.analysis.token_scores import Integrated, Saliency
    from llminspect.arguments.forward import SweptPart
    from llminspect.core.array import Array
    from llminspect.render.ramp_key import ColorLimits

CELLS = 12
"""Heads at positions that have a row."""
SHARES = (-1.0, 1.0)
NAMES = {
    "stream": "stream", "attention": "attention", "feedforward": "feed forward", "cross": "attention to the source",
    "head": "head", "head-position": "head at all positions", "cross-head": "head of the attention to the source",
}  # fmt: skip


def sweep(found: Sweep, labels: Sequence[str]) -> RenderableType:
    """How much of the other answer comes back, or is lost: layer by position, or layer by head."""
    order = ", estimated from gradients" if found.by == "gradient" else ""
    target, versus = quoted(found.target.text), quoted(found.versus.text)
    if found.direction == "denoising":
        legend = f"share of the lead of {target} over {versus} that comes back"
        title = (
            f"patching the {NAMES[found.part]}{order}: 1 = the other text's answer {target}, 0 = this text's {versus}"
        )
    else:
        legend = f"share of the lead of {target} over {versus} that is lost"
        title = (
            f"noising the {NAMES[found.part]}{order}: this text's put into the other; 1 = this text's answer {versus}, "
        )
        title += f"0 = the other's {target}"
    parts: list[RenderableType] = [] if found.part == "stream" else [Text(restored_most(found, labels)), Text()]
    parts.append(_map(found, np.asarray(found.restored), labels, legend, title, SHARES))
    if found.part == "head-position" and found.heads is not None:
        at_each = np.asarray(found.heads)
        columns = {"share": at_each, "by gradient": found.first_order}
        most = "brings back, or takes, most" if found.direction == "denoising" else "loses most, or adds to it"
        parts += [Text(), _cells(columns, labels, f"heads at single positions: what {most}")]
        for layer in found.opened or []:
            verb = "patching" if found.direction == "denoising" else "noising"
            name = f"{verb} each head of layer {layer} at each position{order}"
            parts += [Text(), _of_layer(at_each[layer], labels, legend, name, SHARES)]
    if found.agreement is not None:
        parts += [Text(), Text(agreement(found.agreement, labels))]
    if found.aligned is not None:
        parts.append(Text(aligned_line(found.aligned), theme.QUIET))
    here, there = aligned(found.before, found.after)
    scores = f"logit({target}) - logit({versus}): {here} here, {there} in the other text"
    return Group(*parts, Text(scores, theme.QUIET))


def restored_most(found: Sweep, labels: Sequence[str]) -> str:
    """Which place brings back, or loses, the most of the other text's answer, in a sentence."""
    at_each = found.part == "head-position" and found.heads is not None
    shares = np.asarray(found.heads if at_each else found.restored)
    place = _farthest(np.where(np.isfinite(shares), np.maximum(shares, 0), 0))
    backwards = found.direction == "noising"
    lead = f"the lead of {quoted(found.target.text)} over {quoted(found.versus.text)}"
    does = "takes away" if backwards else "brings back"
    if place is None:
        return f"No place {does} anything of {lead}."
    name = _named(place, shares.ndim, found.part, labels)
    estimated = " (estimated from gradients)" if found.by == "gradient" else ""
    put = "this text into the other" if backwards else "the other text into this one"
    share = float(shares[place])
    shown = number(share, 2) if share < 0.01 else fixed(share, 2)
    return f"{name}, put from {put}, {does} most: {shown} of {lead}{estimated}."


def changed_most(found: Silencing, labels: Sequence[str]) -> str:
    """Without which place the answer changes most, in a sentence."""
    at_each = found.part == "head-position" and found.heads is not None
    change = np.asarray(found.heads if at_each else found.change)
    place = _farthest(change)
    target = quoted(found.target.text)
    if place is None:
        return f"No place changes anything for {target}."
    name = _named(place, change.ndim, found.part, labels)
    without = f"Without {name[0].lower()}{name[1:]}" if found.what == "zero" else f"{name} silenced:"
    moved = float(change[place])
    direction = "falls" if moved < 0 else "rises"
    what = f"the probability of {target}"
    if found.versus is not None:
        what = f"the lead of {target} over {quoted(found.versus.text)} (the difference of their logits)"
    if found.by == "gradient":
        of = "the log-probability" if found.versus is None else "it"
        return f"{without} {what} {direction} most ({of} by {number(abs(moved), 2)}, estimated from gradients)."
    before, after = found.before, found.before + moved
    if found.versus is not None:
        shown = column([before, after], 3)
    else:
        shown = [percent(math.exp(logprob), 2) for logprob in (before, after)]
    return f"{without} {what} {direction} most: {shown[0].strip()} → {shown[1].strip()}."


def _farthest(values: Array) -> tuple[int, ...] | None:
    """Where a map is farthest from 0, the first place of several; None where it is 0 everywhere."""
    size = np.where(np.isfinite(values), np.abs(values), 0.0)
    first = largest_first(size.ravel().tolist(), digits=3)[0]  # As the table has it.
    place = tuple(int(at) for at in np.unravel_index(first, size.shape))
    return place if size[place] else None


PARTS = {"stream": "The stream after", "attention": "The attention of", "feedforward": "The feed forward of"}
PARTS["cross"] = "The attention to the source of"


def _named(place: tuple[int, ...], axes: int, part: SweptPart, labels: Sequence[str]) -> str:
    """`Head 3 of layer 5 at position 2 (“·of”)`: of a map of `axes` axes, of which the last is heads or positions."""
    layer, *at = place
    source = " (of the attention to the source)" if part == "cross-head" else ""
    name = f"Head {at[0]} of layer {layer}{source}" if part in HEADS else f"{PARTS[part]} layer {layer}"
    if part in HEADS and axes == 2:
        return name
    return f"{name} at position {at[-1]} ({quoted(labels[at[-1]])})"


def why_there(found: Sweep) -> str:
    """Why the words that differ are patched after this one of all layers, in the answer that is shown below the map."""
    from llminspect.analysis.sweeping import deepest

    layer, carries = deepest(found)
    if carries:
        return f"the words that differ carry at least half of the answer up to layer {layer}; patched there:"
    return f"nowhere do the words that differ carry half of the answer; patched after layer {layer}:"


def silencing(found: Silencing, labels: Sequence[str]) -> RenderableType:
    """What silencing each place does to the target: layer by position, or layer by head."""
    order = ", estimated from gradients" if found.by == "gradient" else ""
    name = f"log p({quoted(found.target.text)})"
    if found.versus is not None:
        name = f"logit({quoted(found.target.text)}) - logit({quoted(found.versus.text)})"
    legend = f"change of {name}" + (", in nats" if found.versus is None else "")
    title = f"silencing each {NAMES[found.part]} ({visible(found.what)}){order}: below 0 it speaks for "
    title += quoted(found.target.text)
    drawn = _map(found, np.asarray(found.change), labels, legend, title, None)
    parts: list[RenderableType] = [Text(changed_most(found, labels)), Text(), drawn, Text()]
    at_each = found.part == "head-position" and found.heads is not None
    change, kl = (found.heads, found.heads_kl) if at_each else (found.change, found.kl)
    columns = {"change": change, "KL in bits": kl, "by gradient": found.first_order}
    what = "heads at single positions" if at_each else "places"
    key = "" if kl is None else KL_KEY
    parts.append(_cells(columns, labels, f"{what}: what changes most", None if at_each else found.part, key))
    if found.together is not None:
        layer = int(np.argmax(np.abs(found.together)))
        at_once = f"all positions at once: most in layer {layer}, {number(found.together[layer], 3)}"
        parts.append(Text(at_once, theme.QUIET))
    for layer in (found.opened or []) if at_each else []:
        picture = f"silencing each head of layer {layer} at each position{order}"
        parts += [Text(), _of_layer(np.asarray(found.heads)[layer], labels, legend, picture, None)]
    if found.agreement is not None:
        parts += [Text(), Text(agreement(found.agreement, labels))]
    return Group(*parts, Text(f"{name} is {number(found.before)} with nothing silenced", theme.QUIET))


def _map(
    found: Sweep | Silencing, map_LT: Array, labels: Sequence[str], legend: str, title: str, limits: ColorLimits
) -> RenderableType:
    """Layers by heads, or by positions."""
    heads = found.part in HEADS
    columns = [str(index) for index in range(map_LT.shape[1])] if heads else list(labels)
    return heatmap(
        map_LT, [str(row) for row in range(len(map_LT))], columns, scale="diverging", limits=limits, fold="extreme",
        row_name="layers", column_name="heads" if heads else "positions", value_name=legend, title=title,
        masked="stands for no token of the other text",
    )  # fmt: skip


def _of_layer(map_HT: Array, labels: Sequence[str], legend: str, title: str, limits: ColorLimits) -> RenderableType:
    """Heads of a layer by positions."""
    return heatmap(
        map_HT, [str(row) for row in range(len(map_HT))], list(labels), scale="diverging", limits=limits,
        fold="extreme", row_name="heads", column_name="positions", value_name=legend, title=title,
        masked="stands for no token of the other text",
    )  # fmt: skip


def _cells(
    columns: Mapping[str, Any],
    labels: Sequence[str],
    title: str,
    part: SweptPart | None = "head-position",
    key: str = "",
) -> RenderableType:
    """The places where the first map is farthest from 0, with the numbers of all that are there. `part`: what the axes
    of the maps are; None: layer, head and position."""
    maps = {name: np.asarray(values) for name, values in columns.items() if values is not None}
    first = next(iter(maps.values()))
    size = np.where(np.isfinite(first), np.abs(first), 0.0)
    order = largest_first(size.ravel().tolist(), digits=3)
    places = [tuple(int(at) for at in np.unravel_index(place, first.shape)) for place in order[:CELLS]]
    places = [place for place in places if size[place]]
    shown = [column([float(values[place]) for place in places], 3) for values in maps.values()]
    rows: list[list[Cell]] = []
    for row, (layer, *at) in enumerate(places):
        head = f"{layer}.{at[0]}" if first.ndim == 3 or part in HEADS else str(layer)
        positions = [] if first.ndim == 2 and part in HEADS else [f"{at[-1]} {visible(labels[at[-1]], True)}"]
        rows.append([head, *positions, *(texts[row] for texts in shown)])
    names = [Column("head" if first.ndim == 3 or part in HEADS else "layer", whole=True)]
    names += [Column("position")] if first.ndim == 3 or part not in HEADS else []
    rest = first.size - len(places)
    more = f"{several(rest, 'cell')} more in --json" if rest else ""
    more += "; --layer N draws those of a layer" if rest and first.ndim == 3 else ""
    note = ". ".join(filter(None, (key, more)))
    return table([*names, *(Column(name, "right") for name in maps)], rows, title=title, note=note)


def agreement(found: Agreement, labels: Sequence[str]) -> str:
    """How well gradients tell what patching finds, in a sentence."""
    worst = found.worst
    place = f"head {worst.layer}.{worst.head}" if worst.head is not None else f"layer {worst.layer}"
    place += "" if worst.position is None else f", position {worst.position} {quoted(labels[worst.position])}"
    by_gradient, exact = aligned(worst.gradient, worst.exact, digits=3)
    correlated = "none is known" if math.isnan(found.correlation) else number(found.correlation, 3)
    return (
        f"by gradients and exactly: correlation {correlated} over {several(found.cells, 'cell')}; "
        f"farthest apart at {place}: "
        f"{by_gradient} by gradients, {exact} exactly"
    )


SHOWN = 10
"""Tokens that have a bar."""
TOO_FAR = 0.05
"""Share of the difference that is missing or too much: section 5 of the paper: take more steps then."""


def saliency(found: Saliency, labels: Sequence[str]) -> RenderableType:
    """The text coloured by what each token does for the target, and the strongest as bars."""
    texts = labels[: len(found.drops)]
    target = quoted(found.target.text)
    if found.integrated is not None:
        title, name, notes = _integrated(found.integrated, target)
    else:
        by_gradient = found.by == "gradient"
        nearly = ", by gradient × input" if by_gradient else ""
        out = (
            "as if it fell in a straight line from here to a vector of zeros"
            if by_gradient
            else "left out: no later token reads anything of it; the last one keeps its own vector"
        )
        title = f"saliency: how far log p({target}) falls when a token is left out{nearly}"
        name = "fall of log p, in nats"
        notes = [f"log p({target}) = {number(found.logprob)} with the whole text; {out}"]
    strongest = largest_first([abs(drop) for drop in found.drops[: len(texts)]])[:SHOWN]
    return Group(
        Text(title, theme.TITLE),
        value_strip(texts, found.drops, scale="diverging", numbers=True, name=name),
        Text(),
        signed_bars(
            [f"{index} {visible(texts[index], True)}" for index in strongest],
            [found.drops[index] for index in strongest],
        ),
        *(Text(note, theme.QUIET) for note in notes),
    )


def _negated(text: str) -> str:
    return text[1:] if text.startswith("-") else f"-{text}" if float(text) else text


def _integrated(found: Integrated, target: str) -> tuple[str, str, list[str]]:
    """The title, what the colours stand for, and what is said below."""
    what = {"logprob": f"log p({target})", "logit": f"logit({target})", "difference": f"logit({target})"}[found.of]
    if found.versus is not None:
        what += f" - logit({quoted(found.versus.text)})"
    start = {"zero": "vectors of zeros", "mean": "the mean vector of all tokens"}
    baseline = start.get(found.baseline, f"the vectors of {quoted(found.baseline)}")
    moved = found.value - found.baseline_value
    off = abs(found.error / moved) if moved else abs(found.error)
    (value, start_value), _, difference = added_up([found.value, -found.baseline_value], moved)
    together = fixed(found.sum, len(difference.partition(".")[2]))
    return (
        f"saliency: each token's part of {what}, by integrated gradients: gradients averaged on the way from "
        f"{baseline} to the text",
        "part, in nats" if found.of == "logprob" else "part, in logits",
        [
            f"{what} = {value} after the text and {_negated(start_value)} after the baseline; "
            f"the parts sum to {together} for a difference of {difference}: {number(100 * off, 2)}% off, "
            f"with {several(found.steps, 'step')}"
            + ("; take more --path-steps, or a --baseline that is more like the text" if off > TOO_FAR else "")
        ],
    )
