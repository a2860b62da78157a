"""One head: arcs over the sentence, all weights, the sum of the chosen token by hand, and what its weights say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from llminspect.analysis.attend import AttendResult
from llminspect.analysis.head import HeadResult
from llminspect.commands.attend.view import labels_of, render
from llminspect.commands.head.view import render as render_circuits
from llminspect.render import theme
from llminspect.render.arcs import Arc, arcs
from llminspect.render.safe import label
from llminspect.render.section import page, section

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.commands.explore.panes import Seen

LEAST_DRAWN = 0.05
"""A smaller weight has no arc."""


def view(seen: Seen) -> RenderableType:
    parts: list[RenderableType] = []
    for _, result in seen.found:
        if isinstance(result, HeadResult):
            parts.append(render_circuits(result))
        elif isinstance(result, AttendResult):
            parts += [] if result.query is not None or not result.heads else [_sentence(seen, result)]
            parts.append(render(result))
    if len(parts) < 3:
        parts.append(Text("what its weights write and look for is being computed …", theme.QUIET))
    return page(parts)


def _sentence(seen: Seen, result: AttendResult) -> RenderableType:
    from llminspect.analysis.explore.questions import place

    query, texts = place(seen.state, len(result.tokens))[0], labels_of(result.tokens)
    weights_S = result.heads[0].weights[query]
    drawn = [key for key in range(len(texts)) if key != query and weights_S[key] >= LEAST_DRAWN]
    links = [Arc(query, key, float(weights_S[key]), quiet=key == 0) for key in drawn]
    notes = [f"{weight:.2f}" for weight in weights_S]
    return section(
        f"What {label(texts[query])} looks at in {seen.state.layer}.{seen.state.head}", arcs(texts, links, notes)
    )
