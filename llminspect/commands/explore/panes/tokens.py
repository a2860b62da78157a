"""How the text is cut, and how other tokenizers cut it; of a chat the turns as blocks, with their role tokens."""

from __future__ import annotations

from rich.console import RenderableType

from llminspect.analysis.explore.turns import turns_of
from llminspect.commands.explore.panes import Seen
from llminspect.commands.explore.strip import part_of_strip
from llminspect.commands.tokenize.view import render
from llminspect.core.numbers import several
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.section import page

MOST_TURNS = 20


def view(seen: Seen) -> RenderableType:
    blocks = _blocks(seen) if seen.state.chat else []
    return page([*blocks, *(render(result) for _, result in seen.found)])  # type: ignore[arg-type]


def _blocks(seen: Seen) -> list[RenderableType]:
    """A block a turn: its role, how many tokens it takes, and all of them, those of the template as well."""
    turns = turns_of(seen.prompt.tokens, seen.model.eos_ids)
    blocks: list[RenderableType] = []
    for number, turn in enumerate(turns[:MOST_TURNS]):
        title = Text.assemble((f"turn {number}: {visible(turn.role)}", theme.TITLE))
        title.append(f"  {several(turn.end - turn.first, 'token')}", theme.QUIET)
        blocks.append(Text("\n").join([title, part_of_strip(seen.state, seen.prompt, turn.first, turn.end)]))
    left = len(turns) - len(blocks)
    return [*blocks, Text(f"and {several(left, 'turn')} more", theme.QUIET)] if left > 0 else blocks
