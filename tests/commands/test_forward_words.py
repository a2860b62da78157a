"""What the views of `forward` and `generate` say in words: which place counts most, of which positions a length is,
where ranks begin, which branches a tree has."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core.numbers import fixed

if TYPE_CHECKING:
    from tests.conftest import Program

TOADS = ("forward", "Mr Toad met Mrs Hen. Mr", "--model", "toy-induction")
EACH = (*TOADS, "--ablate", "each", "--target", "Toad")


def sentence(out: str) -> str:
    return " ".join(out.partition("\n\n")[2].partition("\n\n")[0].split())


def of_most(values: Any) -> tuple[list[int], float]:
    array = np.asarray(values, dtype=float)
    place = np.unravel_index(int(np.nanargmax(np.abs(array))), array.shape)
    return [int(at) for at in place], float(array[place])


@pytest.mark.parametrize(("more", "name"), [((), "head {1} of layer {0}"), (("--sweep", "head-position"), "head {1}")])
def test_the_head_without_which_the_answer_changes_most_is_named_first(
    called: Program, more: tuple[str, ...], name: str
) -> None:
    found = called(*EACH, *more, "--json").json["silencing"]
    place, moved = of_most(found["heads"] if more else found["change"])
    first = sentence(called(*EACH, *more).out)
    direction = "falls" if moved < 0 else "rises"
    assert first.startswith(f"Without {name.format(*place)}") and f"probability of “Toad” {direction} most: " in first
    numbers = [float(text) / 100 for text in re.findall(r"([\d.]+)%", first)]
    expected = [math.exp(found["before"]), math.exp(found["before"] + moved)]
    assert numbers == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("more", [("--versus", "Hen"), ("--gradient",), ("--ablate-with", "mean")])
def test_what_is_no_probability_or_not_left_out_is_not_said_to_be(called: Program, more: tuple[str, ...]) -> None:
    first = sentence(called(*EACH, *more).out)
    assert ("the lead of “Toad” over “Hen”" in first) == ("--versus" in more)
    assert ("estimated from gradients" in first) == ("--gradient" in more)
    assert first.startswith("Without") == ("--ablate-with" not in more)


@pytest.mark.parametrize(
    ("part", "way"), [("head", ()), ("attention", ()), ("head", ("--noising",)), ("head-position", ())]
)
def test_the_place_that_brings_most_of_the_answer_is_named_first(
    called: Program, part: str, way: tuple[str, ...]
) -> None:
    given = (*TOADS, "--patch", "Mrs Toad met Mr Hen. Mr", "--sweep", part, *way)
    found = called(*given, "--json").json["sweep"]
    shares = np.asarray(found["heads"] if part == "head-position" else found["restored"], dtype=float)
    place = np.unravel_index(int(np.nanargmax(shares)), shares.shape)
    first = sentence(called(*given).out)
    assert f"of layer {place[0]}" in first and ("position" in first) == (part != "head")
    if part != "attention":
        assert first.startswith(f"Head {place[1]} of layer")
    verb = "takes away most" if way else "brings back most"
    share = re.search(rf"{verb}: ([\d.]+) of the lead of “Hen” over “Toad”", first)
    assert share is not None and share[1] == fixed(float(shares.max()), 2), "as many decimals as in the map"


def test_it_is_said_of_which_positions_a_length_is(called: Program) -> None:
    out = called("forward", "--ids", "5,6,7", "--model", "tests/golden/llama", "--layer", "1").out
    steps, layers = out.split("through the layers")
    assert "over all positions together" in steps and "at position 2 (" in layers and "alone" in layers


@pytest.mark.parametrize("way", [("--lens",), ()])
def test_it_is_said_that_rank_0_is_the_most_probable(called: Program, way: tuple[str, ...]) -> None:
    out = called("forward", "The capital of France is", "--target", " the", *way).out
    assert "rank" in out and re.search(r"\b0 is the most\s+probable", out)


def test_a_tree_has_what_was_taken_and_says_so(called: Program) -> None:
    out = called("generate", "The capital of France is", "--max-tokens", "1", "--tree", "1").out
    tree = out.partition("branches: ")[2]
    assert tree.startswith("the one taken ◀, and those not taken\n") and tree.count("Paris ◀") == 1
    assert "above" not in tree
