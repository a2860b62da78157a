"""How `attend` looks: what was chosen, the heads one by one or as a table, and the source beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType

from llminspect.analysis.attend import AttendResult
from llminspect.analysis.attention import PARTS, Head
from llminspect.analysis.result import Tokens, shown_text
from llminspect.commands.attend.heads import MEANINGS, among, contribution_parts, overview_parts, rollout_parts
from llminspect.core.attention_measures import MEASURES, habits
from llminspect.core.numbers import count, number, several
from llminspect.render.heatmap import head_map, heatmap
from llminspect.render.prose import Text
from llminspect.render.safe import quoted
from llminspect.render.section import facts, headed, page, section
from llminspect.render.table import Column, table
from llminspect.render.theme import QUIET, TITLE

if TYPE_CHECKING:
    from llminspect.analysis.cross_attention import CrossAttention, EncoderAttention
    from llminspect.analysis.over import OverResult
    from llminspect.core.array import Array

NAMED = {
    "scores": "scores, query · key",
    "compressed": "the part of a score that does not depend on positions",
    "rotary": "the part of a score that is rotated by positions",
    "scaled": "scores times the scale",
    "capped": "scores after the soft cap",
    "masked": "scores after the mask",
    "added": "the length of what is added: ‖weight · value · W‖",
}
"""The steps whose names do not say enough."""
_EACH = 4
"""Up to so many heads are drawn one by one; of more there is a table."""
_ROWS = 40


def render(result: AttendResult | OverResult) -> RenderableType:
    """The picture that was asked for, and what it means."""
    if not isinstance(result, AttendResult):
        from llminspect.commands.forward.over import render_over

        return render_over(result)
    return page(parts(result))


def parts(result: AttendResult) -> Iterator[RenderableType]:
    """The parts of the picture, one below the other."""
    labels = labels_of(result.tokens)
    if result.experiments is not None:
        from llminspect.commands.forward.answers import experiments_made

        yield Group(*experiments_made(result.experiments))
    if result.overview is not None and len(labels) == 1 and not result.states:
        yield from _alone(result, labels[0])
    elif result.overview is not None:
        yield from overview_parts(result, result.overview)
    if result.query is not None:
        from llminspect.commands.attend.query import query_parts

        yield from query_parts(result, result.query, labels)
    if result.find is not None:
        from llminspect.commands.attend.find import find_parts

        yield from find_parts(result, result.find)
    if result.rollout is not None:
        yield from rollout_parts(result.rollout, labels, result.causal)
    if result.contributions is not None:
        yield from contribution_parts(result.contributions)
    if result.mean is not None:
        yield _weights(result.mean, labels, result.causal, "The mean of the heads")
        yield _reading(result.mean)
    if result.states is not None:
        from llminspect.commands.attend.heads import state_parts

        yield from state_parts(result, result.states, labels)
    answers = (result.query, result.find, result.rollout, result.contributions, result.mean)
    if result.selected and all(answer is None for answer in answers):
        if result.cross is not None:
            yield Text("The decoder: who looks at whom in the target so far", TITLE)
        yield from _heads(result, labels)
    if result.cross is not None and result.encoder is not None and result.source is not None:
        yield from _cross_attention(result, result.cross, [shown_text(token) for token in result.source])
        if result.selected:
            yield Text("The encoder: who looks at whom in the source", TITLE)
        yield from parts(_of_encoder(result, result.encoder, result.source))


def _alone(result: AttendResult, label: str) -> Iterator[RenderableType]:
    """One token has nothing to choose between: there is no habit to speak of, and nothing to draw."""
    hint = "--target TEXT gives the decoder more" if result.source is not None else "a longer text shows more"
    alone = f"{quoted(label)} is the only token there, so every head looks at it; {hint}"
    yield section("Who looks at whom" + among(result), note=alone)


def labels_of(tokens: Tokens) -> list[str]:
    """The texts of the tokens; where some are of another segment than the first, with its number."""
    several = len({token.get("segment") for token in tokens}) > 1
    return [f"{shown_text(token)}·{token['segment']}" if several else shown_text(token) for token in tokens]


def _of_encoder(result: AttendResult, encoder: EncoderAttention, source: Tokens) -> AttendResult:
    """The encoder's attention, as if it were all there is."""
    return replace(
        result,
        part="encoder",
        tokens=source,
        n_layers=encoder.n_layers,
        n_heads=encoder.n_heads,
        n_kv_heads=encoder.n_heads,
        causal=False,
        heads=encoder.heads,
        overview=encoder.overview,
        cross=None,
        encoder=None,
    )


