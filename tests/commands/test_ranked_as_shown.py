"""Lists stand in the order of the numbers that they show, whatever the last bits of these; and terms that are left out
of a sum have their sign where they are missing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import llminspect
from llminspect.analysis.head_changes import HabitChange, HeadChange, HeadChanges
from llminspect.analysis.weight_changes import TensorChange, WeightChanges
from llminspect.commands.attend.query import _strongest, _weighted
from llminspect.commands.diff.view import head_parts, token_parts, weight_parts
from llminspect.commands.features.view import render as drawn
from llminspect.core.dataclass import dataclass
from tests.render.samples import shown

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from tests.conftest import Program


@dataclass(frozen=True)
class Summed:
    """What a sum over keys is made of."""

    query: Array
    weights: Array
    values: Array
    masked: Array
    output: Array


def summed(weights: list[float], size: int) -> Summed:
    weights_S, values_SE = np.array(weights), np.outer([1.0, 10.0, 0.1, 2.0, 3.0][: len(weights)], np.ones(size))
    return Summed(np.zeros(size), weights_S, values_SE, np.zeros(len(weights)), weights_S @ values_SE)


def test_tensors_that_moved_as_much_stand_in_the_order_of_the_model() -> None:
    sizes = {"first": 0.1, "second": 0.50001, "third": 0.50002, "none": float("nan")}
    tensors = [TensorChange(name, None, name, [2, 2], relative) for name, relative in sizes.items()]
    text = "".join(shown(part, 80) for part in weight_parts(WeightChanges(0.5, 16, 0, [], [], tensors, []), 2))
    assert re.findall("^(first|second|third) ", text, re.MULTILINE) == ["second", "third"]
    assert "not in b: none" in text
    text = "".join(shown(part, 80) for part in weight_parts(WeightChanges(0.5, 16, 0, [], [], tensors[3:], []), 2))
    assert "not in b: none" in text


def test_heads_that_moved_as_much_stand_by_layer_and_head() -> None:
    measure = HabitChange("sink", 0.5, 0.25, -0.25, -0.3, -0.2)
    moved = {(3, 2): 0.50003, (3, 1): 0.50002, (0, 4): 0.50001, (1, 0): 0.6}
    heads = [HeadChange(*at, size, 0.1, 0.4, 0.6, "sink", "sink", [measure]) for at, size in moved.items()]
    moved_LH = np.zeros((4, 5))
    moved_LH[0, 4], moved_LH[1, 0] = 0.60001, 0.60002
    habits = [[["sink"] * 5 for _ in range(4)] for _ in "ab"]
    habits[1][0][4] = habits[1][1][0] = "self"
    text = "".join(shown(part, 80) for part in head_parts(HeadChanges("", moved_LH, habits[0], habits[1], 2, heads), 4))
    assert re.findall(r"^ *(\d\.\d) +0\.[56]", text, re.MULTILINE) == ["1.0", "0.4", "3.1", "3.2"]
    assert "Other habits: 0.4 (sink → self), 1.0 (sink → self)" in text


def test_places_where_models_are_as_far_apart_stand_in_the_order_of_the_text() -> None:
    found = llminspect.diff("Mr Toad met Mrs Hen .", model="toy-induction", against_model="toy-induction").token_changes
    assert found is not None
    place = found.places[0]
    places = [replace(place, index=at, kl=kl) for at, kl in ((4, 0.50002), (1, 0.50001), (2, 0.6))]
    parts = token_parts(replace(found, places=places, largest=0.6, kls=[0.0] * len(place.tokens)), "")
    text = "".join(shown(part, 100) for part in parts)
    assert re.findall(r"^(\w+) +0\.[56]0* ", text, re.MULTILINE) == [place.tokens[at] for at in (2, 1, 4)]


def test_keys_with_equal_weights_stand_in_their_order_and_what_is_left_out_has_a_sign() -> None:
    query = summed([0.1, 0.20001, 0.15, 0.20003, 0.20002], 64)
    assert _strongest(query) == 1  # type: ignore[arg-type]
    assert _weighted(query).split("\n+ ") == [  # type: ignore[arg-type]
        "…", "0.2000·[10, 10, 10, …]", "…", "0.2000·[2, 2, 2, …]", "0.2000·[3, 3, 3, …]",
    ]  # fmt: skip
    assert _weighted(summed([0.5, 0.25, 0.125], 1)).split("\n+ ") == [  # type: ignore[arg-type]
        "0.500·[1.0]", "0.250·[10.0]", "0.125·[0.1]",
    ]  # fmt: skip


def test_the_terms_of_an_output_are_all_there_or_their_place_is_marked(called: Program) -> None:
    given = ("attend", "A cat sat.", "--query", "cat", "--model", "toy-attention")
    text = called(*given).out
    terms = re.findall(r"(\d\.\d+)·\[([^]]+)\]", text.partition("Σ weight · v")[2])
    total = sum(float(weight) * np.array(row.split(","), float) for weight, row in terms)
    assert len(terms) == 4 and len({len(weight) for weight, _ in terms}) == 1
    assert total == pytest.approx(llminspect.attend("A cat sat.", "toy-attention", query="cat").query.output, abs=5e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize(("folder", "kind"), [("jumprelu", "JumpReLU"), ("topk", "TopK"), ("standard", "ReLU")])
def test_kinds_of_dictionaries_have_the_names_of_the_papers(folder: str, kind: str) -> None:
    path = Path(__file__).parent.parent / "golden" / "dictionaries" / "toy"
    found = llminspect.features(path, "hello world !", "toy")
    assert f"SAELens, {kind}, at" in shown(drawn(replace(found, dictionary=replace(found.dictionary, kind=folder))), 80)
