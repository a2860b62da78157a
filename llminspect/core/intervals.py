"""How sure a number is that was found on some examples: 95 % intervals."""

from __future__ import annotations

import math

Z = 1.959964
"""Standard deviations of a normal distribution between which 95 % of it lies."""


def of_share(successes: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share: Wilson 1927, "Probable inference, the law of succession, and statistical
    inference". It stays within 0 and 1, also where all or none succeed.

    >>> [round(end, 3) for end in of_share(9, 10)]
    [0.596, 0.982]
    """
    share, square = successes / count, Z * Z / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) / count * Z * Z + (square / 2) ** 2) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)
