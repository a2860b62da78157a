"""Which words of a sentence stay on one line: a word and the number that it names, a sign and what follows it, what is
explained and how its explanation begins."""

from __future__ import annotations

import re
from collections.abc import Callable

HELD = "\ue000"
"""Stands for a space while lines are made, at which none may end. What a stranger writes is shown without it."""
_NAMED = re.compile(
    r"[(“]?(after|layer|head|position|token|step|row|unit|neuron|feature|expert|id|rank|sample|line|pair|part|place|"
    r"text|segment|stream|number|dimension|message|seed|vector|index|byte|version|turn|change|column)s?",
    re.IGNORECASE,
)
"""A word that a number names one of."""
_NUMBER = re.compile(r"[(“~<>≤≥#]?[+−-]?\d[\d.,]*[%°]?")
_COUNTED = re.compile(r"[a-zµ]\S*")
_ENDS = (",", ".", ";", ":", ")", "”")
_BEFORE = frozenset("━─╌▼◀…●○█▒░┈│■◆→←×=+−-/≈±‖")
"""Signs that stay with what follows: those that a key explains, and those of a formula."""
_BETWEEN = frozenset("×±≈‖-−")
"""Signs that stay with what stands on either side."""
_DIFFERENCE = re.compile(f"{HELD}(?=[-−]{HELD})")
_PROPER = re.compile(r"[(“]?[A-Z][A-Za-z-]*")
"""A name, which may have a number: Gemma 2."""
_HEAD = re.compile(r"layer \d+ · head \d+", re.IGNORECASE)


def held(text: str, cells: int, width: Callable[[str], int] = len) -> str:
    """`text` with `HELD` in place of the spaces at which no line of so many cells ends; what would not fit is left."""
    made = _HEAD.sub(lambda found: found[0].replace(" ", HELD), text)
    words = [(found.start(), found[0]) for found in re.finditer(r"[^\s\ue000]+", made)]
    letters, first = list(made), 0
    for at in range(len(words) - 1):
        (_, before), (start, left), (following, right) = words[max(at - 1, 0)], words[at], words[at + 1]
        # "KL:", "Logit change:".
        explained = (left.endswith(":") and at - first < 2) or (right.endswith(":") and at == first)
        first = at + 1 if left.endswith((".", ";")) else first
        together = explained or _together(before, left, right)
        if following == start + len(left) + 1 and text[following - 1] == " " and together:
            letters[following - 1] = HELD
    parts = re.split(r"(\s+)", "".join(letters))
    for at, part in enumerate(parts):
        if width(part) > cells:  # Of a difference, the minus stays with what is taken away.
            pieces = _DIFFERENCE.split(part)
            parts[at] = " ".join(piece.replace(HELD, " ") if width(piece) > cells else piece for piece in pieces)
    return "".join(parts)


def released(text: str) -> str:
    """The same with its spaces."""
    return text.replace(HELD, " ")


def _together(before: str, left: str, right: str) -> bool:
    """Whether a line may not end between `left` and `right`."""
    if left.removeprefix("(") in _BEFORE or right in _BETWEEN:
        return True
    if right == "=" and _NUMBER.fullmatch(left):
        return True
    if re.match(r"\(?--\w", left):  # An option, with its value.
        return not right.startswith("-")
    if _NAMED.fullmatch(left) or _PROPER.fullmatch(left):
        return _NUMBER.match(right) is not None
    # A number of things, "64 steps"; the number of one, as in "layer 10 of", stands with the word in front.
    counts = _NUMBER.fullmatch(left) and not left.endswith(_ENDS) and not _NAMED.fullmatch(before)
    return bool(counts and _COUNTED.match(right))
