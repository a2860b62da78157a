"""Whether two outputs say the same: word for word, numbers to the precision of another machine's arithmetic.

float32 sums come out different in their last digit where a processor adds in another order, so a printed number may
differ by one in its last place, a bar by an eighth of a cell and a shade by one step. Times are not compared.
"""

from __future__ import annotations

import re

_TIME = re.compile(r"\d+(\.\d+)? ?(µs|ms|s)(?=\s|$)")
_RULE = re.compile("─+")
_PARTS = re.compile(r"(\s+)|(-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)|([▏▎▍▌▋▊▉█]+)")
_RAMPS = ("⠿⠶⠒⠂ ░▒▓█", " ▁▂▃▄▅▆▇█")
_PICTURE = set("⠿⠶⠒⠂░▒▓▁▂▃▄▅▆▇")
_EIGHTHS = "▏▎▍▌▋▊▉█"


def differences(expected: str, found: str) -> list[str]:
    """The lines that differ, as a person reads them; none where the outputs say the same."""
    before, after = expected.split("\n"), found.split("\n")
    wrong = [
        f"line {number}:\n  - {old}\n  + {new}"
        for number, (old, new) in enumerate(zip(before, after, strict=False), 1)
        if not same_line(old, new)
    ]
    if len(before) != len(after):
        wrong.append(f"{len(after)} lines instead of {len(before)}")
    return wrong


def same_line(old: str, new: str) -> bool:
    """Whether two lines say the same."""
    if old == new:
        return True
    if _PICTURE & set(old + new):
        return _same_picture(old, new)
    left, right = (_parts(_RULE.sub("─", _TIME.sub("‹time›", line))) for line in (old, new))
    return len(left) == len(right) and all(map(_same_part, left, right))


def _parts(line: str) -> list[str]:
    return [part for part in _PARTS.split(line) if part and not part.isspace()]


def _same_part(old: str, new: str) -> bool:
    if old == new:
        return True
    if old[-1] in _EIGHTHS and new[-1] in _EIGHTHS:
        return abs(_eighths(old) - _eighths(new)) <= 1
    return bool(_PARTS.fullmatch(old) and _PARTS.fullmatch(new)) and _same_number(old, new)


def _same_number(old: str, new: str) -> bool:
    places = {_places(old), _places(new)}
    try:
        difference = abs(float(old.replace(",", "")) - float(new.replace(",", "")))
    except ValueError:
        return False
    # What is printed without a point was counted.
    return places != {0.0} and difference <= 1.01 * max(places)


def _places(text: str) -> float:
    """One in the last place of a printed number; 0 for a whole one."""
    digits, _, exponent = text.partition("e")
    _, point, decimals = digits.partition(".")
    return float(10.0 ** (int(exponent or 0) - len(decimals))) if point or exponent else 0.0


def _eighths(bar: str) -> int:
    return sum(_EIGHTHS.index(cell) + 1 for cell in bar)


def _same_picture(old: str, new: str) -> bool:
    width = max(len(old), len(new))
    return all(
        a == b or any(a in ramp and b in ramp and abs(ramp.index(a) - ramp.index(b)) <= 1 for ramp in _RAMPS)
        for a, b in zip(old.ljust(width), new.ljust(width), strict=True)
    )
