"""How `embed` looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from rich.console import RenderableType

from llminspect.analysis.embed import EmbedResult
from llminspect.analysis.neighbours import Neighbour
from llminspect.analysis.vectors import Outlier, PositionCode
from llminspect.core.numbers import aligned, count, fixed, matrix, number, percent, several, shape, vector
from llminspect.render.bars import histogram
from llminspect.render.heatmap import heatmap
from llminspect.render.plot import scatter
from llminspect.render.prose import Text
from llminspect.render.safe import label, quoted
from llminspect.render.section import headed, paged, remark, section, steps
from llminspect.render.table import Column, Entries, table
from llminspect.render.theme import QUIET, WARNING

_MANY = 20
"""From so many vectors on their lengths are drawn as well as listed."""
_ROWS = 40
"""Rows of a table for a person to read; JSON has them all."""


@paged
def render(result: EmbedResult) -> Iterator[RenderableType]:
    """All parts, a blank line between two."""
    chosen = [result.similarity, result.projection, result.nearest, result.positions]
    # The position code is the model's, whatever the text.
    only_positions = result.positions is not None and all(part is None for part in chosen[:-1])
    if not only_positions:
        yield _headline(result)
    if result.analogy is not None:
        yield _sum(result)
    elif all(part is None for part in chosen):
        yield from _vectors(result)
    if result.nearest is not None:
        yield _nearest(result)
    if result.similarity is not None:
        yield _similarity(result)
    if result.projection is not None:
        yield _projection(result)
    if result.positions is not None:
        yield _positions(result.positions)
    if result.outlier is not None and (result.pool == "mean" or all(part is None for part in chosen)):
        yield _warning(result, result.outlier)
    known = result.statistics
    if not only_positions and (known.mean_cosine is not None or known.anisotropy is not None):
        yield _how_to_judge(result)


def _headline(result: EmbedResult) -> RenderableType:
    rows, dim = result.vectors.shape
    one = rows == 1
    places = {
        "embedding": f"{'a row' if one else 'rows'} of the embedding table",
        "final": f"at the end of the model, as it gives {'it' if one else 'them'} out",
    }
    place = places.get(result.at, f"the residual stream after layer {result.at}")
    pooled = {"none": "", "mean": ", the mean over the tokens of a text"}.get(
        result.pool, f", the {result.pool} token of a text"
    )
    if result.pooling is not None and (result.pool == "model" or len(result.pooling.steps) > 1 or not pooled):
        declared = " as the model declares" if result.pooling.declared else ""
        pooled = f"; pooled{declared}: {' → '.join(map(str, result.pooling.steps))}"
    if result.analogy is not None:
        place = "a sum of rows of the embedding table"
    return headed(f"{several(rows, 'vector')} of {several(dim, 'number')}", f"{place}{pooled}")


def _vectors(result: EmbedResult) -> Iterator[RenderableType]:
    lookup = result.lookup
    small = lookup is not None and lookup.table is not None
    if lookup is not None and lookup.one_hot is not None and lookup.table is not None:
        factors = [matrix(factor, 16) for factor in (lookup.one_hot, lookup.table)]
        product = "\n· ".join(factor.replace("\n", "\n  ") for factor in factors)
        yield section(
            "From ids to vectors",
            steps([("e", "x · E", f"  {product}", matrix(result.vectors, 16))]),
            note="Each row of x is one-hot: a 1 at the id, 0 elsewhere. So each row of e is the row of E that the id "
            "names, counted from 0.",
        )
    elif lookup is not None:
        first = result.tokens[0]
        text = (
            f"e = x · E, where x has a 1 at the id and {count(lookup.rows - 1)} zeros: so the vector of "
            f"{quoted(first['text'])} is row {first['id']} of E, counted from 0 "
            f"({shape((lookup.rows, lookup.dim))})."
        )
        yield Text(text, QUIET)
    yield heatmap(
        result.vectors,
        result.labels,
        None,
        scale="diverging",
        limits=_limits(result),
        fold="extreme",
        row_name="vectors",
        column_name="dimensions",
        value_name="value",
    )
    yield _table(result)
    if not small:
        yield histogram(
            result.vectors, title="How the numbers are distributed", height=4, limits="robust", name="numbers"
        )
    if len(result.norms) >= _MANY:
        yield histogram(
            result.norms, title="How long the vectors are (their norms)", height=4, limits="robust", name="norms"
        )


def _table(result: EmbedResult) -> RenderableType:
    by_token = len(result.tokens) == len(result.vectors)
    named = ("id", "token") if by_token else (None, "text")
    columns = [Column("index", quiet=True), *named, "norm", "the first numbers"]
    rows = []
    for index, (text, row_D, norm) in enumerate(zip(result.labels[:_ROWS], result.vectors, result.norms, strict=False)):
        token_id = result.tokens[index]["id"] if by_token else None
        rows.append([index, token_id, label(text), norm, vector(row_D, 4).partition("  ")[0]])
    norm = "norm: the length of the vector, the square root of the sum of its squares"
    more = _more(len(result.labels) - len(rows))
    return section("", table(columns, rows), note=f"{norm}; {more}" if more else norm)


def _sum(result: EmbedResult) -> RenderableType:
    assert result.analogy is not None
    lines = []
    for term in result.analogy.terms:
        several = len(term.ids) > 1
        sign = "-" if term.factor < 0 else "+"
        factor = "" if abs(term.factor) == 1 else f"{number(abs(term.factor))} ×"
        tokens = " ".join(label(text) for text in term.tokens)
        meaning = f"{len(term.ids)} tokens: the mean of their vectors" if several else ""
        lines.append([sign, factor, tokens, ", ".join(map(str, term.ids)), meaning])
    factors, meanings = (Column("") if any(line[place] for line in lines) else None for place in (1, 4))
    return table(["", factors, "token", Column("id", align="right"), meanings], lines)


def _nearest(result: EmbedResult) -> RenderableType:
    assert result.nearest is not None
    by = result.nearest_by or "cosine"
    if result.analogy is not None:
        kept = "left out" if result.analogy.inputs_excluded else "kept in the list, marked ←"
        entries: list[Neighbour] = result.nearest  # type: ignore[assignment]
        inputs = {token_id for term in result.analogy.terms for token_id in term.ids}
        rows = [
            [rank, label(entry.text), entry.id, getattr(entry, by), "← part of the sum" if entry.id in inputs else ""]
            for rank, entry in enumerate(entries)
        ]
        columns: list[str | Column] = [Column("rank", quiet=True), "token", "id", by, Column("", quiet=True)]
        title, note = f"Nearest to {result.analogy.expression.strip()}", f"The words of the sum are {kept}."
        return section(title, table(columns, rows), note=note)
    lists: list[list[Neighbour]] = result.nearest  # type: ignore[assignment]
    body: list[list[str | Text]] = []
    for text, near in zip(result.labels[:_ROWS], lists, strict=False):
        cosines = [fixed(entry.cosine, 3) for entry in near]
        values = cosines if by == "cosine" else aligned(*(entry.dot for entry in near), digits=3)
        parts = [
            Text.assemble(label(entry.text), (f" {value}", QUIET)) for entry, value in zip(near, values, strict=True)
        ]
        body.append([label(text), Entries(parts)])
    left = len(lists) - len(body)
    heads: list[str | Column] = ["vector", f"nearest tokens, by {by}"]
    return section(f"Nearest rows of the {result.nearest_in} table", table(heads, body), note=_more(left))


def _more(left: int) -> str:
    return f"and {count(left)} more: --json has them all" if left else ""


def _similarity(result: EmbedResult) -> RenderableType:
    by = result.similarity_by
    return heatmap(
        result.similarity,  # type: ignore[arg-type]
        result.labels,
        result.labels,
        title=f"How alike the vectors are ({by})",
        scale="diverging",
        limits=(-1, 1) if by == "cosine" else None,
        # What is alike has to stay to be seen in a long text; the mean of neighbours would hide it.
        fold="extreme",
        row_name="vectors",
        column_name="vectors",
        value_name=by or "",
    )


def _projection(result: EmbedResult) -> RenderableType:
    made = result.projection
    assert made is not None
    first, second = made.variance
    both = len(set(made.groups)) > 1
    return scatter(
        made.points,
        made.labels,
        axes=(f"first axis, {percent(first)} of the variance", f"second axis, {percent(second)}"),
        groups=made.groups if both else None,
        title=f"The plane that shows most: {percent(first + second)} of the variance (PCA)",
    )


def _positions(positions: PositionCode) -> RenderableType:
    """The code as a heatmap: a row a position."""
    rows, columns = positions.code.shape
    if positions.kind == "added":
        shown, name = positions.code, "value"
        title = f"The position code: {several(rows, 'vector')} of {columns} numbers, added to those of the tokens"
        note = "Each row is what is added to a token for standing there, whichever token it is."
    else:
        shown, name = np.cos(positions.code), "cosine of the angle"
        title = f"The rotary position code: {several(rows, 'position')} × {several(columns, 'pair')} of numbers"
        paired = "i and i + P" if positions.pairs == "halves" else "2i and 2i + 1"
        note = (
            f"Each pair of numbers of a query and a key ({paired}; P = {columns}) is turned by an angle that grows "
            "with the position: fast in the first pairs, which tell near places apart, slowly in the last, which tell "
            f"far ones apart. Measured in layer {positions.layer}; the tokens' own vectors stay as they are."
        )
    drawn = heatmap(
        shown,
        title=title,
        scale="diverging",
        limits=(-1, 1) if positions.kind == "rotary" else "robust",
        fold="thin",
        row_name="positions",
        column_name="pairs" if positions.kind == "rotary" else "dimensions",
        value_name=name,
        max_rows=32,
        numbers=False,
    )
    return section("", drawn, Text(note, QUIET))


def _limits(result: EmbedResult) -> tuple[float, float] | Literal["robust"] | None:
    """The ends of the colours: a vector many times as long as the others would leave these blank."""
    if result.lookup is not None and result.lookup.table is not None:
        return None
    if result.outlier is None or result.pool != "none":
        return "robust"
    others_ND = np.delete(result.vectors, result.outlier.index, axis=0)
    most = float(np.quantile(np.abs(others_ND), 0.99)) if others_ND.size else 0.0
    return (-most, most) if most > 0 else "robust"


def _warning(result: EmbedResult, outlier: Outlier) -> RenderableType:
    token = result.tokens[outlier.index]
    meaning = "so a mean over the tokens is mostly that one" if result.pool == "mean" else "so the colours leave it out"
    return Text(
        f"Careful with token {token['index']}, {quoted(token['text'])}: its vector is {number(outlier.times, 3)} times "
        "as long "
        f"as the median, {meaning} (a massive activation).",
        WARNING,
    )


def _how_to_judge(result: EmbedResult) -> RenderableType:
    known = result.statistics
    judged = ""
    if known.mean_cosine is not None:
        judged += f"Mean cosine of these vectors with each other: {fixed(known.mean_cosine, 3)}. "
        if known.anisotropy is None and len(result.vectors) > 2:
            judged += "Judge a cosine by that. "
    if known.anisotropy is not None:
        measured = known.anisotropy
        judged += (
            f"To judge a cosine: two random tokens of the vocabulary have {fixed(measured.mean, 2)} ± "
            f"{fixed(measured.deviation, 2)}, one pair in 100 more than {fixed(measured.one_in_100, 2)} "
            f"({count(measured.pairs)} pairs)."
        )
    return remark(judged)
