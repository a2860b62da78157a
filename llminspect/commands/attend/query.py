"""How the sum of one query looks: each step as a table over the keys, and written out where that fits on a page.

And how a query, a key and a value come from the stream, and how positions turn them, as hands of a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType

from llminspect.analysis.by_hand import products
from llminspect.analysis.into_attention import START
from llminspect.analysis.query import Query, not_looked_for
from llminspect.commands.attend.heads import MEANINGS
from llminspect.core.numbers import added_up, aligned, column, fixed, largest_first, number, several, vector
from llminspect.core.written import digits_for, read, read_all
from llminspect.render.bars import BarCell
from llminspect.render.clock import Clock, Hand, clocks
from llminspect.render.prose import Text
from llminspect.render.safe import label, quoted
from llminspect.render.section import headed, section, steps
from llminspect.render.table import Cell, Column, Columns, table
from llminspect.render.theme import QUIET

if TYPE_CHECKING:
    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.into_attention import IntoAttention, Turn
    from llminspect.core.array import Array

_WRITTEN_OUT = 8
"""Up to so many numbers a vector is written out whole, and its products with it."""
_KEYS = 40
_LITTLE = 0.1
"""An excess below it is no answer."""
USUAL = (
    "usual: the weight to expect anyway, because other tokens give as much to this key, or to the key at the same "
    "distance from them. Choose with --layer and --head; --find ranks all heads by a pair of words."
)
_MEAN = "mean of heads: over all that could have been chosen."
_DECIMALS = 4
"""Of a weight."""
_NOTHING = 0.00005
"""A smaller weight reads 0.0000."""


def query_parts(result: AttendResult, query: Query, labels: list[str]) -> Iterator[RenderableType]:
    """Which head, the steps as a table, the steps as formulas."""
    shared = result.n_heads // result.n_kv_heads
    title = f"What {quoted(query.text)} (token {query.index}) looks at in layer {query.layer} · head {query.head}"
    about = [] if result.part is None else [f"in the {result.part}"]
    about += [] if query.habit is None else [f"habit: {query.habit}"]
    if shared > 1:
        others = "1 other head does" if shared == 2 else f"{shared - 1} other heads do"
        about.append(f"reads key/value head {query.kv_head}, as {others}")
    table_of_keys, lead = _table(query, labels), ""
    if query.usual is not None and query.habit is not None:
        lead = _why_this_head(query, query.usual, query.habit, labels)
    yield Group(headed(title, "; ".join(about)), *([Text(lead)] if lead else []), table_of_keys)
    if query.compressed is not None and query.rotary is not None:
        yield _score_parts(query, query.compressed, query.rotary, labels)
    if result.into_attention is not None:
        yield from into_attention_parts(result.into_attention, query, labels)
    yield _steps(query, labels)


def _why_this_head(query: Query, usual_S: Array, habit: str, labels: list[str]) -> str:
    """Where no head was chosen: why this one is shown, and what it does on the whole text."""
    excess_S = np.nan_to_num(query.weights - usual_S, nan=-9)
    excess_S[not_looked_for(len(usual_S), query.index)] -= 3
    best = int(excess_S.argmax())
    word, name, weight, others = quoted(query.text), quoted(labels[best]), query.weights[best], usual_S[best]
    if best in not_looked_for(len(usual_S), query.index):
        found = f"{word} sees only token 0 and itself, so no head says more of it than another."
    elif excess_S[best] < _LITTLE:
        found = f"No head gives a token much more of the weight of {word} than is usual; "
        found += f"in this one {name} gets most beyond the usual."
    else:
        found = (
            f"In this one {word} does what is least usual: it gives {name} {number(weight, 2)} of its weight, where "
        )
        found += f"{number(others, 2)} is usual."
    does = MEANINGS[habit].partition(":")[0]
    kind = f"on the whole text it {does}" if habit != "mixed" else "on the whole text it has no one habit"
    side = "A layer has several attentions side by side, its heads; each looks at something different."
    return f"{side} {found} Its habit: {habit} ({kind}).\n"


def _score_parts(query: Query, compressed_S: Array, rotary_S: Array, labels: list[str]) -> RenderableType:
    parts = (compressed_S, rotary_S, query.scores)
    rows: list[list[Cell]] = [
        [index, label(labels[index]), *(float(part[index]) for part in parts)] for index in _shown(query)
    ]
    columns: Columns = [Column("", quiet=True), "key", "compressed", "+ rotary", "= q · k"]
    note = "compressed: the part that does not depend on positions; rotary: the part that is turned by them."
    return section("Each score is a sum of two parts", table(columns, rows), note=note)


def _table(query: Query, labels: list[str]) -> RenderableType:
    """The keys, and what is to be said of them."""
    seen = set(_seen(query))
    columns: Columns = [Column("", quiet=True), "key", "q · k", Column(f"× {_scale(query.scale)}", spared=1)]
    columns += ["+ bias" if query.bias is not None else None, "capped" if query.capped is not None else None]
    columns += [Column("softmax = weight", "right", whole=True), ""]
    beside = [values for values in (query.usual, query.mean_of_heads) if values is not None]
    of_others = (("usual", 2, ""), ("mean of heads", 3, _MEAN))[: len(beside)]
    columns += [Column(name, "right", quiet=True, whole=True, spared=at, note=note) for name, at, note in of_others]
    rows: list[list[Cell]] = []
    for index in _shown(query):
        score, scaled, weight = (float(values[index]) for values in (query.scores, query.scaled, query.weights))
        row: list[Cell] = [index, label(labels[index]), score, scaled if query.bias is None else score * query.scale]
        row += [scaled, None if query.capped is None else float(query.capped[index])]
        hidden = index not in seen
        row += [None if hidden else fixed(weight, _DECIMALS), Text("hidden", QUIET) if hidden else BarCell(weight, 24)]
        rows.append([*row, *(None if hidden else fixed(values[index], _DECIMALS) for values in beside)])
    notes = []
    left, hidden_too = len(seen - set(_shown(query))), len(query.scores) - len(seen)
    if left:
        notes.append(f"{several(left, 'key')} with less weight: --json has them all.")
    if len(query.scores) > _KEYS and hidden_too:
        notes.append(f"{hidden_too} more are hidden by the mask.")
    elif hidden_too:
        notes.append("hidden: by the mask, since it comes after the query.")
    if query.to_sink is not None:
        notes.append(f"{number(query.to_sink, 3)} of the weight goes to the head's own sink, to no token.")
    strongest = _shown(query).index(_strongest(query))
    if query.usual is not None and query.habit is not None:
        notes.append(USUAL)
    return table(columns, rows, note=" ".join(notes), strong=[strongest])


def _seen(query: Query) -> list[int]:
    """The keys that the mask lets through."""
    return [index for index, score in enumerate(query.masked) if np.isfinite(score)]


def _shown(query: Query) -> list[int]:
    """All keys of a short text; of a long one those with the most weight that is not 0.0000, in their order."""
    if len(query.scores) <= _KEYS:
        return list(range(len(query.scores)))
    most = largest_first(query.weights.tolist(), decimals=_DECIMALS)[:_KEYS]
    least = min(_NOTHING, float(query.weights.max()))
    return sorted(int(index) for index in most if query.weights[index] >= least)


def _strongest(query: Query) -> int:
    """The key with the most weight as it is shown; of several the first."""
    return largest_first(query.weights.tolist(), decimals=_DECIMALS)[0]


def _scale(scale: float) -> str:
    width = 1 / scale**2
    return f"1/√{round(width)}" if abs(width - round(width)) < 1e-3 and scale < 1 else number(scale)


def _steps(query: Query, labels: list[str]) -> RenderableType:
    best = _strongest(query)
    name = quoted(labels[best])
    small = len(query.query) <= _WRITTEN_OUT
    rows: list[tuple[str, ...]] = []
    if query.query_unnormed is not None:
        rows.append(("q before its norm", _start(query.query_unnormed)))
    if query.query_unrotated is not None and query.keys_unrotated is not None:
        first = query.rotary_from or 0
        part = "rotary " if first else ""
        rows.append((f"{part}q before the rotation", _start(query.query_unrotated[first:])))
        rows.append((f"{part}q turned by its position {query.index}", _start(query.query[first:])))
        rows.append((f"{part}k of {name} turned by its position {best}", _start(query.keys[best][first:])))
    else:
        rows.append(("q", vector(query.query, _WRITTEN_OUT)))
    if small:
        rows += [_product(query, index, quoted(labels[index])) for index in _seen(query)[:_WRITTEN_OUT]]
    else:
        written = products(query.query, query.keys[best], START)
        rows.append((f"q · k of {name}", "Σ q[i] · k[i]", written, number(query.scores[best])))
    if query.compressed is not None and query.rotary is not None:
        (one, other), sign, total = added_up([query.compressed[best], query.rotary[best]], query.scores[best])
        terms = f"{one} + {other}".replace("+ -", "- ")
        rows.append(
            (f"q · k of {name}", "compressed part + rotary part", terms, total if sign == "=" else f"{total} (rounded)")
        )
    scaled = [float(query.scaled[index]) for index in _seen(query)]
    rows.append(("scaled", f"(q · k) × {_scale(query.scale)}", vector(scaled, _WRITTEN_OUT)))
    rows.append((f"weight of {name}", "e^scaled / Σ e^scaled", *_softmax(query, best)))
    rows.append(("output", "Σ weight · v", _weighted(query), _start(query.output)))
    return steps(rows, title="The same with the numbers in it", signs=True)


def _product(query: Query, index: int, name: str) -> tuple[str, ...]:
    both, result = (query.query, query.keys[index]), number(query.scores[index], _score_digits(query))
    digits = digits_for(lambda digits: np.dot(*(read_all(row, digits) for row in both)), [result], 4)
    of_each = digits_for(
        lambda digits: sum(read(a, digits) * read(b, digits) for a, b in zip(*both, strict=True)), [result], 3
    )
    vectors = " · ".join(vector(row, _WRITTEN_OUT, digits or 4) for row in both)
    products = " + ".join(_times(a, b, of_each or 3) for a, b in zip(*both, strict=True))
    return (
        f"q · k of {name}",
        *([] if digits is None else [vectors]),
        *([] if of_each is None else [products]),
        result,
    )


def _score_digits(query: Query) -> int:
    """The digits of the scores, of which the scaled scores below are made."""
    if query.bias is not None:
        return 4
    scores, scaled = ([float(row[index]) for index in _seen(query)] for row in (query.scores, query.scaled))
    return digits_for(lambda digits: read_all(scores, digits) * query.scale, column(scaled), 4) or 4


def _start(vector_E: Array) -> str:
    """A short vector whole, of a longer one how it starts."""
    return vector(vector_E, _WRITTEN_OUT if len(vector_E) <= _WRITTEN_OUT else START).partition("  ")[0]


def _softmax(query: Query, best: int) -> tuple[str, ...]:
    """The softmax of one key with its numbers: the whole sum where it is short."""
    seen = _seen(query)
    scores = [float(query.masked[index]) for index in seen]
    top, weight = float(query.masked[best]), number(query.weights[best])
    if len(scores) > _WRITTEN_OUT or query.to_sink is not None or best not in seen:
        return f"e^{number(top)} / Σ e^scaled", weight
    total = sum(math.exp(score) for score in scores) if max(scores) < 500 else math.inf
    place = seen.index(best)
    power, divided = math.exp(top) if math.isfinite(total) else math.inf, list[str]()
    digits = digits_for(lambda digits: np.divide(*read_all([power, total], digits)), [weight], 4)
    if math.isfinite(total) and digits is not None:
        divided = aligned(power, total, digits=digits)

    def made(digits: int) -> list[float]:
        powers = np.exp(read_all(scores, digits))
        found, whole = float(powers[place]), float(powers.sum())
        return [*([found, whole] if divided else []), found / whole]

    of_scores = digits_for(made, [*divided, weight], 3) if math.isfinite(total) else 3
    if of_scores is None:
        return f"e^{number(top)} / Σ e^scaled", weight
    powers = [f"e^{score}" for score in aligned(*scores, digits=of_scores)]
    return f"{powers[place]} / ({' + '.join(powers)})", *([" / ".join(divided)] if divided else []), weight


def _times(one: float, other: float, digits: int) -> str:
    def text(value: float) -> str:
        return f"({number(value, digits)})" if value < 0 else number(value, digits)

    return f"{text(one)}·{text(other)}"


def _weighted(query: Query) -> str:
    """The largest terms of the sum, in the order of the keys; where some are left out stands …"""
    seen = _seen(query)
    small = len(query.query) <= _WRITTEN_OUT
    most = largest_first([float(query.weights[index]) for index in seen], decimals=_DECIMALS)[: 8 if small else 3]
    places = sorted(most)
    weights = np.array([float(query.weights[seen[place]]) for place in places])
    rows_KE = np.array([query.values[seen[place]] for place in places])[:, : None if small else 3]
    digits = 3
    if small and len(places) == len(seen):
        output = column(np.ravel(query.output))

        def summed(digits: int) -> Array:
            return read_all(weights, digits) @ read_all(rows_KE, max(digits, 4)).reshape(rows_KE.shape)

        digits = digits_for(summed, output, 3) or 3
    of_weights = column(weights, digits) if len(places) == len(seen) else [fixed(w, _DECIMALS) for w in weights]
    numbers = [text.strip() for text in column(rows_KE.ravel(), max(digits, 4))]
    end, across = "" if small else ", …", rows_KE.shape[1]
    terms, before = list[str](), -1
    for at, (place, weight) in enumerate(zip(places, of_weights, strict=True)):
        terms += ["…"] if place > before + 1 else []
        terms.append(f"{weight.strip()}·[{', '.join(numbers[at * across : (at + 1) * across])}{end}]")
        before = place
    terms += ["…"] if before + 1 < len(seen) else []
    return "\n+ ".join(terms)


def into_attention_parts(made: IntoAttention, query: Query, labels: list[str]) -> Iterator[RenderableType]:
    """The sums, then the pairs of numbers that turn."""
    rows = []
    for step in made.steps:
        value = np.asarray(step.value)
        shown = number(value.item()) if value.ndim == 0 else vector(value, START)
        name, of, index = step.name.partition(" of token ")
        name += f" of {quoted(labels[int(index)])}" if of else ""
        parts = (name, step.formula, step.with_numbers, shown)
        rows.append([part for part in parts if part is not None])
    yield steps(rows, title="From the stream to q, k and v")
    for turn in made.turns:
        yield _turned(turn, query.index, quoted(labels[turn.key_index]))


def _turned(turn: Turn, index: int, name: str) -> RenderableType:
    first, second = turn.numbers
    before = [Hand("q", *map(float, turn.query_before)), Hand("k", *map(float, turn.key_before))]
    after = [Hand("q", *map(float, turn.query_after)), Hand("k", *map(float, turn.key_after))]
    title = f"q turned {index} ×, k {turn.key_index} ×"
    by, distance = number(turn.degrees, 3), abs(index - turn.key_index)
    counts = f"changes by {distance} × {by}°: only how far apart the tokens stand counts"
    turned = f"Each position turns both by {by}°, anticlockwise, so that the angle between them {counts}."
    note = f"k is that of {name}. {turned} The pair adds {number(turn.score, 3)} to q · k."
    drawn = clocks([Clock("before the rotation", before), Clock(title, after)])
    return section(f"Numbers {first} and {second} of q and k, as hands of a clock", drawn, note=note)
