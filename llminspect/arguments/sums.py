"""Sums of words: `king - man + woman`, `2*Paris − France`, and with a place `London - Paris@10*1.5`."""

from __future__ import annotations

import math
import re

from llminspect.arguments.ranges import is_index, shortened
from llminspect.errors import UsageError

_FRONT = r"""\s* (?P<sign>[+\-−–]?) \s* (?: (?P<factor>[0-9]{1,30}(?:\.[0-9]{1,30})?) \s* [*·×] \s* )?
    (?: "(?P<double>[^"]+)" | '(?P<single>[^']+)' | (?P<word>"""
_PIECE = r"""[^\s+\-−–*·×"'] [^\s−–*·×"]*"""
_WORD = re.compile(rf"""{_FRONT} [^\s+\-−–*·×"']+ ) )""", re.VERBOSE)
_PHRASE = re.compile(rf"""{_FRONT} {_PIECE} (?: (?<![+\-])\s+{_PIECE} )* ) ) (?=\s|[−–]|$)""", re.VERBOSE)


def parse_sum(expression: str, option: str, *, phrases: bool = False) -> list[tuple[float, str]]:
    """`king - man + woman`, `2*Paris − France`: each word with its factor.

    A word that holds a sign, a `*` or a space goes in quotes. With `phrases` it may hold spaces, and `-` and `+` inside
    (`New York - well-known`), so that a sign has a space before it. Raises UsageError for what is not such a sum.
    """
    terms: list[tuple[float, str]] = []
    place, pattern = 0, _PHRASE if phrases else _WORD
    while expression[place:].strip():
        found = pattern.match(expression, place)
        if found is None or (terms and not found["sign"]):
            raise UsageError(
                f"{option} cannot read {shortened(expression[place:].strip())!r} in {shortened(expression)!r}",
                'words with + and - between them: "king - man + woman"',
            )
        sign = -1.0 if found["sign"] in ("-", "−", "–") else 1.0
        terms.append((sign * float(found["factor"] or 1), found["double"] or found["single"] or found["word"]))
        place = found.end()
    if not terms:
        raise UsageError(f"{option} is empty", 'give a sum of words: "king - man + woman"')
    return terms


def parse_direction(text: str, option: str = "--steer") -> tuple[str, list[tuple[float, str]], int, float]:
    """`London - Paris@10*1.5`: the sum as it stands there, its words with their factors, the layer, the factor.

    Quotes around the whole sum are dropped, and a sum without a factor has 1. Raises UsageError.
    """
    example = f'for example {option} "London - Paris@10*1"'
    expression, at, place = text.rpartition("@")
    layer, star, factor = place.partition("*")
    expression = expression.strip()
    if expression[:1] in ('"', "'") and expression.find(expression[0], 1) == len(expression) - 1:
        expression = expression[1:-1].strip()
    if not at or not expression or not is_index(layer.strip()):
        raise UsageError(f"{option} {shortened(text)!r} does not say words@layer*factor", example)
    times = parse_factor(factor) if star else 1.0
    if times is None:
        raise UsageError(f"{option}: {shortened(factor)!r} is not a number", example)
    return expression, parse_sum(expression, option, phrases=True), int(layer), times


def parse_factor(text: str) -> float | None:
    """A finite number in the digits 0 to 9, with the minus sign of the keyboard or of print; None for all else."""
    found = re.fullmatch(
        r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?", text.strip().replace("−", "-")
    )
    value = float(found[0]) if found else math.inf
    return value if math.isfinite(value) else None
