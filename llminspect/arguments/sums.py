"""Sums of words: `king - man + woman`, `2*Paris - France`."""

from __future__ import annotations

import re

from llminspect.errors import UsageError


def signed_words(expression: str) -> list[tuple[int, str]]:
    """`king - man + woman` as [(1, "king"), (−1, "man"), (1, "woman")]; a sign is one between spaces, or the first."""
    parts = re.split(r"(?:^|\s+)([+-])\s+", expression.strip())
    first = [(1, parts[0])] if parts[0] else []
    rest = [(1 if sign == "+" else -1, word) for sign, word in zip(parts[1::2], parts[2::2], strict=True)]
    words = [(sign, word.strip()) for sign, word in [*first, *rest]]
    if not all(word for _, word in words) or not words:
        raise UsageError(f"{expression!r} is not words with + and − between them", 'for example "London - Paris"')
    return words


_TERM = re.compile(
    r"""\s* (?P<sign>[+\-−–]?) \s*
        (?: (?P<factor>\d+(?:\.\d+)?) \s* [*·×] \s* )?
        (?: "(?P<quoted>[^"]+)" | '(?P<single>[^']+)' | (?P<word>[^\s+\-−–*·×"']+) )""",
    re.VERBOSE,
)


def parse_expression(expression: str) -> list[tuple[float, str]]:
    """`king - man + woman`, `2*Paris - France + Italy`: each word with its factor.

    A word that holds a sign or a space goes in quotes. Raises UsageError for what is not such a sum.
    """
    terms: list[tuple[float, str]] = []
    place = 0
    while expression[place:].strip():
        found = _TERM.match(expression, place)
        if found is None or (terms and not found["sign"]):
            raise UsageError(
                f"--analogy cannot read {expression[place:].strip()!r} in {expression!r}",
                'words with + and - between them: "king - man + woman"',
            )
        sign = -1.0 if found["sign"] in ("-", "−", "–") else 1.0
        terms.append((sign * float(found["factor"] or 1), found["quoted"] or found["single"] or found["word"]))
        place = found.end()
    if not terms:
        raise UsageError("--analogy is empty", 'give a sum of words: "king - man + woman"')
    return terms
