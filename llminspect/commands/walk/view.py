"""How `walk` looks: a heading, what the step does, the toy by hand, the same in the real model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from llminspect.analysis.walk import SAYS, WalkChapter, WalkResult
from llminspect.commands.attend import view as attend
from llminspect.commands.embed import view as embed
from llminspect.commands.encode import view as encode
from llminspect.commands.forward import view as forward_views
from llminspect.commands.forward.answers import change, lens_table
from llminspect.commands.forward.feed_forward import activation, feed_forward
from llminspect.commands.generate import view as generate
from llminspect.commands.info.view import parts_table
from llminspect.commands.tokenize import view as tokenize
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import shorten, visible
from llminspect.render.screens import heading
from llminspect.render.section import page

if TYPE_CHECKING:
    from llminspect.analysis.followed import CommandExcerpt

LAST = len(SAYS)
TRY_NEXT = {
    'forward "The capital of France is" --patch "The capital of Italy is"': "where in the model the country is",
    'forward "The capital of France is" --ablate 23.4': "what a head does, by leaving it out",
    'attend "The keys to the cabinet are on the table"': "which words look at which",
    'generate "Once upon a time" --watch': "the probabilities while it writes",
}
"""What to run after the walk, with what it shows."""
LEFT_OUT = Text("⋮", theme.QUIET)
MORE = "(⋮ stands where the command prints more than is shown here.)"
_LONGEST = 60
"""Characters of an argument that are shown in a command line."""


def render(result: WalkResult) -> RenderableType:
    """Every chapter, one below the other."""
    return page(part for title, body in pages(result) for part in (heading(title), body))


def pages(result: WalkResult) -> Iterator[tuple[str, RenderableType]]:
    """The title of each chapter, and what stands below it."""
    for chapter, parts in zip(result.chapters, _CHAPTERS, strict=True):
        first, last = chapter.number == 1, chapter.number == LAST
        about = f"{chapter.says} {MORE}" if first else chapter.says
        body = page([Text(about), *parts(chapter), *([_next_steps()] if last else [])])
        yield f"{chapter.number}. {chapter.title}", body


def _parameters(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real,) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, LEFT_OUT, forward_views.calculation(by_hand.result.steps), LEFT_OUT)
    yield from _excerpt(real, LEFT_OUT, parts_table(real.result), LEFT_OUT)


def _whole(draw: Callable[[Any], RenderableType], chapter: WalkChapter) -> Iterator[RenderableType]:
    for part in [*chapter.by_hand, *chapter.model]:
        yield from _excerpt(part, draw(part.result))


def _layers(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real,) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, *_steps(by_hand, slice(-1 - _LAST, -_LAST)))
    sizes = forward_views.folded_trace(real.result.layers, forward_views.place_of(real.result))
    yield from _excerpt(real, LEFT_OUT, sizes, LEFT_OUT)


_LAST = 3
"""The steps of a toy that make its answer: logits, probabilities, the next token."""


_BENT = 2
"""The first steps of a toy: the word and its vector."""


def _feed_forward(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real,) = chapter.by_hand, chapter.model
    curves = [activation(step) for step in by_hand.result.feedforward]
    yield from _excerpt(by_hand, *_steps(by_hand, slice(_BENT, -1 - _LAST)), *curves, LEFT_OUT)
    steps = [feed_forward(step) for step in real.result.feedforward or []]
    routes = [forward_views.experts(real.result.experts, real.result.tokens)] if real.result.experts else []
    yield from _excerpt(real, LEFT_OUT, *steps, *routes, LEFT_OUT)


def _next(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (real, written) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, *_steps(by_hand, slice(-_LAST, None)))
    answer = real.result
    yield from _excerpt(real, LEFT_OUT, forward_views.next_tokens(answer.next, answer.tokens, answer.position))
    yield from _excerpt(written, generate.render(written.result))


def _inside(chapter: WalkChapter) -> Iterator[RenderableType]:
    (by_hand,), (seen, changed) = chapter.by_hand, chapter.model
    yield from _excerpt(by_hand, LEFT_OUT, change(by_hand.result.baseline, by_hand.result.change))
    yield from _excerpt(seen, LEFT_OUT, lens_table(seen.result.lens), LEFT_OUT)
    yield from _excerpt(changed, LEFT_OUT, change(changed.result.baseline, changed.result.change))


_CHAPTERS: Sequence[Callable[[WalkChapter], Iterator[RenderableType]]] = (
    *(_parameters, partial(_whole, tokenize.render), partial(_whole, encode.render), partial(_whole, embed.render)),
    _layers,
    *(partial(_whole, attend.render), _feed_forward, _next, _inside),
)


def _steps(part: CommandExcerpt, shown: slice) -> Iterator[RenderableType]:
    """Some steps of a calculation that the command writes whole."""
    yield from (LEFT_OUT, forward_views.calculation(part.result.steps, shown), LEFT_OUT)


def _excerpt(part: CommandExcerpt, *views: RenderableType) -> Iterator[RenderableType]:
    """The command line that shows it, and what it shows."""
    line = " ".join(_quoted(argument) for argument in part.arguments)
    shown: list[RenderableType] = [Text(f"$ llminspect {line}", theme.NAME)]
    for view in views:  # What is left out stands close to what it is left out of.
        if view is LEFT_OUT:
            shown[-1] = Group(shown[-1], view)
        else:
            shown.append(view)
    yield from shown


def _next_steps() -> RenderableType:
    lines = [Text("Try next", theme.TITLE)]
    for command, shows in TRY_NEXT.items():
        lines += [Text(f"$ llminspect {command}", theme.NAME), Text(f"  {shows}", theme.QUIET)]
    return Group(*lines)


def _quoted(argument: str) -> str:
    shown = shorten(visible(argument), _LONGEST)
    plain = shown and all(letter.isalnum() or letter in "-_./,=" for letter in shown)
    return shown if plain else f'"{shown}"'