def _heads(result: AttendResult, labels: list[str]) -> Iterator[RenderableType]:
    if not result.heads:
        return
    if len(result.heads) > _EACH:
        yield _table(result)
        return
    for head in result.heads:
        for shown in result.shown or ["weights"]:
            yield _shown(result, head, shown, labels)
        measured = [f"{name} {number(value, 2)}" for name, value in head.measures.items() if value == value]
        does = (Text(f"{name}: {MEANINGS[name]}") for name in habits(head.measures))
        yield Group(*does, facts(measured))
    yield Text(_defined(_measured(result)), QUIET)
    if "weights" in (result.shown or ["weights"]):
        yield _reading(*(head.weights for head in result.heads))


def _shown(result: AttendResult, head: Head, shown: str, labels: list[str]) -> RenderableType:
    shared = "" if result.n_kv_heads == result.n_heads else f" (key/value head {head.kv_head})"
    title = f"Layer {head.layer} · head {head.head}{shared} · {NAMED.get(shown, shown)}"
    values = getattr(head, shown)
    if values is None:
        return section(title, Text("this model has no such step", QUIET))
    if shown in ("weights", "added"):
        return _weights(values, labels, result.causal, title, shown, head.window)
    signed = partial(heatmap, values, labels, title=title, scale="diverging", value_name=shown)
    if shown in PARTS:
        return signed(limits="robust", fold="extreme", row_name="tokens", column_name="dimensions of the head")
    return signed(labels, row_name="queries", column_name="keys")


_picture = partial(heatmap, limits=(0, 1), fold="max", value_name="weight")
_cross_weights = partial(_picture, row_name="target", column_name="source")


def _weights(
    weights_TS: Array, labels: list[str], causal: bool, title: str, name: str = "weights", window: int | None = None
) -> RenderableType:
    shown_TS = np.array(weights_TS, float)
    if causal:
        shown_TS[np.triu_indices(len(shown_TS), 1)] = np.nan
    if window is not None:
        shown_TS[np.tril_indices(len(shown_TS), -window)] = np.nan
    hidden = "comes later, hidden" if window is None else f"comes later, or {window} or more before: hidden"
    picture = _picture if name == "weights" else partial(_picture, limits=None, value_name="length")
    return picture(shown_TS, labels, labels, title=title, row_name="queries", column_name="keys", masked=hidden)


def _reading(*weights: Array) -> RenderableType:
    kept = min(float(np.asarray(weights_TS, float).sum(axis=1).min()) for weights_TS in weights)
    if kept > 1 - 1e-3:
        rest = "a row sums to 1. Much weight on token 0 usually means that the head found nothing to look for."
    else:
        rest = "what a row lacks to 1 goes to the head's own sink, to no token: the head found nothing to look for."
    return Text(f"Each row is a token that looks (query), each column one that is looked at (key); {rest}", QUIET)


def _measured(result: AttendResult) -> list[str]:
    """The measures that at least one of the heads has."""
    return [name for name in result.heads[0].measures if any(np.isfinite(head.measures[name]) for head in result.heads)]


def _defined(measures: Sequence[str]) -> str:
    return "; ".join(f"{name}: {MEASURES[name].definition}" for name in measures)


def _table(result: AttendResult) -> RenderableType:
    names, rows = _measured(result), []
    for head in result.heads[:_ROWS]:
        values = (head.measures[name] for name in names)
        rows.append([f"{head.layer}.{head.head}", head.habit, *(value if value == value else None for value in values)])
    left = len(result.heads) - len(rows)
    more = f"and {several(left, 'head')} more: --json has them all. " if left else ""
    return section(
        several(len(result.heads), "head"),
        table(["head", "habit", *(Column(name, digits=2) for name in names)], rows),
        note=f"{more}head: layer.head; {_defined(names)}. One of them as a picture: --layer L --head H; the mean of "
        "all of them: --mean",
    )


def _cross_attention(result: AttendResult, cross: CrossAttention, source: list[str]) -> Iterator[RenderableType]:
    """The attention to the source, by heads or as an overview as the target's own is."""
    target = [shown_text(token) for token in result.tokens]
    look = "looks" if len(target) == 1 else "look"
    tokens = f"{several(len(target), 'token')} of the target {look} at {count(len(source))} of the source"
    yield headed("Who looks at the source (cross attention)", tokens)
    if result.selected and len(cross.heads) <= _EACH:
        for head in cross.heads:
            yield _cross_weights(head.weights, target, source, title=f"Layer {head.layer} · head {head.head} · cross")
    else:
        entropy_LH = np.asarray(cross.entropy, float)
        yield head_map(entropy_LH, value_name="entropy", limits=(0, 1), max_rows=64)
        if len(target) == 1 and len(cross.heads) > 1:
            weights_NS = np.concatenate([head.weights for head in cross.heads])
            names = [f"{head.layer}.{head.head}" for head in cross.heads]
            title = f"Where each head looks from {quoted(target[0])}"
            yield _cross_weights(weights_NS, names, source, title=title, row_name="heads")
        yield _cross_weights(cross.mean, target, source, title="The mean of the heads")
    yield Text("Each row is a token of the target, each column of the source; a row sums to 1.", QUIET)
