"""How `head` looks: what it writes, what it looks for, what it does over a corpus, and what the numbers hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from llminspect.arguments.words import WORD_STARTS
from llminspect.commands.attend.heads import HEAD
from llminspect.core.numbers import aligned, column, count, number, percent, ranges, several
from llminspect.render import theme
from llminspect.render.bars import BarCell, spark_row
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.section import headed, paged, remark, section
from llminspect.render.table import Cell, Column, table

if TYPE_CHECKING:
    from llminspect.analysis.candidates import NamedToken
    from llminspect.analysis.corpus import CorpusRead
    from llminspect.analysis.feature_result import FeaturesResult
    from llminspect.analysis.habits import HeadHabits
    from llminspect.analysis.head import HeadResult, OvCircuit, QkCircuit
    from llminspect.analysis.head_notes import PositionScores
    from llminspect.analysis.neuron import NeuronResult

BAR = 12
"""Cells of the longest bar."""


@paged
def render(result: HeadResult) -> Iterator[RenderableType]:
    """The head, part by part."""
    yield Group(_named(result), remark(HEAD))
    yield from ov_parts(result.ov)
    yield from qk_parts(result.qk)
    if result.habits is not None:
        yield habits_part(result.habits)
    yield Group(*(remark(line) for line in notes(result)))


def _named(result: HeadResult) -> RenderableType:
    others = [head for head in result.sharing if head != result.head]
    heads = f"{'head' if len(others) == 1 else 'heads'} {ranges(others).replace(',', ', ')}"
    shared = f"shares key and value head {result.kv_head} with {heads}" if others else ""
    return headed(f"Layer {result.layer} · head {result.head}", shared)


def ov_parts(ov: OvCircuit) -> Iterator[RenderableType]:
    """What a token's presence writes."""
    most = max((source.size for source in ov.top), default=1.0) or 1.0
    rows: list[Sequence[Cell]] = [
        [source.text, source.size, BarCell(source.size / most, BAR), listed(source.writes), source.itself, source.rank]
        for source in ov.top
    ]
    columns = [
        Column("looked at", spaces=True, whole=True), Column("size", digits=3), Column(""),
        Column("raises most"), Column("itself", digits=3), Column("rank"),
    ]  # fmt: skip
    note = (
        "beyond what is raised whichever token it looks at (listed below); size: root mean square over the vocabulary; "
        "itself, rank: what the token's own logit gets, and how many tokens get more; copying score "
        f"{number(ov.copying, 3)}: Σλ/Σ|λ| over the eigenvalues λ, from -1 to 1, high where tokens raise themselves; "
        f"{percent(ov.positive, 0)} of the eigenvalues are positive"
    )
    yield section(
        "What it writes (OV): the logits that a token raises when the head looks at it", table(columns, rows, note=note)
    )
    line = Text("whichever token it looks at, it raises  ", theme.QUIET).append_text(listed(ov.constant.writes))
    yield line.append(f"   size {number(ov.constant.size, 3)}", theme.QUIET)
    yield directions(ov)


def directions(ov: OvCircuit) -> RenderableType:
    """The first singular directions, both ways along each."""
    rows: list[Sequence[Cell]] = []
    values = column([direction.value for direction in ov.directions], 3)
    for place, (direction, value) in enumerate(zip(ov.directions, values, strict=True)):
        rows.append([f"{place} +", value, listed(direction.plus.reads), listed(direction.plus.writes)])
        rows.append([f"{place} -", "", listed(direction.minus.reads), listed(direction.minus.writes)])
    ends = " … ".join(aligned(ov.singular[0], ov.singular[-1], digits=3))
    spectrum = spark_row("singular values", ov.singular, ends, limits=(0, max(ov.singular, default=1)))
    columns = [Column("direction", whole=True), Column("value", "right", whole=True), Column("reads"), Column("raises")]
    note = (
        "direction: a singular vector of output · value; a token whose vector points as those under “reads” do raises "
        "those under “raises”, times value, the singular value; + and -: the two ways along a direction"
    )
    body = table(columns, rows, note=note)
    return section("What it moves most: the directions of its OV matrix", spectrum, Text(), body)


