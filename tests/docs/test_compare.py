"""What counts as the same output, and what does not."""

from __future__ import annotations

import pytest

from tools.book.compare import differences, same_line


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("·of    21.98  25.90%  ████▎", "·of    21.97  25.91%  ████▍"),
        ("layer 3   6.5 ms", "layer 3  12.25 ms"),
        ("─────", "───────"),
        ("norm 1.53e-5", "norm 1.54e-5"),
        ("Alice ⠿⠒██▓▒", "Alice ⠶⠂██▓░"),
        ("cosine 0.716", "cosine  0.717"),
    ],
)
def test_another_machines_rounding_is_the_same(old: str, new: str) -> None:
    assert same_line(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cosine 0.716", "cosine 0.718"),
        ("5 tokens", "6 tokens"),
        ("id 7356", "id 7357"),
        ("·of 25.90%  ████▎", "·of 25.90%  █████▎"),
        ("Alice ⠿⠒██▓▒", "Alice ⠒⠒██▓▒"),
        ("S  S  S", "S  P  S"),
        ("norm 1.53e-5", "norm 1.53e-4"),
        ("-0.5", "0.5"),
        ("Paris", "paris"),
    ],
)
def test_anything_else_is_a_difference(old: str, new: str) -> None:
    assert not same_line(old, new)


def test_a_line_more_is_a_difference() -> None:
    assert differences("a", "a\nb") == ["2 lines instead of 1"]
