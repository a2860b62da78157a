"""Numbers as a reader wants them: no more digits than they have, the same number of decimals in a column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_SPECIAL = {math.inf: "∞", -math.inf: "-∞"}


def number(value: float, digits: int = 4) -> str:
    """One number, with at most `digits` significant digits and no trailing zeros.

    A float32 is written as the shortest decimal that means it: 0.74, not 0.7400000095. Whole digits are never
    rounded away below a million; beyond that, and below 0.0001, the form is 1.2e-5.
    """
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    value = _shortest(value)
    if not math.isfinite(value):
        return _SPECIAL.get(value, "nan")
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    text = fixed(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))
    return text.rstrip("0").rstrip(".") if "." in text else text


def column(values: Iterable[float], digits: int = 4) -> list[str]:
    """Numbers that stand under each other: the same decimals in all, padded on the left to one width.

    The largest has `digits` significant digits; fewer decimals where every number is exact with fewer. Where the
    magnitudes are too far apart for one number of decimals (or not finite), each is written by `number`.
    """
    values = [value if isinstance(value, (int, np.integer)) else _shortest(value) for value in values]
    finite = [abs(value) for value in values if math.isfinite(value) and value != 0]
    if not finite or max(finite) >= 1e6 or max(finite) < 1e-4:
        texts = [number(value, digits) for value in values]
    else:
        most = max(0, digits - 1 - math.floor(math.log10(max(finite))))
        written = [fixed(value, most).partition(".")[2] for value in values if math.isfinite(value)]
        decimals = max(len(text.rstrip("0")) for text in written)
        texts = [fixed(value, decimals) if math.isfinite(value) else number(value) for value in values]
    wide = max(map(len, texts), default=0)
    return [text.rjust(wide) for text in texts]


def aligned(*values: float, digits: int = 4) -> list[str]:
    """Numbers of one quantity in a sentence: the same decimals in all, as in a column."""
    return [text.strip() for text in column(values, digits)]


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals. As at school, the half of a decimal goes up, away from 0, and what counts is the
    shortest decimal that means the number: 4.625 is 4.63, 5.375 is 5.38, and so is 2.675 2.68."""
    if not math.isfinite(value) or abs(value) >= 1e15:
        return f"{value:.{decimals}f}"
    written = Decimal(repr(_shortest(value))).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{written if written else abs(written):f}"


def signed(value: float, decimals: int) -> str:
    """A change, rounded as by `fixed`: `+0.13`, `-0.13`; what rounds to 0 has no sign."""
    text = fixed(value, decimals)
    return f"+{text}" if float(text) > 0 else text


def added_up(terms: Sequence[float], total: float, digits: int = 4) -> tuple[list[str], str, str]:
    """The terms of a sum, the sign between, and the sum, so that what is shown adds up: with the fewest decimals, from
    those of `digits` digits on, with which it does; with ≈ where it does with none.

    >>> added_up([-0.0617, 4.9812, 12.4523], 17.3718)
    (['-0.0617', '4.9812', '12.4523'], '=', '17.3718')
    """
    values = [_shortest(value) for value in (*terms, total)]
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    least = max(0, digits - 1 - math.floor(math.log10(largest))) if largest else 0
    for decimals in range(least, least + 4):
        parts = [fixed(value, decimals) for value in values]
        if all(map(math.isfinite, values)) and sum(map(Decimal, parts[:-1])) == Decimal(parts[-1]):
            return parts[:-1], "=", parts[-1]
    parts = [fixed(value, least) for value in values]
    return parts[:-1], "≈", parts[-1]


def largest_first(values: Sequence[float], *, digits: int = 4, decimals: int | None = None) -> list[int]:
    """The places of the values, the largest first; of those that are equal as they are shown the first first.

    Shown are so many `decimals`, or `digits` of the largest. So a list has one order on every machine, though the last
    bits of its numbers are not those of another.

    >>> largest_first([0.1, 0.70000001, 0.7, 0.70000002])
    [1, 2, 3, 0]
    """
    sizes_N = np.array([value if math.isfinite(value) else -math.inf for value in values], dtype=np.float64)
    finite = np.abs(sizes_N[np.isfinite(sizes_N)])
    most = float(finite.max()) if finite.size else 0.0
    places = decimals if decimals is not None else digits - 1 - math.floor(math.log10(most)) if most else 0
    # The half of a decimal up, as in `fixed`; a little more, since 100 times 1.005 is less than 100.5.
    shown_N = np.copysign(np.floor(np.abs(sizes_N) * 10.0 ** min(places, 100) + 0.5 + 1e-9), sizes_N)
    return [int(at) for at in np.argsort(-shown_N, kind="stable")]


