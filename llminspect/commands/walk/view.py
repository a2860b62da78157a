"""How `walk` looks: a heading, what the step does, the toy by hand, the same in the real model."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from llminspect.analysis.result import shown_text
from llminspect.analysis.walk import SAYS
from llminspect.commands.attend import view as attend
from llminspect.commands.embed import view as embed
from llminspect.commands.encode import view as encode
from llminspect.commands.forward import view as forward_views
from llminspect.commands.forward.answers import change, lens_table
from llminspect.commands.forward.feed_forward import activation, feed_forward
from llminspect.commands.generate import view as generate
from llminspect.commands.info.view import parts_table
from llminspect.commands.tokenize import view as tokenize
from llminspect.core.numbers import number
from llminspect.render import theme
from llminspect.render.safe import shorten, visible
from llminspect.render.section import page
from llminspect.render.table import Cell, Column, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from llminspect.analysis.embed import EmbedResult
    from llminspect.analysis.excerpt import CommandExcerpt
    from llminspect.analysis.walk import WalkChapter, WalkResult

LAST = len(SAYS)
TRY_NEXT = {
    'forward "The capital of France is" --patch "The capital of Italy is"': "where in the model the country is",
    'forward "The capital of France is" --ablate 23.4': "what a head does, by leaving it out",
    'attend "The keys to the cabinet are on the table"': "which words look at which",
    'generate "Once upon a time" --watch': "the probabilities while it writes",
}
"""What to run after the walk, with what it shows."""
_LONGEST = 60
"""Characters of an argument that are shown in a command line."""


def render(result: WalkResult) -> RenderableType:
    """Every chapter, one below the other."""
    return page(pages(result))


def pages(result: WalkResult) -> Iterator[RenderableType]:
    """One rendering a chapter."""
    for chapter, parts in zip(result.chapters, _CHAPTERS, strict=True):
        heading = Text(f"{chapter.number}. {chapter.title}", theme.TITLE)
        heading.append("\n" + "─" * len(heading.plain), theme.LINE)
        yield page([heading, Text(chapter.says), *parts(chapter), *([_next_steps()] if chapter.number == LAST else [])])


def _parameters(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real,) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, forward_views.calculation(by_hand.result.steps))
    yield from _excerpt(real, parts_table(real.result))


def _whole(draw: Callable[[Any], RenderableType], chapter: WalkChapter) -> Iterator[RenderableType]:
    for part in [*chapter.by_hand, *chapter.model]:
        yield from _excerpt(part, draw(part.result))


def _vectors(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real,) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, embed.render(by_hand.result))
    yield from _excerpt(real, _near(real.result))


def _near(result: EmbedResult) -> RenderableType:
    """A line a token: how its vector begins, and the tokens whose rows lie nearest."""
    rows: list[list[Cell]] = []
    nearest = [near for near in result.nearest or [] if isinstance(near, list)]
    for token, vector_D, norm, near in zip(result.tokens, result.vectors, result.norms, nearest, strict=True):
        others = [entry for entry in near if entry.id != token["id"]]
        written = " ".join(visible(entry.text, True) for entry in others)
        start = ", ".join(number(value, 2) for value in vector_D[:3])
        rows.append([Text(visible(shown_text(token), True)), f"{start}, …", float(norm), Text(written, theme.QUIET)])
    columns = [Column("token"), Column(f"{result.dim:,} numbers"), Column("length", digits=2), Column("nearest others")]
    return table(columns, rows)


def _layers(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real,) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, forward_views.calculation(by_hand.result.steps[-1 - _LAST : -_LAST]))
    yield from _excerpt(real, forward_views.folded_trace(real.result.layers))


_LAST = 3
"""The steps of a toy that make its answer: logits, probabilities, the next token."""


_BENT = 2
"""The first steps of a toy: the word and its vector."""


def _feed_forward(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real,) = chapter.by_hand, chapter.model
    curves = [activation(step) for step in by_hand.result.feedforward]
    yield from _excerpt(by_hand, forward_views.calculation(by_hand.result.steps[_BENT : -1 - _LAST]), *curves)
    steps = [feed_forward(step) for step in real.result.feedforward or []]
    routes = [forward_views.experts(real.result.experts, real.result.tokens)] if real.result.experts else []
    yield from _excerpt(real, *(steps + routes))


def _next(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real, written) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, forward_views.calculation(by_hand.result.steps[-_LAST:]))
    answer = real.result
    yield from _excerpt(real, forward_views.next_tokens(answer.next, answer.tokens, answer.position))
    yield from _excerpt(written, generate.render(written.result))


def _inside(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (seen, changed) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, change(by_hand.result.baseline, by_hand.result.change))
    yield from _excerpt(seen, lens_table(seen.result.lens))
    yield from _excerpt(changed, change(changed.result.baseline, changed.result.change))


_CHAPTERS: Sequence[Callable[[WalkChapter], Iterator[RenderableType]]] = (
    *(_parameters, partial(_whole, tokenize.render), partial(_whole, encode.render), _vectors, _layers),
    *(partial(_whole, attend.render), _feed_forward, _next, _inside),
)


def _excerpt(part: CommandExcerpt, *views: RenderableType) -> Iterator[RenderableType]:
    """The command line that shows it, and what it shows."""
    line = " ".join(_quoted(argument) for argument in part.arguments)
    yield Text(f"$ llminspect {line}", theme.NAME)
    yield from views


def _next_steps() -> RenderableType:
    lines = [Text("Try next", theme.TITLE)]
    for command, shows in TRY_NEXT.items():
        lines += [Text(f"$ llminspect {command}", theme.NAME), Text(f"  {shows}", theme.QUIET)]
    return Group(*lines)


def _quoted(argument: str) -> str:
    shown = shorten(visible(argument), _LONGEST)
    plain = shown and all(letter.isalnum() or letter in "-_./,=" for letter in shown)
    return shown if plain else f'"{shown}"'
