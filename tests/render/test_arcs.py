"""Arcs over a sentence: who is joined with whom can be read from the page, and it keeps to its width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.render.arcs import HEAVY_FROM, LIGHT_FROM, Arc, arcs
from llminspect.render.safe import width
from tests.render.samples import shown

TEXTS = ["Alice", " gave", " Bob", " her", " book"]


def test_the_picture() -> None:
    links = [Arc(3, 2, 0.83), Arc(3, 0, 0.1, quiet=True), Arc(4, 1, 0.3)]
    assert shown(arcs(TEXTS, links, ["0.10", "0.02", "0.83", "0.05", ""]), 80).splitlines()[:6] == [
        "  ┌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┐",
        "  ╎      ┌──────────────────┐",
        "  ╎      │     ┏━━━━┓ ╎     │",
        "  ▼      ▼     ▼    ┃ ╎     │",
        "Alice  ·gave  ·Bob  ·her  ·book",
        "0.10   0.02   0.83  0.05",
    ]


def test_what_does_not_fit_gives_way() -> None:
    links = [Arc(3, 2, 0.83), Arc(1, 0, 0.3)]
    assert shown(arcs(TEXTS, links), 29).splitlines()[1:4] == [
        "  ▼      │     ▼     ┃",
        "Alice  ·gave  ·Bob  ·her  …",
        "━ 0.5 or more of the weight,",
    ]
    assert shown(arcs(TEXTS, links, ["0.1", "0.2", "0.3", "0.4", "0.5"]), 26).splitlines()[1:5] == [
        "    ▼     ┃",
        "…  ·Bob  ·her  …",
        "   0.3   0.4",
        "━ 0.5 or more of the",
    ]
    assert "; … tokens without an arc; the 1 heaviest of 2" in " ".join(shown(arcs(TEXTS, links), 24).split())
    assert shown(arcs(TEXTS, links), 8).split() == "There is no room for arcs here.".split()
    assert shown(arcs(TEXTS, []), 80) == "\n"


@st.composite
def linked(draw: st.DrawFn) -> tuple[list[str], list[Arc]]:
    texts = draw(st.lists(st.text("ab 日é\n\x1b\u202e", max_size=5), min_size=2, max_size=8))
    places = st.integers(0, len(texts) - 1)
    pairs = draw(st.lists(st.tuples(places, places).filter(lambda pair: pair[0] != pair[1]), min_size=1, unique=True))
    weights = np.linspace(0.05, 1, len(pairs))
    return texts, [Arc(query, key, float(weight)) for (query, key), weight in zip(pairs, weights, strict=True)]


@given(linked(), st.integers(10, 120))
def test_each_arc_has_its_two_ends_and_nothing_is_wider_than_the_page(
    case: tuple[list[str], list[Arc]], columns: int
) -> None:
    texts, links = case
    lines = shown(arcs(texts, links), columns).splitlines()
    assert all(width(line) <= columns for line in lines)
    if "heaviest" in " ".join(lines) or not any("▼" in line for line in lines):
        return
    ends = next(line for line in lines if "▼" in line)
    assert ends.count("▼") == len(links)
    assert sum(ends.count(sign) for sign in "│┃╎") == len(links)
    assert sum(ends.count(sign) for sign in "┃") == sum(link.weight >= HEAVY_FROM for link in links)
    assert sum(ends.count(sign) for sign in "╎") == sum(link.weight < LIGHT_FROM for link in links)


def test_arcs_that_hold_one_another_do_not_cross() -> None:
    lines = shown(arcs(TEXTS, [Arc(4, 0, 0.9), Arc(4, 1, 0.9), Arc(4, 2, 0.9), Arc(3, 2, 0.9)]), 80).splitlines()
    for line in lines[:4]:
        inside = line[line.index("┏") + 1 : line.rindex("┓")]
        assert set(inside) <= set("━") or "┓" in inside or "┏" in inside


@pytest.mark.parametrize("key", range(5))
def test_the_point_stands_over_the_token_that_is_looked_at(key: int) -> None:
    query = (key + 2) % 5
    lines = shown(arcs(TEXTS, [Arc(query, key, 0.4)]), 80).splitlines()
    ends, tokens = lines[1], lines[2]
    starts = [tokens.index(text.strip()) for text in TEXTS] + [len(tokens) + 2]
    assert starts[key] - 1 <= ends.index("▼") < starts[key + 1] - 1
    assert starts[query] - 1 <= ends.index("│") < starts[query + 1] - 1
