"""How `tokenize --steps` looks: the text normalised and split, then what happened in each word."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from llminspect.core.numbers import number, several
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import shorten, visible
from llminspect.render.token_strip import token_strip
from llminspect.text.steps import MatchStep, MergeStep, PathStep, Steps, WordSteps

WORDS = 12
"""Words whose steps are drawn."""
LONGEST = 60
"""Cells of a word or piece that are drawn."""
TOKENS = 40
"""Tokens of a word that are listed."""
TRIED = 4
"""Attempts of a longest match that are named; of more the first and the last."""


def steps_view(steps: Steps) -> RenderableType:
    """The stages that every tokenizer has, then the words one by one."""
    parts: list[RenderableType] = [Text("how the tokens came to be", theme.TITLE)]
    if steps.normalised is not None:
        normalised = shorten(visible(steps.normalised, True), 10 * LONGEST)
        parts.append(Text.assemble(("normalised  ", theme.QUIET), normalised))
    if len(steps.words) > 1:
        pieces = [shorten(word.text, LONGEST) for word in steps.words]
        parts += [Text(), token_strip(pieces, ["text"] * len(pieces))]
        count = len(pieces) + steps.words_left_out
        parts.append(Text(f"split into {several(count, 'piece')}; no token crosses a cut", theme.QUIET))
    for word in steps.words[:WORDS]:
        parts += [Text(), word_view(word)]
    parts += [Text(), *(Text(line, theme.QUIET) for line in remarks(steps))]
    return Group(*parts)


def remarks(steps: Steps) -> list[str]:
    """What the numbers mean, and what was left out."""
    lines = []
    merges = [merge for word in steps.words for merge in word.merges]
    if any(merge.score is not None for merge in merges):
        lines.append(
            "of all pairs of neighbours the one that makes the piece with the highest score is merged, until none "
            "makes a piece"
        )
    elif merges:
        lines.append(
            "of all pairs of neighbours the one with the lowest rank (learned first) is merged, until no pair has a "
            "rank"
        )
    elif any(word.matches for word in steps.words):
        lines.append("the longest piece of the vocabulary that fits is taken, from the left; ## goes on inside a word")
    elif any(word.path for word in steps.words):
        lines.append("of all ways to cut a word, the one with the highest sum of scores (log probabilities) is taken")
    unseen = len(steps.words) - WORDS + steps.words_left_out
    if unseen > 0:
        lines.append(f"the steps of {several(unseen, 'more piece')} are left out")
    return lines


def word_view(word: WordSteps) -> RenderableType:
    """A word, its steps, its tokens."""
    head = Text(shorten(visible(word.text, True), LONGEST), theme.STRONG)
    if word.special:
        return Text.assemble(head, ("  a special token, not cut  ", theme.QUIET), str(word.ids[0]))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", no_wrap=True, style=theme.QUIET)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(overflow="fold")
    if word.symbols and len(word.symbols) > 1:
        grid.add_row("", Text("symbols", theme.QUIET), joined(word.symbols))
    for merge in word.merges:
        grid.add_row(*merge_row(merge))
    for match in word.matches:
        grid.add_row(*match_row(match))
    for path in word.path:
        grid.add_row(*path_row(path))
    if word.left_out:
        grid.add_row("", Text(f"… {several(word.left_out, 'more step')}", theme.QUIET), "")
    return Group(head, *([grid] if grid.row_count else []), tokens_line(word))


def tokens_line(word: WordSteps) -> Text:
    line = Text("  → ", theme.QUIET)
    whole = Text()
    for token, token_id in list(zip(word.tokens, word.ids, strict=True))[:TOKENS]:
        whole.append(visible(token, True), theme.CHOSEN)
        whole.append(f" {token_id}   ", theme.QUIET)
    return Text.assemble(line, whole, "…" if len(word.ids) > TOKENS else "")


def joined(parts: list[str], made: str | None = None) -> Text:
    """The parts of a word side by side; what was just made stands out."""
    line = Text(overflow="fold")
    for index, part in enumerate(parts):
        line.append(" " if index else "")
        line.append(visible(part, True), theme.CHOSEN if part == made else "")
    return line


def merge_row(merge: MergeStep) -> tuple[str, Text, Text]:
    rank = f"score {number(merge.score)}" if merge.score is not None else f"rank {merge.rank:,}"
    pair = Text.assemble(visible(merge.left, True), (" + ", theme.QUIET), visible(merge.right, True))
    made = merge.left + merge.right
    return rank, pair, joined(merge.parts, made if made in merge.parts else None)


def match_row(match: MatchStep) -> tuple[str, Text, Text]:
    tried = [visible(text, True) for text in match.tried[: -1 if match.found is not None else None]]
    named = [*tried[: TRIED - 1], f"… {len(tried) - TRIED:,} more …", tried[-1]] if len(tried) > TRIED else tried
    found = Text(visible(match.found, True), theme.CHOSEN) if match.found is not None else Text("none fits: unknown")
    return "longest match", found, Text("not " + ", ".join(named) if named else "", theme.QUIET)


def path_row(path: PathStep) -> tuple[str, Text, Text]:
    return (
        f"score {number(path.score)}",
        Text(visible(path.text, True), theme.CHOSEN),
        Text(f"sum {number(path.total)}", theme.QUIET),
    )
