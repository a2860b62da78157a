"""How a question over many texts looks: heads as a map, layers as a curve, and the places that stand out in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group, RenderableType

from llminspect.analysis.over import SHARES, OverPlace, OverResult
from llminspect.analysis.over_numbers import CORRELATION
from llminspect.commands.forward.answers import KL_KEY, LOGIT_KEY
from llminspect.core.numbers import column, largest_first, several
from llminspect.render import theme
from llminspect.render.curve import Series, series
from llminspect.render.heatmap import heatmap
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.section import headed, paged, section
from llminspect.render.table import Cell, Column, Columns, table

ROWS_SHOWN, UNDER_A_CURVE = 10, 5
"""Places in a table."""
CURVE_FROM = 6
"""Layers from which on a curve is drawn."""
KL = "KL in bits"
MEANT = {
    "head": "what each head adds to: {logits}",
    "attention": "what the attention of each layer adds to: {logits}",
    "feedforward": "what the feed-forward step of each layer adds to: {logits}",
    "restored": "the share of the other text's answer that comes back",
    "lost": "the share of the answer that is lost",
    "weight": "how much the query of the pair looks at its key",
    KL: KL_KEY.partition(": ")[2],
    "excess": "how much of that is beyond what other tokens give the key",
    "lens: target rank": "how many tokens are more probable: rank 0 is the most probable",
}
"""What a measure is, where its name alone does not say it."""
LOGITS: dict[str | None, str] = {
    None: "logit of the target",
    "all": "logit of the target - logit of the versus",
    "some": "logit of the target, less that of the versus where a text has one",
}
"""What the parts of an attribution sum up to."""
MEASURES = {
    "sink": "weight on token 0",
    "previous": "weight on the token before",
    "next": "weight on the next token",
    "self": "weight on the token itself",
    "same": "weight on earlier places of the same token",
    "induction": "weight on what came after an earlier place of the token",
    "entropy": "how evenly the weight is spread: 0 all on one token, 1 the same on all",
    "distance": "how many tokens away it looks, the mean",
}
"""What `attend` measures of each head."""
NAMED = {
    "before": "logit difference, this text", "after": "logit difference, other text", CORRELATION: "correlation",
}  # fmt: skip
CORRELATION_KEY = "Correlation: of the numbers below with what gradients estimate of them, over the places of a text"
NO_NUMBER = {"excess": "in no text does another token see the key, so there is nothing to compare the weight with"}
"""Why a measure has no number in any text, where there is one reason."""
OF_STREAMS = ("lens: ", "restored", "lost")
"""Measures of the stream after a layer; the others are of a part of the layer."""
HEAD_MAPS = 2
"""Maps of heads that are drawn; more measures have their tables alone."""


@paged
def render_over(result: OverResult) -> Iterator[RenderableType]:
    """The parts, one below the other."""
    name = "standard input" if result.over.file == "-" else result.over.file
    file = "" if name is None else f" of {visible(name)}"
    shares = " (shares: Wilson's)" if any(place.measure in SHARES for place in result.places) else ""
    means = f"means, with the 95% interval of each by Student's t{shares}"
    if any(math.isfinite(place.std) for place in result.places):
        means += "; std: the standard deviation"
    made = ": " + ", ".join(map(visible, result.made)) if result.made else ""
    yield section(f"Over {several(result.over.count, 'text')}{file}{made}", note=means)
    logits = LOGITS[result.versus]
    single = [place for place in result.places if place.layer is None and place.position is None]
    if single:
        names = [logits if one.measure == "logit" else NAMED.get(one.measure, one.measure) for one in single]
        keys = [KL_KEY] if KL in names else []
        keys += [f"Logit change: {LOGIT_KEY}"] if any("logit change" in name for name in names) else []
        keys += [CORRELATION_KEY] if any(one.measure == CORRELATION for one in single) else []
        rows = [_rows([(name, one)])[0] for name, one in zip(names, single, strict=True)]
        yield table(_columns("", single), rows, note=" ".join(f"{key}." for key in keys))
    maps = 0
    of_measure: dict[str, list[OverPlace]] = {}
    for place in result.places:
        if place.layer is not None or place.position is not None:
            of_measure.setdefault(place.measure, []).append(place)
    # Measures that no text has a number of come last.
    for measure, places in sorted(of_measure.items(), key=lambda item: not any(place.count for place in item[1])):
        drawn, title = None, headed(*_called(measure, logits))
        if not any(place.count for place in places):
            yield Group(title, Text(NO_NUMBER.get(measure, "no text has a number there"), theme.QUIET))
            continue
        if places[0].head is not None and places[0].position is not None:
            pass  # More than a map has room for: the places that stand out.
        elif places[0].head is not None:
            drawn = _map(places, "head", "heads") if maps < HEAD_MAPS else None
            maps += 1
        elif places[0].position is not None and places[0].layer is not None:
            drawn = _map(places, "position", "positions")
        elif len(places) >= CURVE_FROM:
            drawn = _curve(places)
        few = UNDER_A_CURVE if drawn is not None and places[0].head is None else ROWS_SHOWN
        yield Group(title, _top(places, few), *([Text(), drawn] if drawn is not None else []))


def _called(measure: str, logits: str) -> tuple[str, str]:
    """The whole name of a measure, and what that means."""
    if measure in MEASURES:
        return MEASURES[measure], f"the measure “{measure}”"
    return measure, MEANT.get(measure, "").format(logits=logits)


def _map(places: Sequence[OverPlace], of: str, name: str) -> RenderableType:
    """The means as cells, a row a layer."""
    layers = sorted({place.layer or 0 for place in places})
    across = sorted({getattr(place, of) for place in places})
    means = np.full((len(layers), len(across)), np.nan)
    for place in places:
        means[layers.index(place.layer or 0), across.index(getattr(place, of))] = place.mean
    signed = bool((means[np.isfinite(means)] < 0).any())
    labels = [str(layer) for layer in layers], [str(at) for at in across]
    return heatmap(
        means, *labels, scale="diverging" if signed else "sequential", fold="extreme", row_name="layers",
        column_name=name, value_name="mean", masked="no number",
    )  # fmt: skip


def _curve(places: Sequence[OverPlace]) -> RenderableType:
    """The means over layers, or positions, with their intervals."""
    ends = [(_or(place.low, place.mean), _or(place.high, place.mean)) for place in places]
    finite = [value for pair in ends for value in pair if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    limits = (min(low, 0.0), high if high > min(low, 0.0) else min(low, 0.0) + 1.0)
    of_layers = places[0].layer is not None
    names = [str(place.layer if of_layers else place.position) for place in places]
    means = [_or(place.mean, 0.0) for place in places]
    layers = "after layer" if places[0].measure.startswith(OF_STREAMS) else "layer"
    axis = layers if of_layers else "position"
    line = Series("●", theme.POINTS[0], "mean", means, [(_or(a, 0.0), _or(b, 0.0)) for a, b in ends])
    return series([line], names, axis=axis, limits=limits, level=("0", 0.0))


def _or(value: float, other: float) -> float:
    return value if math.isfinite(value) else other


def _top(places: Sequence[OverPlace], most: int) -> RenderableType:
    """The places with the means that are farthest from 0."""
    places = [place for place in places if place.count]
    chosen = [places[at] for at in largest_first([abs(_or(place.mean, 0.0)) for place in places], digits=3)[:most]]
    rest = len(places) - len(chosen)
    note = f"farthest from 0; {several(rest, 'place')} more in --json" if rest > 0 else ""
    return table(_columns("place", chosen), _rows([(_name(place), place) for place in chosen]), note=note)


def _name(place: OverPlace) -> str:
    """`3.2`, `layer 3`, `position 4`."""
    if place.head is not None:
        return f"{place.layer}.{place.head}" + ("" if place.position is None else f" · position {place.position}")
    layer = [] if place.layer is None else [f"layer {place.layer}"]
    return " · ".join([*layer, *([] if place.position is None else [f"position {place.position}"])])


def _columns(name: str, places: Sequence[OverPlace]) -> Columns:
    """Those of the spread only where there is one: a single text has none."""
    spread = any(math.isfinite(place.std) for place in places)
    return [
        Column(name, whole=True), Column("mean", "right", whole=True),
        Column("95% interval", "right", whole=True) if spread else None,
        Column("std", "right", whole=True, spared=1) if spread else None, Column("texts", spared=2),
    ]  # fmt: skip


def _rows(named: Sequence[tuple[str, OverPlace]]) -> list[list[Cell]]:
    """Rows of one measure: all their numbers have the same decimals."""
    texts = iter(column([value for _, one in named for value in (one.mean, one.low, one.high, one.std)], 3))
    made: list[list[Cell]] = []
    for name, place in named:
        mean, low, high, std = (next(texts) for _ in range(4))
        low, high = (low, high) if len(named) > 1 else (low.strip(), high.strip())
        spread = [f"{low} … {high}", std.strip()] if math.isfinite(place.std) else [None, None]
        made.append([name, mean.strip() if math.isfinite(place.mean) else None, *spread, place.count])
    return made
