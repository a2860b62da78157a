"""Numbers of one quantity have the same decimals, in every command."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import llminspect
from llminspect.analysis.head_changes import HabitChange, HeadChange
from llminspect.commands.diff.view import _moved
from llminspect.commands.features.view import render as drawn_features
from llminspect.commands.head.view import render as drawn_head
from llminspect.commands.neuron.view import render as drawn_neuron
from tests.render.samples import shown

if TYPE_CHECKING:
    from tests.conftest import Program

ENDS = ((0, 0.4, 0.62), (1, 0.051, 0.3))
"""Heads, and the ends of their intervals."""
TOY = str(Path(__file__).parent.parent / "golden" / "dictionaries" / "toy")


def test_of_a_head(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A cat sat on a mat. " * 8)
    found = llminspect.head("3.2", top=1, corpus=tmp_path, length=16, most=40)
    assert found.qk.position is not None and found.habits is not None
    directions = [replace(one, value=value) for one, value in zip(found.ov.directions, (7.92, 7.13, 6.8), strict=True)]
    measures = [
        replace(found.habits.measures[0], mean=44.62, std=6.71, low=38.0, high=51.13),
        replace(found.habits.measures[1], mean=0.0109, std=0.0112, low=-6.14e-5, high=0.0219),
    ]
    text = shown(
        drawn_head(
            replace(
                found,
                ov=replace(found.ov, directions=directions, singular=[7.92, 2.0]),
                qk=replace(found.qk, position=replace(found.qk.position, scores=[1.89, 2.6])),
                habits=replace(found.habits, measures=measures),
            )
        ),
        100,
    )
    assert re.findall(r"^\d \+ +(\S+)", text, re.MULTILINE) == ["7.92", "7.13", "6.80"]
    assert re.search(r"^0 - +·", text, re.MULTILINE)
    assert "7.92 … 2.00" in text and "highest 2.60 at 1, lowest 1.89" in text
    assert re.search(r"44\.6 +6\.7 +38\.0 … 51\.1", text)
    assert re.search(r"0\.0109 +0\.0112 +-0\.0001 … 0\.0219", text)


def test_of_a_neuron(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A cat sat on a mat. " * 8)
    found = llminspect.neuron("3.7", top=1, corpus=tmp_path, length=16, most=40, examples=2)
    assert found.firing is not None and found.examples is not None
    gate, up = found.reads
    reads = [
        replace(gate, top=[replace(gate.top[0], product=7.02)], bottom=[replace(gate.bottom[0], product=-4.67)]),
        replace(up, top=[replace(up.top[0], product=4.31)], bottom=[replace(up.bottom[0], product=-5.2)]),
    ]
    changed = replace(
        found, reads=reads, writes=[replace(found.writes[0], logit=5.74)],
        lowers=[replace(found.lowers[0], logit=-4.3)], firing=replace(found.firing, lowest=0.0, highest=56.0),
        examples=[replace(one, activation=value) for one, value in zip(found.examples, (56.0, 55.7), strict=True)],
    )  # fmt: skip
    text = shown(drawn_neuron(changed), 100)
    assert re.findall(r"^(?:gate|up), \w+ +(\S+)", text, re.MULTILINE) == ["7.02", "-4.67", "4.31", "-5.20"]
    assert re.findall(r"^(?:raises|lowers) +(\S+)", text, re.MULTILINE) == ["5.74", "-4.30"]
    assert "\n56.0 at " in text and "\n55.7 at " in text and "from 0.0 to 56.0" in text
    # How many tokens an activation is of is said where they are not all that were read.
    assert "\nmean " in text
    of_expert = replace(changed, firing=replace(found.firing, count=7))
    assert "\n7 tokens: mean " in shown(drawn_neuron(of_expert), 100)


def test_of_a_dictionary() -> None:
    found = llminspect.features(TOY, "hello world !", "toy")
    changed = replace(found, explained_variance=-0.94473, explained_variance_without_first=-1.113)
    text = shown(drawn_features(changed), 80)
    assert "-0.945 of the variance explained (-1.113 without" in text
    # What is left out of the lists is no remark on the rest.
    left_out = replace(found, left_out=["later layers"])
    assert "Left out: later layers." in shown(drawn_features(left_out), 80)
    assert "Left out" not in shown(drawn_features(replace(left_out, features=[])), 80)


def test_of_a_circuit(called: Program) -> None:
    text = called("circuit", "Mr Toad met Mrs Hen. Mr", "Mrs Toad met Mr Hen. Mr", "--model", "toy-induction").out
    areas = re.findall(r"^EAP.* 3 +(\S+) +(\S+)$", text, re.MULTILINE)
    assert areas == [("0.850", "0.149"), ("0.850", "0.149")]


def test_of_nearest_tokens_and_of_heads_that_moved(called: Program) -> None:
    near = called("embed", " dog", "--nearest", "8", "--metric", "dot").out
    assert {len(dot) for dot in re.findall(r"\d\.\d+", near)} == {len("3.80")}
    measure = HabitChange("sink", 0.5, 0.25, -0.25, -0.3, -0.2)
    heads = [HeadChange(3, head, 0.5, 0.1, low, high, "sink", "sink", [measure]) for head, low, high in ENDS]
    drawn = shown(_moved(heads), 100)
    assert "0.40 … 0.62" in drawn and "0.05 … 0.30" in drawn
