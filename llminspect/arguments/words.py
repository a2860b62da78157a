"""Which tokens of the text a word means."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from llminspect.arguments.ranges import is_index, shortened
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.text.prompt import Prompt


Word: TypeAlias = str | int
"""A word of the text, or the index of a token."""
Pair: TypeAlias = str | tuple[Word, Word]
"""`"her->Alice"`, from Python `("her", "Alice")` or `(4, 0)` as well."""


def find_word(prompt: Prompt, word: Word, option: str) -> list[int]:
    """The indices of the tokens that a word, or an index, means.

    The text of a number below the count of tokens is an index. A word is a token that reads so, or several in a row
    that spell it. Raises UsageError where it is not there, or there several times.
    """
    tokens = len(prompt.tokens)
    if isinstance(word, int):
        if not 0 <= word < tokens:
            raise UsageError(f"{option}: there is no token {word}", f"tokens run from 0 to {tokens - 1}")
        return [word]
    if is_index(word) and int(word) < tokens:
        return [int(word)]
    places = _places(prompt, word)
    if len(places) > 1:
        named = ", ".join("-".join(map(str, sorted({place[0], place[-1]}))) for place in places)
        raise UsageError(
            f"{option}: {shortened(word)!r} is in the text {len(places)} times", f"give one of the tokens: {named}"
        )
    if not places:
        shown = " ".join(f"{index}:{label.strip()}" for index, label in enumerate(prompt.labels[:12]))
        more = " …" if tokens > 12 else ""
        raise UsageError(f"{option}: {shortened(word)!r} is not in the text", f"its tokens are {shown}{more}")
    return places[0]


def _places(prompt: Prompt, word: str) -> list[list[int]]:
    """Each place where the tokens read `word`: the token itself, or several in a row that spell it."""
    labels = [label.strip() for label in prompt.labels]
    exact = [[index] for index, label in enumerate(labels) if label == word.strip()]
    if exact:
        return exact
    found = []
    data = [token.data for token in prompt.tokens]
    wanted = word.strip().encode("utf-8", "surrogateescape")
    for first in range(len(data)):
        if not data[first].strip():
            continue
        joined = b""
        for last in range(first, len(data)):
            joined += data[last].removeprefix(b"##") if last > first else data[last]
            if joined.strip() == wanted:
                found.append(list(range(first, last + 1)))
            if not wanted.startswith(joined.strip()):
                break
    return found or _places_in_text(prompt, word.strip())


def _places_in_text(prompt: Prompt, word: str) -> list[list[int]]:
    """The tokens that were cut from each place of the text where the word stands, however the vocabulary spells it."""
    import re

    text = prompt.text or ""
    found = []
    for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text):
        start, end = (len(text[:place].encode("utf-8", "surrogateescape")) for place in match.span())
        found.append(
            [
                index
                for index, token in enumerate(prompt.tokens)
                if token.start is not None and token.end is not None and token.start < end and token.end > start
            ]
        )
    return [place for place in found if place]


def parse_pair(pair: Pair) -> tuple[Word, Word]:
    """`her->Alice` (or `her→Alice`) as its two words."""
    if not isinstance(pair, str):
        return pair
    query, arrow, key = pair.replace("→", "->").partition("->")
    if not arrow or not query.strip() or not key.strip():
        raise UsageError(f"--find cannot read {shortened(pair)!r}", 'who looks at whom: "her->Alice"')
    return query.strip(), key.strip()
