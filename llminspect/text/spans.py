"""From the places that the `tokenizers` library gives tokens to spans of bytes that tile the input.

The library counts in characters, gives what normalizing adds the place of a neighbour, gives each token of a part of a
character the whole of it, and gives a composed character the place of its first part alone. The rule here: spans are
in order and do not overlap, and together they are the input but for characters that the tokenizer drops (white
space, control characters); what is added has an empty span; a composed character owns all that it was made from.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import le, lt

from llminspect.text.tokenizer import utf8

Places = list[tuple[int, int]]
"""From and to before which character or byte."""


def byte_spans(text: str, at: int, offsets: Places, data: Sequence[bytes]) -> Places:
    """The span of each token. `offsets` are the library's places in `text`, whose first byte is byte `at` of the input;
    `data` the bytes that each token stands for."""
    byte_at = list(accumulate((len(utf8(character)) for character in text), initial=at))
    spans: Places = []
    first = end = 0
    # A mark that was taken off with no letter before it belongs to the first token.
    before = text[: offsets[0][0]] if offsets else ""
    marked = next((i for i, character in enumerate(before) if not _is_dropped(character)), None)
    while first < len(offsets):
        after = first + 1
        begin, reached = max(end, offsets[first][0]), max(end, offsets[first][1])
        if first == 0 and marked is not None and reached > begin:
            begin = marked
        while after < len(offsets) and offsets[after][0] < reached:
            reached = max(reached, offsets[after][1])
            after += 1
        last = offsets[after][0] if after < len(offsets) else len(text)
        # What no token has, as a mark that was composed with the letter before it, belongs to what stands before it.
        while last > reached and _is_dropped(text[last - 1]):
            last -= 1
        end = max(reached, last)
        spans += _shared(text, (begin, end), byte_at, offsets[first:after], data[first:after])
        first = after
    return spans


def plain_spans(text: str, offsets: Places) -> tuple[list[int], list[int]] | None:
    """Where each token starts and ends, in bytes from the text's first on: what `byte_spans` gives, but sooner. None
    where places are empty or overlap, or where something else than white space is between them."""
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    if not all(map(lt, starts, ends)) or not all(map(le, ends, starts[1:])):
        return None
    between = "".join(map(text.__getitem__, map(slice, [0, *ends], [*starts, len(text)])))
    if between and not between.isspace():
        return None
    if text.isascii():
        return starts, ends
    sizes = (1 if c < "\x80" else 2 if c < "\u0800" else 3 if c < "\U00010000" else 4 for c in text)
    byte_at = list(accumulate(sizes, initial=0))
    return [byte_at[start] for start in starts], [byte_at[end] for end in ends]


def _is_dropped(character: str) -> bool:
    return character.isspace() or character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs")


def _spaces(text: str) -> int:
    """How many spaces stand in front; ▁ is one."""
    return next((i for i, character in enumerate(text) if not (character.isspace() or character == "▁")), len(text))


def _shared(
    text: str, stretch: tuple[int, int], byte_at: Sequence[int], offsets: Places, data: Sequence[bytes]
) -> Places:
    """The spans of tokens that the library gives the same characters, or one token's alone."""
    begin, end = stretch
    if len(offsets) == 1:
        return [(byte_at[begin], byte_at[begin if offsets[0][0] == offsets[0][1] else end])]
    source = text[begin:end]
    lengths, joined = [len(part) for part in data], b"".join(data)
    # A space that was put in front: more of them stand there than in the input.
    more = _spaces(joined.decode("utf-8", "replace")) - _spaces(source)
    added = max(0, more) if joined[:1] == b" " else 0
    for i in range(len(lengths)):
        taken = min(added, lengths[i])
        lengths[i], added = lengths[i] - taken, added - taken
    cuts = list(accumulate(lengths, initial=byte_at[begin]))
    if joined[len(joined) - sum(lengths) :] == utf8(source) or (end == begin + 1 and cuts[-1] == byte_at[end]):
        return list(pairwise(cuts))
    return _first_come(stretch, byte_at, offsets, lengths)


def _first_come(stretch: tuple[int, int], byte_at: Sequence[int], offsets: Places, lengths: Sequence[int]) -> Places:
    """A character belongs to the first token that has some of it; a token of which nothing is left has none."""
    cuts = [stretch[0]]
    final = max((i for i, length in enumerate(lengths) if length), default=len(lengths) - 1)
    for i, (_, last) in enumerate(offsets):
        if i < final and lengths[i]:
            cuts.append(max(cuts[-1], last))
        else:
            cuts.append(cuts[-1] if i < final else stretch[1])
    return [(byte_at[start], byte_at[end]) for start, end in pairwise(cuts)]
