"""Lines of prose: where they may end, and that a space is a space again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from llminspect.render import picture
from llminspect.render.prose import Text
from llminspect.render.section import headed, remark, section
from llminspect.render.table import table
from tests.render.samples import lines

SENTENCE = (
    "It is decided after layer 10 · head 3, at position 4 (token 5), as in a choice, 0 when every one is the same; "
    "excess: weight - others; KL: how far; logit change: in Gemma 2 and 3, 1 = the answer, each is turned by "
    "7 × 0.00346°, over 64 steps, ◀ taken, see --layer 4 for more"
)
TOGETHER = [
    "layer 10 · head 3", "position 4", "token 5", "0 when", "weight - others", "7 × 0.00346°", "64 steps", "--layer 4",
    "excess: weight", "KL: how", "logit change: in", "Gemma 2", "1 = the", "◀ taken",
]  # fmt: skip


@pytest.mark.parametrize("columns", range(25, 160, 3))
def test_a_word_stays_with_its_number(columns: int) -> None:
    for made in (section("", Text(SENTENCE)), remark(SENTENCE), headed(SENTENCE), table([""], [[SENTENCE]])):
        drawn = lines(made, columns)
        assert [words for words in TOGETHER if not any(words in line for line in drawn)] == []
        assert " ".join(" ".join(drawn).split()).endswith(SENTENCE)
        assert max(map(len, drawn)) <= columns


def test_what_is_too_long_for_a_line_is_broken_as_usual() -> None:
    assert lines(section("", Text("layer 10 · head 3")), 9) == ["layer 10", "· head 3"]
    assert lines(section("", Text("the weight - others")), 12) == ["the weight", "- others"]
    assert lines(section("", Text("layer 10 and more")), 6) == ["layer", "10 and", "more"]


@given(st.text(alphabet="ab1 ×-\n\ue000", max_size=60), st.integers(3, 30))
def test_nothing_is_lost_or_added(text: str, columns: int) -> None:
    grid = Table.grid()
    grid.add_column(overflow="fold")
    grid.add_row(Text(text))
    assert re.sub(r"\s", "", "".join(lines(grid, columns))) == re.sub(r"\s", "", text)


def test_styles_stay_where_they_were() -> None:
    made = Text.assemble("it is ", ("layer 10", "bold"), " of all the layers")
    spans = [line.plain[span.start : span.end] for line in made.wrap(Console(), 12) for span in line.spans]
    assert spans == ["layer 10"]
    assert type(made.copy()) is Text and type(Text("\n").join([made, made])) is Text


def test_a_text_alone_is_folded_as_one_among_others() -> None:
    """A picture's letters, a page and a notebook: no space before the end of a line, no number torn from its word."""
    line = Text("is there already: " + "x" * 90 + " layer 10")
    for page in (picture.text(line, 116), picture.html(line, 116, "light"), picture.notebook(line, 116)):
        assert "x\nlayer 10" in page
    for page in (picture.html(line, 100, "light"), picture.notebook(line, 100)):
        assert "already:\n" in page
