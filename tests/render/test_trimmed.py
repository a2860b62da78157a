"""Lines that end where what is seen ends, and calculations in narrow columns."""

from __future__ import annotations

from rich.text import Text

from llminspect.render.screens import Trimmed
from llminspect.render.section import steps
from tests.render.samples import shown

NAMES = [("weight of a long name", "e^s / Σ e^s", "131.5 / 145.6", "0.9033"), ("q", "[1, 2]")]


def test_spaces_at_the_end_go_but_for_those_on_a_colour() -> None:
    text = Text.assemble(
        "a  ", ("b ", "on red"), ("c  ", "bold"), "  \n  \n", ("d  ", "on red"), "\n", ("e  ", "reverse")
    )
    assert shown(Trimmed(text)).splitlines()[:3] == ["a  b c", "", "d"]
    colored = shown(Trimmed(text), color="truecolor").splitlines()
    assert colored[0].endswith("\x1b[1mc\x1b[0m") and "\x1b[41mb \x1b[0m" in colored[0]
    assert colored[1:3] == ["", "\x1b[41md  \x1b[0m"]
    assert "e  " in colored[3]


def test_a_calculation_has_its_names_above_where_they_would_take_the_room() -> None:
    wide = shown(Trimmed(steps(NAMES)), 60).splitlines()
    assert wide[0] == "weight of a long name = e^s / Σ e^s" and wide[-1] == "q                     = [1, 2]"
    long = [("z", "norm(x)", "[-0.2188, -0.2116, -0.4012, …]  576 numbers")]
    assert shown(Trimmed(steps(long)), 40).splitlines()[1:] == ["  = [-0.2188, -0.2116, -0.4012, …]", "    576 numbers"]
    whole = shown(Trimmed(steps([("h", "W · e + b", "[[1, -1], [-1, 1]] · [1, 0] + [1, 0, -1]")])), 40).splitlines()
    assert whole[1:] == ["  = [[1, -1], [-1, 1]] · [1, 0]", "    + [1, 0, -1]"]
    narrow = shown(Trimmed(steps(NAMES, title="by hand")), 40).splitlines()
    assert narrow == [
        *("by hand", "weight of a long name", " = e^s / Σ e^s", " = 131.5 / 145.6", " = 0.9033", "", "q", " = [1, 2]")
    ]
