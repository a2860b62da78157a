"""One head: arcs over the sentence, all weights, the sum of the chosen token by hand, and what its weights say."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Group, RenderableType

from llminspect.analysis.attend import AttendResult
from llminspect.analysis.find import SINK_FROM
from llminspect.analysis.head import HeadResult
from llminspect.commands.attend.view import labels_of, render
from llminspect.commands.explore.panes import Seen
from llminspect.commands.forward.answers import experiments_made
from llminspect.commands.head.view import habits_part
from llminspect.commands.head.view import render as render_circuits
from llminspect.core.attention_measures import excess
from llminspect.core.numbers import fixed
from llminspect.render import theme
from llminspect.render.arcs import Arc, arcs
from llminspect.render.prose import Text
from llminspect.render.safe import quoted
from llminspect.render.section import halves, page, section

NAMES = ("before", "after")
LEAST_DRAWN = 0.05
"""A smaller weight has no arc."""


def view(seen: Seen) -> RenderableType:
    of_weights = [result for _, result in seen.found if isinstance(result, HeadResult)]
    parts: list[RenderableType] = [habits_part(one.habits) for one in of_weights if one.habits is not None]
    attended = [result for _, result in seen.found if isinstance(result, AttendResult) and result.query is None]
    if attended and attended[-1].experiments:
        parts.append(Group(*experiments_made(attended[-1].experiments)))
    for _, result in seen.found:
        if isinstance(result, AttendResult):
            if result is attended[-1] and result.heads:
                parts.append(_sentence(seen, result))
            if len(attended) == 1 or all(result is not one for one in attended):
                parts.append(render(replace(result, experiments=None)))
            elif result is attended[1]:
                plain = [replace(one, experiments=None) for one in attended]
                both = [[Text(name, theme.TITLE), render(one)] for name, one in zip(NAMES, plain, strict=True)]
                parts.append(halves(page(both[0]), page(both[1])))
    if of_weights:
        parts.append(render_circuits(replace(of_weights[-1], habits=None)))
    elif seen.model.can("generate"):
        parts.append(Text("what its weights write and look for is being computed …", theme.QUIET))
    return page(parts)


def _sentence(seen: Seen, result: AttendResult) -> RenderableType:
    from llminspect.analysis.explore.questions import place

    query, texts = place(seen.state, len(result.tokens))[0], labels_of(result.tokens)
    weights_S = result.heads[0].weights[query]
    weight, others = excess(result.heads[0].weights, query, [0], bool(result.causal))
    resting = others is not None and others >= SINK_FROM * weight
    drawn = [key for key in range(len(texts)) if key != query and weights_S[key] >= LEAST_DRAWN]
    links = [Arc(query, key, float(weights_S[key]), quiet=resting and key == 0) for key in drawn]
    notes = [fixed(weight, 2) for weight in weights_S]
    return section(
        f"What {quoted(texts[query])} looks at in {seen.state.layer}.{seen.state.head}", arcs(texts, links, notes)
    )
