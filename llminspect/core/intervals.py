"""How sure a number is that was found on some examples: 95% intervals."""

from __future__ import annotations

import math

Z = 1.959964
"""Standard deviations of a normal distribution between which 95 % of it lies."""


def of_share(successes: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share: Wilson 1927, "Probable inference, the law of succession, and statistical
    inference". It stays within 0 and 1, also where all or none succeed.

    >>> [round(end, 3) for end in of_share(9, 10)]
    [0.596, 0.982]
    """
    share, square = successes / count, Z * Z / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) / count * Z * Z + (square / 2) ** 2) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


_T = (
    12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216, 2.22814,
    2.20099, 2.17881, 2.16037, 2.14479, 2.13145, 2.11991, 2.10982, 2.10092, 2.09302, 2.08596,
)  # fmt: skip
"""Between ± these lies 95 % of Student's t distribution with 1, 2, 3 … degrees of freedom."""


def student(freedom: int) -> float:
    """The same for any number of degrees of freedom; beyond the table by Cornish and Fisher's series (Abramowitz and
    Stegun, 26.7.5).

    >>> round(student(4), 3), round(student(100), 3)
    (2.776, 1.984)
    """
    if freedom <= len(_T):
        return _T[freedom - 1]
    terms: tuple[float, ...] = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
    )
    return Z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def of_mean(mean: float, std: float, count: int) -> tuple[float, float]:
    """The 95% interval of a mean of `count` numbers with the standard deviation `std` (divided by n − 1), by Student's
    t; no numbers where there is only one.

    >>> [round(end, 2) for end in of_mean(10.0, 2.0, 4)]
    [6.82, 13.18]
    """
    if count < 2:
        return math.nan, math.nan
    margin = student(count - 1) * std / math.sqrt(count)
    return mean - margin, mean + margin
