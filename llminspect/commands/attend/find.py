"""How the heads that look from one word to another look: the best with its sentence, then the lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType

from llminspect.analysis.result import shown_text
from llminspect.core.numbers import count, fixed, largest_first, number
from llminspect.render.arcs import Arc, arcs
from llminspect.render.prose import Text
from llminspect.render.safe import quoted
from llminspect.render.section import headed, section
from llminspect.render.table import Cell, Column, table
from llminspect.render.theme import QUIET, WARNING

if TYPE_CHECKING:
    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.find import Find, FoundHead

_TOP = 12
_MUCH = 0.3
"""From this weight on a head counts as one that looks there."""
_DRAWN = 0.05
"""A smaller weight has no arc."""


def find_parts(result: AttendResult, find: Find) -> Iterator[RenderableType]:
    """The heads by weight and by excess, and whether the weight means anything."""
    query, key = (quoted(end.text.strip()) for end in (find.query, find.key))
    every = "all " if len(find.heads) == result.n_layers * result.n_heads else ""
    ranked = f"{every}{count(len(find.heads))} {'heads' if len(find.heads) > 1 else 'head'} ranked"
    yield headed(f"Which heads look from {query} to {key}", ranked)
    yield from _verdict(find, query, key)
    yield _sentence(find, result)
    every_head = sorted(find.heads, key=lambda head: (head.layer, head.head))
    compared = [head for head in every_head if head.excess is not None]
    beyond = [compared[at] for at in largest_first([head.excess or 0.0 for head in compared], decimals=3)]
    by_weight = [every_head[at] for at in largest_first([head.weight for head in every_head], decimals=3)]
    if beyond:
        yield section("By excess: what this query gives beyond what the other tokens give", _heads(beyond[:_TOP], find))
    if beyond[: len(by_weight[:_TOP])] != by_weight[:_TOP]:
        yield section("By weight", _heads(by_weight[:_TOP], find))
    explained = "head: one of several attentions that run side by side in a layer; others: the mean weight that the "
    explained += f"other tokens which see {key} give it; excess: weight - others, before they are rounded"
    if any(head.only_sink for head in (*by_weight[:_TOP], *beyond[:_TOP])):
        explained += "; sink: other tokens give it at least three quarters as much"
    explained += "."
    if find.control is not None:
        how = "the tokens at the same places" if find.control.by_position else "the same pair"
        sentence = quoted(find.control.text or "".join(find.control.tokens))
        explained += f" control, control excess: weight and excess of {how} in {sentence}."
    yield Text(explained, QUIET)


def _sentence(find: Find, result: AttendResult) -> RenderableType:
    """All that the query looks at in the best head, as arcs over the sentence."""
    query, weights_S = find.query.indices[-1], find.best.weights
    texts = [shown_text(token) for token in result.tokens]
    drawn = [key for key in range(len(texts)) if key != query and weights_S[key] >= _DRAWN]
    best = (find.best.layer, find.best.head)
    resting = any(head.only_sink for head in find.heads if (head.layer, head.head) == best)
    links = [Arc(query, key, float(weights_S[key]), quiet=resting and key == 0) for key in drawn]
    notes = ["" if result.causal and key > query else fixed(weight, 2) for key, weight in enumerate(weights_S)]
    title = f"What {quoted(texts[query])} looks at in layer {find.best.layer} · head {find.best.head}"
    return section(title, arcs(texts, links, notes))


def _verdict(find: Find, query: str, key: str) -> Iterator[RenderableType]:
    much = [head for head in find.heads if head.weight >= _MUCH]
    resting = [head for head in much if head.only_sink]
    if resting:
        same = "one of them gives" if len(resting) == 1 else f"{len(resting)} of them give"
        same = "they all give" if 1 < len(resting) == len(much) else same
        yield Text(
            f"Heads in which {query} gives {key} at least {number(_MUCH)} of its weight: {len(much)}. But {same} "
            f"it nearly as much from the other tokens too: {key} is token 0, where heads rest that find "
            "nothing to look for (the attention sink). That weight says nothing about the pair; judge by the excess.",
            WARNING,
        )
    if find.heads[0].others is None:
        yield Text(f"No other token sees {key}, so there is nothing to compare the weights with.", WARNING)
        return
    best = max(find.heads, key=lambda head: head.excess or 0)
    line = f"Layer {best.layer} · head {best.head} looks there most beyond what is usual: {fixed(best.weight, 2)} "
    line += f"of its weight, from the other tokens {fixed(best.others or 0, 2)}"
    if best.control is not None:
        line += f"; in the control sentence {fixed(best.control, 2)}"
    yield Text(f"{line}." if (best.excess or 0) > 0 else "No head looks there more than it does from the other tokens.")


def _heads(heads: Sequence[FoundHead], find: Find) -> RenderableType:
    names = ("weight", "others", "excess", *(("control", "control excess") if find.control else (None, None)))
    of_sinks = Column("", quiet=True) if any(head.only_sink for head in heads) else None
    columns = ["layer", "head", *(name and Column(name, "right", whole=True) for name in names), of_sinks]
    rows: list[list[Cell]] = []
    for head in heads:
        weights = (head.weight, head.others, head.excess, head.control, head.control_excess)
        # The same decimals in all columns: they are differences of one another.
        written = (None if weight is None else fixed(weight, 3) for weight in weights)
        rows.append([head.layer, head.head, *written, "sink" if head.only_sink else ""])
    return table(columns, rows)
