"""`--align`: which tokens of two texts stand for one another, where the texts have different numbers of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from llminspect.arguments.option import Texts, each
from llminspect.arguments.ranges import LONGEST, RANGE, is_index, shortened
from llminspect.arguments.words import find_word
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.text.prompt import Prompt

EXAMPLE = '"France=New Zealand", 3=5, 2-4=3-5, -1=-1 (from the end), start, end'
FROM_END = re.compile(rf"-([0-9]{{1,{LONGEST}}})")


@dataclass(frozen=True)
class Aligned:
    """Positions of this text, each with that of the other text that it takes from."""

    pairs: list[tuple[int, int]]
    left_out: list[int]
    """Positions of this text that stand for none of the other …"""
    left_out_there: list[int]
    """… and the other way round."""


def parse_alignment(align: Texts, here: Prompt, there: Prompt) -> Aligned:
    """`start` and `end` count from there, as far as the shorter text goes. Else each entry is `word=word`: token by
    token where both have as many, or the last with the last; before, between and after them the tokens are aligned one
    by one where both texts have as many, and left out where they do not, or where the words cross.

    Raises UsageError for what is not in its text, or there several times, and for a token that is named twice.
    """
    tokens, others = len(here.tokens), len(there.tokens)
    entries = [entry.strip() for entry in each(align)]
    if not entries:
        raise UsageError("--align is empty", f"as in {EXAMPLE}")
    if len(entries) > tokens:
        raise UsageError(f"--align has {len(entries)} pairs for {tokens} tokens", "name each token once")
    if len(entries) == 1 and entries[0] in ("start", "end"):
        first, shorter = entries[0] == "start", min(tokens, others)
        steps = range(shorter)
        pairs = [(at, at) if first else (tokens - shorter + at, others - shorter + at) for at in steps]
    else:
        pairs = _around([_block(entry, here, there) for entry in entries], tokens, others)
    return Aligned(
        pairs,
        sorted(set(range(tokens)) - {at for at, _ in pairs}),
        sorted(set(range(others)) - {at for _, at in pairs}),
    )


def _block(entry: str, here: Prompt, there: Prompt) -> tuple[list[int], list[int]]:
    """The tokens of both sides of `word=word`."""
    sides = entry.split("=")
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise UsageError(f"--align cannot read {shortened(entry)!r}", f"as in {EXAMPLE}")
    what = f"--align {shortened(entry)!r}"
    return _tokens(sides[0].strip(), here, f"{what}, this text"), _tokens(sides[1].strip(), there, f"{what}, the other")


def _tokens(text: str, prompt: Prompt, what: str) -> list[int]:
    """`3`, `3-5`, `-1` from the end, or a word."""
    count = len(prompt.tokens)
    found, back = RANGE.fullmatch(text), FROM_END.fullmatch(text)
    if back is not None:
        first = last = count - int(back[1])
    elif found is not None and found[2] is not None:
        first, last = int(found[1]), int(found[2])
    elif is_index(text):
        first = last = int(text)
    else:
        return find_word(prompt, text, what)
    if not 0 <= first <= last < count:
        raise UsageError(f"{what}: there is no token {text}", f"tokens run from 0 to {count - 1}")
    return list(range(first, last + 1))


def _around(blocks: Sequence[tuple[list[int], list[int]]], tokens: int, others: int) -> list[tuple[int, int]]:
    """The pairs within the blocks, and between them where both sides have as many tokens."""
    for side, name in enumerate(("this text", "the other text")):
        named = [at for block in blocks for at in block[side]]
        twice = [at for at, before in pairwise(sorted(named)) if at == before]
        if twice:
            raise UsageError(f"--align names token {twice[0]} of {name} twice", "name each token once")
    ordered = [([-1], [-1]), *sorted(blocks), ([tokens], [others])]
    pairs = []
    crossing = any(one[1][0] > two[1][0] for one, two in pairwise(ordered))
    for before, (here, there) in pairwise(ordered):
        gap, other = range(before[0][-1] + 1, here[0]), range(before[1][-1] + 1, there[0])
        pairs += list(zip(gap, other, strict=True)) if len(gap) == len(other) and not crossing else []
        pairs += list(zip(here, there, strict=True)) if len(here) == len(there) else [(here[-1], there[-1])]
    return pairs[:-1]
