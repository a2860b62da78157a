"""`toy-induction`: its sums by hand, and `circuit` finds exactly the edges that it is built of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.model.toy_induction import LOUD, PLACES, WORDS
from tests.closeness import SINGLE, assert_close

if TYPE_CHECKING:
    from tests.conftest import Program

TEXT = "Mr Toad met Mrs Hen. Mr"


def by_hand(words: list[str]) -> tuple[Any, dict[str, float]]:
    """The weights of the head that looks for what followed, and the logits, by what it is to do."""
    last = words[-1]
    scores = [
        6.0 * (at > 0 and words[at - 1] == last) - 6.0 * (at == 0) + 6.0 * (at == 0 and words[0] == last)
        for at in range(len(words))
    ]
    weights = [math.exp(score) for score in scores]
    weights = [weight / sum(weights) for weight in weights]
    logits = dict.fromkeys(WORDS, 0.0)
    for word, weight in zip(words, weights, strict=True):
        logits[word] += LOUD * weight
    return weights, logits


@pytest.mark.parametrize("text", [TEXT, "Mr Toad met Mrs Hen. Mrs", "Toad met Toad", "Hen met Mr Toad. Hen met", "Mr"])
def test_it_goes_on_as_before(text: str) -> None:
    words = text.replace(".", " .").split()
    weights, expected = by_hand(words)
    found = llminspect.attend(text, "toy-induction", layer=1, head=0).heads[0].weights[-1]
    assert_close(np.asarray(found), np.asarray(weights), SINGLE)
    given = {entry.text: entry.logit for entry in llminspect.forward(text, "toy-induction", top=len(WORDS)).next or []}
    assert given == pytest.approx(expected, abs=1e-4)


CIRCUITS = [
    # What changes is which word stands before Toad: it goes through the head that notes it.
    ("Mrs Toad met Mr Hen. Mr", {("embedding", "0.0.value"), ("0.0", "1.0.key"), ("1.0", "logits")}),
    # Which word is looked for.
    ("Mr Toad met Mrs Hen. Mrs", {("embedding", "1.0.query"), ("1.0", "logits")}),
    # Which word is found there.
    ("Mr Hen met Mrs Toad. Mr", {("embedding", "1.0.value"), ("1.0", "logits")}),
]


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize(("corrupt", "edges"), CIRCUITS)
def test_its_circuits_are_found_edge_for_edge(corrupt: str, edges: set[tuple[str, str]], steps: int) -> None:
    found = llminspect.circuit(TEXT, corrupt, "toy-induction", keep=1, steps=steps)
    assert {(edge["from"], edge["to"]) for edge in found.edges} == edges
    assert found.faithfulness == pytest.approx(1, abs=1e-6) and found.completeness == pytest.approx(1, abs=1e-6)
    assert {node.name for node in found.nodes} == {end.split(".value")[0].split(".key")[0].split(".query")[0]
                                                   for edge in edges for end in edge}  # fmt: skip
    assert found.control.mean < 0.5
    assert found.scores is not None
    largest = np.abs(found.scores).max()
    for row, reader in enumerate(found.readers or []):
        for column, writer in enumerate(found.writers or []):
            if "0.1" in (writer, reader[:3]) or "1.1" in (writer, reader[:3]):
                assert abs(found.scores[row, column]) < 1e-6 * largest


def test_a_part_of_a_circuit_keeps_nothing() -> None:
    found = llminspect.circuit(TEXT, "Mrs Toad met Mr Hen. Mr", "toy-induction", keep=0.05)
    assert len(found.edges) == 3 and found.curve[0].faithfulness == 0


def test_it_has_so_many_places(called: Program) -> None:
    assert called("forward", "Toad " * PLACES, "--model", "toy-induction").code == 0
    assert called("forward", "Toad " * (PLACES + 1), "--model", "toy-induction").code != 0
    assert called("verify", "toy-induction").code == 0
