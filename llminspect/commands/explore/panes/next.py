"""The next token: bars, the tokens that the filters cut away, and the tree of those that were taken."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.style import Style

from llminspect.analysis.candidates import ProbableToken, RankedToken
from llminspect.analysis.explore.state import ExploreState
from llminspect.analysis.forward_result import ForwardResult
from llminspect.analysis.generate import GenerateResult
from llminspect.analysis.result import Result
from llminspect.commands.explore.panes import Seen
from llminspect.core.numbers import percent, signed
from llminspect.model.opened import Model
from llminspect.render import theme
from llminspect.render.bars import bar
from llminspect.render.prose import Text
from llminspect.render.safe import fit, visible, width

LONGEST_LABEL, BAR_CELLS, BESIDE_CELLS, MOST_BRANCHES = 24, 30, 16, 12


def next_candidates(result: Result) -> list[ProbableToken]:
    """The tokens that can be taken, the most probable first."""
    if isinstance(result, GenerateResult) and result.steps:
        step = result.steps[0]
        found = [ProbableToken(step.id, step.text, step.prob), *step.alternatives]
        return sorted(found, key=lambda one: (-one.prob, one.id))
    if isinstance(result, ForwardResult) and result.next:
        return [ProbableToken(one.id, one.text, one.prob) for one in result.next]
    return []


def view(seen: Seen) -> RenderableType:
    parts: list[RenderableType] = []
    settings: list[RenderableType] = []
    in_question: list[RankedToken] = []
    for _, result in seen.found:
        tokens = next_candidates(result)
        if isinstance(result, ForwardResult) and result.target is not None and parts:
            in_question.append(result.target)
        elif tokens:
            parts += _bars(tokens, seen.chosen, _left(result))
        elif isinstance(result, ForwardResult):
            from llminspect.commands.forward.view import render

            parts.append(render(result))
        if isinstance(result, GenerateResult) and result.steps and result.steps[0].filters is not None:
            from llminspect.commands.generate.view import filter_tables

            settings += [Text(), Text("what the settings leave", theme.TITLE), filter_tables(result.steps[0])]
    parts += [*_in_question(seen.state, in_question), *settings]
    if seen.state.taken:
        parts += [Text(), Text("tokens taken", theme.TITLE), *tree_lines(seen.model, seen.state)]
    return Group(*parts)


def _in_question(state: ExploreState, tokens: Sequence[RankedToken]) -> Iterator[Text]:
    """The target, what it is compared with, and by how much the one's logit is above the other's."""
    names = [name for name in ("target", "versus") if getattr(state, name) is not None]
    for name, token in zip(names, tokens, strict=False):
        rank = f"rank {token.rank} (0: the most probable)"
        line = Text(f"{name} {visible(token.text, True)} {percent(token.prob, 2)}, {rank}", no_wrap=True)
        line.overflow = "ellipsis"
        yield line
    if len(tokens) > 1 and all(token.prob > 0 for token in tokens):
        apart = math.log(tokens[0].prob) - math.log(tokens[1].prob)
        yield Text(
            f"logit of target - logit of versus: {signed(apart, 3)}", theme.QUIET, no_wrap=True, overflow="ellipsis"
        )


def _left(result: Result) -> dict[int, float] | None:
    """What the filters left of each token, by its id; None where there are none."""
    filters = result.steps[0].filters if isinstance(result, GenerateResult) and result.steps else None
    return None if filters is None else {token.id: token.probs[-1] for token in filters.tokens}


def _bars(tokens: Sequence[ProbableToken], chosen: int, left: dict[int, float] | None) -> list[RenderableType]:
    names = [visible(token.text, True) for token in tokens]
    cells = min(LONGEST_LABEL, max(map(width, names)))
    longest = BAR_CELLS if left is None else BESIDE_CELLS
    bars = [bar(float(token.prob), longest) for token in tokens]
    widest = max(map(width, bars))
    lines: list[RenderableType] = []
    for index, (token, name, drawn) in enumerate(zip(tokens, names, bars, strict=True)):
        mark = "▶ " if index == min(chosen, len(tokens) - 1) else "  "
        line = Text(mark + fit(name, cells), theme.STRONG if mark.strip() else "", no_wrap=True, overflow="crop")
        line.append(f" {percent(token.prob, 2):>7} ")
        line.append(drawn, theme.BAR_CHOSEN if mark.strip() else theme.BAR)
        if left is not None and token.id in left:
            kept = left[token.id]
            room = " " * (widest - width(drawn) + 1)
            line.append(room + (f"drawn with {percent(kept, 2):>7}" if kept else "cut"), theme.QUIET)
        line.stylize(Style.from_meta({"candidate": index}))
        lines.append(line)
    rest = max(0.0, 1 - sum(float(token.prob) for token in tokens))
    return [*lines, Text(f"all other tokens together {percent(rest, 2)}", theme.QUIET)]


def tree_lines(model: Model, state: ExploreState) -> list[Text]:
    """The tokens that were taken, as a tree; ● is where the text ends."""
    lines: list[Text] = []
    open_ = [(number, 0) for number in reversed(state.children(None))]
    while open_ and len(lines) < MOST_BRANCHES:
        number, depth = open_.pop()
        token = state.taken[number].id
        data = str(token).encode() if model.tokenizer is None else model.tokenizer.shown_bytes(token)
        here = number == state.at
        name = visible(data.decode("utf-8", "replace"), True)
        line = Text(f"{'  ' * depth}{'● ' if here else '└ '}{name}", theme.STRONG if here else "", no_wrap=True)
        line.stylize(Style.from_meta({"node": number}))
        lines.append(line)
        open_ += [(child, depth + 1) for child in reversed(state.children(number))]
    return [*lines, Text("…")] if open_ else lines