def qk_parts(qk: QkCircuit) -> Iterator[RenderableType]:
    """What a token looks for."""
    most = max((pair.score for pair in qk.top), default=1.0) or 1.0
    rows: list[Sequence[Cell]] = [
        [pair.query.text, "→", pair.key.text, pair.score, BarCell(max(pair.score, 0) / most, BAR)] for pair in qk.top
    ]
    columns = [
        Column("query", spaces=True, whole=True), Column("", quiet=True, whole=True),
        Column("key", spaces=True, whole=True), Column("score", digits=3), Column(""),
    ]  # fmt: skip
    where = f"the key stands {several(qk.distance, 'token')} before" if qk.distance else "the key stands where"
    does = "" if qk.distance else " does"
    note = f"beyond what any query looks for (listed below); {where} the query{does}"
    if not qk.exact:
        note += f"; the best pairs of the {count(qk.tried)} longest queries"
    yield section("What it looks for (QK): pairs of tokens with high scores", table(columns, rows, note=note))
    yield Text("any query looks for  ", theme.QUIET).append_text(listed(qk.wanted))
    if qk.position is not None:
        yield position_part(qk.position)


POSITION_KINDS = {
    "rotary": "the mean query with the mean key, turned: what is there whatever the tokens are",
    "learned": "position · position, the mean over the places of the query",
    "linear": "one number for each distance",
}


def position_part(position: PositionScores) -> RenderableType:
    """What positions add, by distance."""
    scores = position.scores
    best = max(range(len(scores)), key=scores.__getitem__)
    highest, lowest = aligned(scores[best], min(scores), digits=3)
    ends = f"{len(scores) - 1}; highest {highest} at {best}, lowest {lowest}"
    line = spark_row("distance 0", scores, f"to {ends}")
    return section("What positions add to its scores", line, note=POSITION_KINDS[position.kind])


def habits_part(habits: HeadHabits) -> RenderableType:
    """Each measure, with its spread where there is more than one piece."""
    spread = any(not math.isnan(entry.std) for entry in habits.measures)
    rows: list[Sequence[Cell]] = []
    for entry in habits.measures:
        mean, std, low, high = aligned(entry.mean, entry.std, entry.low, entry.high, digits=3)
        measured = [mean, None, None] if math.isnan(entry.std) else [mean, std, f"{low} … {high}"]
        rows.append([entry.measure, *measured, entry.count, entry.definition])
    columns = [
        Column("measure", whole=True), Column("mean", "right", whole=True),
        Column("std", "right", whole=True, spared=2, note="std: the standard deviation") if spread else None,
        Column("95% interval", "right", whole=True) if spread else None,
        Column("pieces", spared=3), Column("", quiet=True),
    ]  # fmt: skip
    called = ", ".join(f"{name} in {several(times, 'piece')}" for name, times in habits.named.items())
    note = f"{read_of(habits.read)}; its habit: {called}"
    return section(f"What it does: {habits.habit}", table(columns, rows, note=note))


def read_of(read: CorpusRead) -> str:
    """What was read of a corpus."""
    rest = "" if read.whole else "; there is more (--most)"
    skipped = f"; {several(read.skipped, 'file')} passed over" if read.skipped else ""
    return f"{several(read.tokens, 'token')} in {several(read.pieces, 'piece')} of {visible(read.path)}{rest}{skipped}"


def notes(result: HeadResult | NeuronResult | FeaturesResult) -> Iterator[str]:
    """What is listed, and what its numbers hold."""
    yield f"The lists hold only {WORD_STARTS} (--no-words: all)." if result.words else "The lists hold all tokens."
    if result.folded:
        yield f"In the numbers: {'; '.join(result.folded)}."
    if result.left_out:
        yield f"Left out: {'; '.join(result.left_out)}."


def listed(tokens: Sequence[NamedToken]) -> Text:
    """Tokens side by side, apart where there is no colour as well."""
    line = Text()
    for index, token in enumerate(tokens):
        line.append(" " if index else "")
        line.append(visible(token.text, spaces=True) or "∅", theme.TOKENS[index % len(theme.TOKENS)])
    return line
