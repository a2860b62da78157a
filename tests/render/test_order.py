"""What is ranked has one order on every machine, as far as it can be seen: the last bits of numbers, which another
processor or another number of threads computes otherwise, do not decide, nor does the hash of a name."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Group

from llminspect.analysis.attend import AttendResult
from llminspect.analysis.attribution import NeuronShare
from llminspect.analysis.feed_forward import feed_forward
from llminspect.analysis.find import BestHead, End, Find, FoundHead
from llminspect.commands.attend.find import find_parts
from llminspect.commands.circuit.view import _ordered
from llminspect.commands.forward.answers import neurons_that_add
from llminspect.core.numbers import column, largest_first
from llminspect.core.tap import Capture
from llminspect.opening import open_model
from tests.conftest import ROOT
from tests.render.samples import shown

if TYPE_CHECKING:
    from llminspect.analysis.circuit_result import CircuitEdge

WEIGHTS = [0.25, 0.5, 0.5, 0.125, 0.5, 0.25, 0.7, 0.5]


def noisy(values: list[float], seed: int) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 1e-7, len(values))
    return [value + float(more) for value, more in zip(values, noise, strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_the_last_bits_do_not_decide(seed: int) -> None:
    order = largest_first(noisy(WEIGHTS, seed))
    assert order == [6, 1, 2, 4, 7, 0, 5, 3] == largest_first(noisy(WEIGHTS, seed), decimals=3)
    assert column([noisy(WEIGHTS, seed)[at] for at in order]) == column(sorted(WEIGHTS, reverse=True))
    assert largest_first([1e-30, float("nan"), 2e-30, 0.0]) == [2, 0, 3, 1] and largest_first([]) == []


@pytest.mark.parametrize("seed", range(4))
def test_edges_of_equal_scores_come_in_the_order_of_their_names(seed: int) -> None:
    names = ["23.10", "3.2", "embedding", "3.feedforward", "23.3"]
    edges: list[CircuitEdge] = [
        {"from": name, "to": "logits", "score": score}
        for name, score in zip(names, noisy([-0.5, 0.5, 0.5, 0.5, 0.7], seed), strict=True)
    ]
    random.Random(seed).shuffle(edges)
    assert [edge["from"] for edge in _ordered(edges)] == ["23.3", "3.2", "3.feedforward", "23.10", "embedding"]


@pytest.mark.parametrize("seed", range(4))
def test_heads_and_neurons_of_equal_numbers_come_layer_by_layer(seed: int) -> None:
    numbered = list(enumerate(noisy(WEIGHTS, seed)))
    heads = [FoundHead(3 - at // 2, at % 2, weight, 0.05, weight - 0.05, False) for at, weight in numbered]
    heads.sort(key=lambda head: -head.weight)
    ends = End("her", [1]), End("Alice", [0])
    tokens = [{"index": 0, "id": 1, "text": "Alice"}, {"index": 1, "id": 2, "text": " her"}]
    find = Find(*ends, heads, BestHead(0, 0, np.array([0.7, 0.3])))
    result = AttendResult.__new__(AttendResult)
    for name, value in (("tokens", tokens), ("n_layers", 4), ("n_heads", 2), ("causal", True)):
        object.__setattr__(result, name, value)
    rows = shown(Group(*find_parts(result, find)), 100).partition("excess\n")[2].splitlines()[1:9]
    places = [tuple(map(int, row.split()[:2])) for row in rows]
    assert places == [(0, 0), (0, 1), (1, 0), (2, 0), (3, 1), (1, 1), (3, 0), (2, 1)]
    neurons = [NeuronShare(3 - at // 2, at % 2, 1.0, weight) for at, weight in numbered]
    drawn = shown(neurons_that_add(sorted(neurons, key=lambda one: -one.share), "logit"), 80)
    assert [line.split()[0] for line in drawn.splitlines()[1:9]] == [f"{layer}.{head}" for layer, head in places]


def test_units_of_equal_size_come_in_their_order() -> None:
    model = open_model("tests/golden/llama")
    capture = Capture("layers.0.*", optional=True)
    model.run([5, 6, 7], capture)
    rows = {name: array[2] for name, array in capture.arrays.items() if name.startswith("layers.0.feedforward")}
    name = "layers.0.feedforward.activation"
    found = feed_forward(model, rows | {name: np.array(noisy([0.5] * len(rows[name]), 1))}, 0)
    assert found is not None and [unit.unit for unit in found.units] == list(range(6))


GRAPH = """
import io
from rich.console import Console
from llminspect.render.wires import Wire, wires
heads = [f"29.{head}" for head in range(6)]
ranks = {"embedding": 0, **dict.fromkeys(heads, 1), "logits": 2}
groups = [[Wire("embedding", head, 1.0), Wire(head, "logits", 1.0)] for head in heads]
Console(width=100).print(wires(ranks, groups, 20))
"""


def test_the_nodes_of_a_graph_stand_in_one_order_whatever_the_hash_of_their_names() -> None:
    pictures = []
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        ran = subprocess.run([sys.executable, "-c", GRAPH], capture_output=True, env=environment, cwd=ROOT, check=True)
        pictures.append(ran.stdout.decode())
    assert len(set(pictures)) == 1 and pictures[0].count("29.") == 6
    row = next(line for line in pictures[0].splitlines() if "29.0" in line)
    assert row.split() == [f"29.{head}" for head in range(6)]
