"""The text of a number has the digits 0 to 9, as a list of ids has: Python's own `1_0` is none."""

from __future__ import annotations

import pytest

from llminspect.arguments.option import Option, number_of


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("text", ["1_0", "٣", "", "0x3"])
def test_other_forms_of_a_number_are_refused(kind: type[int], text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (whole )?number"):
        number_of(text, kind, Option())