def vector(values: ArrayLike, limit: int = 8, digits: int = 4) -> str:
    """A vector on one line; of a longer one the first `limit` numbers and how many there are.

    `[0.3, 0.4]`, `[0.31, -0.02, …]  576 numbers`
    """
    row = np.asarray(values).ravel()
    shown = ", ".join(
        text.strip() for text in column(row[:limit].tolist() if row.dtype.kind in "iu" else row[:limit], digits)
    )
    if row.size <= limit:
        return f"[{shown}]"
    return f"[{shown}, …]  {row.size:,} numbers"


def matrix(values: ArrayLike, limit: int = 8) -> str:
    """A matrix, one row a line, its columns aligned; of a larger one its first rows and columns and its shape."""
    table = np.atleast_2d(np.asarray(values))
    rows, columns = table.shape
    corner = table[:limit, :limit]
    texts = iter(column(corner.ravel()))
    lines = ["[" + ", ".join(next(texts) for _ in row) + (", …]" if columns > limit else "]") for row in corner]
    if rows > limit:
        lines.append("…")
    closing = "]" if max(rows, columns) <= limit else f"]  {shape(table.shape)}"
    return "[" + "\n ".join(lines) + closing


def shape(sizes: Sequence[int]) -> str:
    """`5 × 576`; `a single number` for the shape ()."""
    return " × ".join(f"{size:,}" for size in sizes) or "a single number"


def several(number: int, thing: str, things: str = "") -> str:
    """A number of things in words: "1 token", "1,234 tokens"; `things` where an s does not make the plural."""
    return f"{count(number)} {thing if number == 1 else things or f'{thing}s'}"


def count(value: int) -> str:
    """A count of things, grouped: `49,152`."""
    return f"{value:,}"


def rough_count(value: int) -> str:
    """A large count in three digits: `12`, `22.7 M`, `135 M`, `175 B`."""
    for size, name in ((10**9, "B"), (10**6, "M")):
        if value >= size:
            return f"{number(value / size, 3)} {name}"
    return f"{value:,}"


def percent(probability: float, decimals: int = 1) -> str:
    """A probability as a percentage: `25.9%`. One that is not 0 never reads as 0: `<0.1%`; nor 1 as more than it is."""
    if not math.isfinite(probability):
        return number(probability)
    least = 10.0**-decimals
    if 0 < probability * 100 < least / 2:
        return f"<{fixed(least, decimals)}%"
    if 100 - least / 2 <= probability * 100 < 100:
        return f">{fixed(100 - least, decimals)}%"
    return f"{fixed(probability * 100, decimals)}%"


def duration(seconds: float) -> str:
    """`85 µs`, `340 ms`, `1.2 s`, `2 min 3 s`."""
    if seconds < 1e-3:
        return f"{fixed(seconds * 1e6, 0)} µs"
    if seconds < 1:
        return f"{fixed(seconds * 1e3, 1 if seconds < 1e-2 else 0)} ms"
    if seconds < 60:
        return f"{fixed(seconds, 1 if seconds < 10 else 0)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def byte_size(size: float) -> str:
    """Bytes in decimal units, as disks and downloads count: `512 B`, `1.6 MB`, `98 MB`."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{fixed(size, 1 if size < 9.95 and units[0] != 'B' else 0)} {units[0]}"


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers with runs drawn together: `0-4,6,8-9`."""
    runs: list[list[int]] = []
    for value in sorted(set(numbers)):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _shortest(value: float) -> float:
    """A float32 as the float whose shortest decimal is that of the float32."""
    return float(str(value)) if isinstance(value, (np.float32, np.float16)) else float(value)
