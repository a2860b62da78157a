"""Which layers, heads and tokens the command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.arguments.ranges import is_number
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.text.prompt import Prompt


def find_word(prompt: Prompt, word: str, option: str) -> list[int]:
    """The indices of the tokens that a word, or an index, means.

    A number below the count of tokens is an index. A word is a token that reads so, or several in a row that spell it.
    Raises UsageError where it is not there, or there several times.
    """
    tokens = len(prompt.tokens)
    if is_number(word) and int(word) < tokens:
        return [int(word)]
    places = _places(prompt, word)
    if len(places) > 1:
        named = ", ".join("-".join(map(str, sorted({place[0], place[-1]}))) for place in places)
        raise UsageError(f"{option}: {word!r} is in the text {len(places)} times", f"give one of the tokens: {named}")
    if not places:
        shown = " ".join(f"{index}:{label.strip()}" for index, label in enumerate(prompt.labels[:12]))
        more = " …" if tokens > 12 else ""
        raise UsageError(f"{option}: {word!r} is not in the text", f"its tokens are {shown}{more}")
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


def parse_pair(text: str) -> tuple[str, str]:
    """`her->Alice` (or `her→Alice`) as its two words."""
    query, arrow, key = text.replace("→", "->").partition("->")
    if not arrow or not query.strip() or not key.strip():
        raise UsageError(f"--find cannot read {text!r}", 'who looks at whom: "her->Alice"')
    return query.strip(), key.strip()
