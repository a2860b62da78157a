"""The turns of a chat, as its tokens tell: where each ends, and whose it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from llminspect.core.dataclass import dataclass
from llminspect.text.tokenizer import Token

LONGEST_ROLE = 24


@dataclass(frozen=True)
class ChatTurn:
    """One turn: its tokens from `first` up to, and without, `end`."""

    role: str
    """As the template writes it; "no role" where it writes none."""
    first: int
    end: int


def turns_of(tokens: Sequence[Token], ends: Collection[int]) -> list[ChatTurn]:
    """The turns, each with the token that ends it and the blanks that the template puts after that.

    Between them nothing is lost: each begins where the one before it ends.
    """
    turns: list[ChatTurn] = []
    first = at = 0
    while at < len(tokens):
        at += 1
        if tokens[at - 1].id in ends and at - 1 > first:
            while at < len(tokens) and tokens[at].start is None and not tokens[at].data.strip():
                at += 1
            turns.append(ChatTurn(_role(tokens[first:at]), first, at))
            first = at
    return [*turns, ChatTurn(_role(tokens[first:]), first, len(tokens))] if first < len(tokens) else turns


def _role(tokens: Sequence[Token]) -> str:
    """The template's word after the first special token, up to the next one or the line's end."""
    word, seen = b"", False
    for token in tokens:
        if token.special:
            if word.strip():
                break
            seen, word = True, b""
        elif not seen or token.start is not None:
            break
        else:
            before, line_end, _ = token.data.partition(b"\n")
            word += before
            if line_end and word.strip():
                break
    text = word.decode("utf-8", "replace").strip()
    return text if 0 < len(text) <= LONGEST_ROLE else "no role"
