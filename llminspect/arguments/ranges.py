"""Numbers and ranges of layers, heads and positions: `0,3-5`."""

from __future__ import annotations

from llminspect.errors import UsageError


def select(text: str | None, count: int, what: str, option: str) -> list[int] | None:
    """`0,3-5` as [0, 3, 4, 5]; None stays None. Raises UsageError for what is not a number or does not exist."""
    if text is None:
        return None
    chosen: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"{option} {text!r} is not a number or a range", f"for example {option} 0,3-5")
        chosen += range(int(first), (int(last) if dash else int(first)) + 1)
        check_exists(chosen[-1] if chosen else int(first), count, what)
    return sorted(set(chosen))


def check_exists(index: int, count: int, what: str) -> None:
    """Raise UsageError where there is no layer, head or position of that number; the line says which there are."""
    if not 0 <= index < count:
        have = f"the {what}s run from 0 to {count - 1}" if count else f"this model has no {what}s"
        raise UsageError(f"there is no {what} {index}", have)


def parse_choice(text: str | None, what: str, count: int) -> list[int] | None:
    """`0,3-5` as [0, 3, 4, 5]; None for nothing. `what` is "layer" or "head", of which there are `count`.

    Raises UsageError that says which there are.
    """
    if text is None:
        return None
    have = f"{what}s run from 0 to {count - 1}" if count > 1 else f"the only {what} is 0"
    chosen: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not is_number(low) or (dash and not is_number(high)):
            raise UsageError(f"--{what} cannot read {text!r}", f"numbers and ranges: 0,3-5; {have}")
        first, last = int(low), int(high or low)
        if max(first, last) >= count:
            raise UsageError(f"there is no {what} {max(first, last)}", have)
        if first > last:
            raise UsageError(f"--{what} {part.strip()} runs backwards", f"write {last}-{first}")
        chosen.update(range(first, last + 1))
    return sorted(chosen)


def is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
