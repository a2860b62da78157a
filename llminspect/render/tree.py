"""The ways a text could have gone on: each token with its probability, and under it what could have followed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.tree import Tree

from llminspect.core.numbers import percent
from llminspect.render import theme
from llminspect.render.bars import sparkline
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.section import Drawn

_GUIDE = 4
"""Cells that a level of the tree is indented by."""
_LABEL = 36
"""Cells that a label is to have at least."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A token that could stand here, how probable it is after what stands before it, and what could follow."""

    text: str
    probability: float
    children: tuple[Branch, ...] = ()
    chosen: bool = False


def branch_tree(root: str, branches: Iterable[Branch], *, title: str = "") -> Drawn:
    """The branches under the text `root`: a mark as high as the probability, the probability, the token.

    The chosen path is bold and marked ◀, whether or not there is colour. Where the tree is deeper than the width
    allows (four cells a level), the last that fits says how many branches are below it.
    """
    first = tuple(branches)

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Tree]:
        deepest = max(1, (options.max_width - _LABEL) // _GUIDE)
        tree = Tree(Text(visible(root), theme.STRONG), guide_style=theme.LINE)
        # A stack rather than recursion: a tree may be as deep as a text is long.
        waiting = [(tree, branch, 1) for branch in reversed(first)]
        while waiting:
            parent, branch, depth = waiting.pop()
            hidden = _count(branch.children) if depth == deepest else 0
            node = parent.add(_label(branch, f"… {hidden} more below" if hidden else ""))
            if not hidden:
                waiting.extend((node, child, depth + 1) for child in reversed(branch.children))
        yield tree

    return Drawn(draw, title=title)


def _count(branches: tuple[Branch, ...]) -> int:
    count, waiting = 0, list(branches)
    while waiting:
        count += 1
        waiting.extend(waiting.pop().children)
    return count


def _label(branch: Branch, hidden: str) -> Text:
    style = theme.STRONG if branch.chosen else ""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append_text(sparkline([branch.probability], limits=(0.0, 1.0)))
    line.append(f" {percent(branch.probability):>6}  ", style)
    line.append(visible(branch.text, spaces=True) or "∅", style)
    if hidden:
        line.append("  " + hidden, theme.QUIET)
    if branch.chosen:
        line.append(" ◀", theme.BAR_CHOSEN)
    return line
