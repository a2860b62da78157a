"""How other answers than the next token look: a classifier's labels, a part of the text, continuations (--score)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType

from llminspect.analysis.result import shown_text
from llminspect.core.numbers import aligned, column, count, number, percent
from llminspect.render import theme
from llminspect.render.bars import BarCell, probability_bars, signed_bars
from llminspect.render.prose import Text
from llminspect.render.safe import shorten, visible
from llminspect.render.table import Cell, Column, Columns, Entries, table
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from llminspect.analysis.continuations import Continuation
    from llminspect.analysis.forward_result import ForwardResult
    from llminspect.analysis.labels import AnswerSpan, Label, SpanLogits, TokenLabel
    from llminspect.render.sized_table import SizedTable


def head_views(result: ForwardResult) -> list[RenderableType]:
    """What a head for labels or spans gives, where the model has one."""
    views: list[RenderableType] = []
    what = "labels" if result.choices is None else "choices"
    if result.baseline_labels:
        views += [text_labels(result.baseline_labels, f"{what} of the text, before"), Text()]
    if result.labels:
        views.append(text_labels(result.labels, f"{what} of the text{', after' if result.baseline_labels else ''}"))
    texts = [shown_text(token) for token in result.source or result.tokens]
    if result.token_labels is not None:
        views.append(token_labels(result.token_labels, texts, result.baseline_token_labels))
    if result.span is not None and result.span_logits is not None:
        views.append(answer(result.span, result.span_logits, texts, result.baseline_span))
    return views


def text_labels(labels: Sequence[Label], title: str) -> RenderableType:
    """Logits, and what became of them as bars; of a quantity the number alone."""
    names, logits = [label.label for label in labels], [float(label.logit) for label in labels]
    if math.isnan(labels[0].prob):
        return signed_bars(names, logits, title=f"{title}: the number itself, not a probability")
    numbers = [f"{logit}  {percent(label.prob, 2):>6}" for logit, label in zip(column(logits), labels, strict=True)]
    title += ": logit and probability"
    return probability_bars(names, [label.prob for label in labels], numbers=numbers, strong=[0], title=title)


def token_labels(
    labels: Sequence[TokenLabel], texts: Sequence[str], before: Sequence[TokenLabel] | None = None
) -> RenderableType:
    """A line a token; of an experiment with the label `before`."""
    rows: list[list[Cell]] = []
    for at, (found, text) in enumerate(zip(labels, texts, strict=True)):
        earlier: list[Cell] = [] if before is None else [visible(before[at].label), percent(before[at].prob, 2)]
        now: list[Cell] = [visible(found.label), percent(found.prob, 2), BarCell(found.prob, 12)]
        rows.append([str(found.index), visible(text, True), *earlier, *now])
    columns: Columns = [Column("index", "right"), "token"]
    columns += ["label"] if before is None else ["before", Column("prob", "right"), "after"]
    columns += [Column("prob", "right"), ""]
    # A head that knows one label says how probable that is, be it less than half.
    title = "the label of each token, the most probable where there are several"
    return table(columns, rows, title=title)


def answer(
    span: AnswerSpan, logits: Sequence[SpanLogits], texts: Sequence[str], before: AnswerSpan | None = None
) -> RenderableType:
    """Every token by its logits, and the answer; of an experiment with that of `before`."""
    starts = value_strip(texts, [each.start for each in logits], scale="diverging", name="logit as the start")
    ends = value_strip(texts, [each.end for each in logits], scale="diverging", name="logit as the end")
    lines = [answer_line(span, "answer: ")]
    if before is not None:
        lines = [answer_line(before, "answer before: "), answer_line(span, "answer after: ")]
    return Group(starts, Text(), ends, Text(), *lines)


def answer_line(span: AnswerSpan, title: str) -> Text:
    place = f"tokens {span.start} to {span.end}" if span.end > span.start else f"token {span.start}"
    line = Text.assemble(title, (visible(span.text), theme.CHOSEN), f"  {percent(span.prob, 2)}  {place}")
    line.append(f"; start and end logits together {number(span.logit)}", theme.QUIET)
    return line


OPENED, TOKENS = 10, 60
"""Continuations whose tokens are shown one by one, and how many of each."""
LONGEST = 120
"""Cells of a continuation."""
LOG = "log p: the natural logarithm of the probability of all its tokens, one after the other"
MEAN = "; per token: the same, divided by how many they are"
PLAIN = "; before: with nothing changed in the model"
SHARE = "; of these: its share of the probability of all these continuations"


def continuations(found: Sequence[Continuation]) -> RenderableType:
    """The table, and where a continuation is not just one token of its own, the tokens."""
    if not found:
        return Text("no continuation is shown (--top 0)", theme.QUIET)
    long = any("".join(token.text for token in each.tokens) != each.text or len(each.ids) > 1 for each in found)
    whole = _ranking(found, long)
    return Group(whole, Text(), _by_token(found[:OPENED], len(found))) if long else whole


def _ranking(found: Sequence[Continuation], long: bool) -> SizedTable:
    plain = found[0].baseline_logprob is not None
    rows: list[list[Cell]] = []
    for each in found:
        prob = percent(float(np.exp(each.logprob)), 2)
        name = Text(shorten(visible(each.text, True), LONGEST))
        rows.append([name, each.baseline_logprob, each.logprob, each.mean_logprob, prob, percent(each.share)])
        rows[-1].append(BarCell(each.share, 12))
    logs = ("log p before", "log p after") if plain else (None, "log p")
    names = (*logs, "per token" if long else None, "probability", "of these")
    right = [None if name is None else Column(name, "right", whole=True) for name in names]
    return table(
        ["continuation", *right, ""],
        rows,
        title="how probable it is that the text goes on like this",
        note=LOG + PLAIN * plain + MEAN * long + SHARE,
        strong=[0],
    )


def _by_token(found: Sequence[Continuation], given: int) -> RenderableType:
    rows: list[list[Cell]] = []
    logs = iter(aligned(*(token.logprob for each in found for token in each.tokens[:TOKENS])))
    for continuation in found:
        entries = [
            Text.assemble((visible(token.text, True), theme.STRONG), f" {next(logs)}")
            for token in continuation.tokens[:TOKENS]
        ]
        entries += [Text("…")] * (len(continuation.tokens) > TOKENS)
        rows.append([Text(shorten(visible(continuation.text, True), LONGEST)), Entries(entries)])
    left = given - len(found)
    more = f"of the first {len(found)}; --json has those of the other {count(left)} as well" if left else ""
    return table(["continuation", "its tokens, each with its log p"], rows, note=more)
