"""How long a direction that is added is beside the stream: by norms taken one at a time, and how it is told."""

from __future__ import annotations

import re
import statistics
from typing import TYPE_CHECKING

import numpy as np

from llminspect import forward, generate
from llminspect.core.tap import Capture

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.conftest import Program

TEXT = "Yesterday I went to"


def stream_of(model: Model, text: str, layer: int) -> Array:
    assert model.tokenizer is not None
    capture = Capture(f"layers.{layer}.output")
    model.run([token.id for token in model.tokenizer.wrap(model.tokenizer.encode(text))], capture)
    return capture[f"layers.{layer}.output"]


def after_bos(model: Model, word: str, layer: int) -> Array:
    assert model.tokenizer is not None
    front = [*model.tokenizer.prefix_ids] or [model.tokenizer.bos_id or 0]
    capture = Capture(f"layers.{layer}.output")
    model.run([*front, *model.tokenizer.encode_ids(f" {word}")], capture)
    vector_D: Array = capture[f"layers.{layer}.output"][-1]
    return vector_D


def test_a_direction_says_how_long_it_is_beside_the_stream(smollm2: Model) -> None:
    steered = ["love - hate@6*4", "London - Paris@10*-0.5"]
    expected = []
    for first, second, layer, factor in (("love", "hate", 6, 4), ("London", "Paris", 10, 0.5)):
        direction_D = factor * (after_bos(smollm2, first, layer) - after_bos(smollm2, second, layer))
        usual = statistics.median(float(np.sqrt((vector**2).sum())) for vector in stream_of(smollm2, TEXT, layer))
        expected.append(float(np.sqrt((direction_D**2).sum())) / usual)
    for result in (
        forward(TEXT, smollm2, steer=steered),
        generate(TEXT, smollm2, steer=steered, ablate=["3.2"], max_tokens=1),
    ):
        assert result.change is not None
        lengths = [made.length for made in result.change.experiments if made.kind == "steer"]
        np.testing.assert_allclose(np.array(lengths, dtype=float), np.array(expected), rtol=1e-4)
        assert all(made.length is None for made in result.change.experiments if made.kind != "steer")


def test_london_in_place_of_paris(smollm2: Model) -> None:
    """What the help shows: a direction shorter than the stream turns the answer and leaves the language whole."""
    found = forward("My favourite city is", smollm2, steer=["London - Paris@10*1"]).change
    assert found is not None
    moved = {shift.text: shift for shift in found.tokens}
    assert moved[" Paris"].prob_before > 10 * moved[" Paris"].prob_after
    assert moved[" London"].prob_after > 3 * moved[" London"].prob_before
    assert found.experiments[0].length is not None
    assert found.experiments[0].length < 1


def test_both_texts_are_named_as_in_every_other_comparison(called: Program) -> None:
    """And where a text begins with a space it is seen, as at every other token."""
    ran = called("generate", TEXT, "--max-tokens", "2", "--ablate", "3.2")
    assert re.findall(r"^([a-z]+) +·", ran.out, re.MULTILINE) == ["before", "after"]


def test_a_direction_that_drowns_the_text_is_named(called: Program) -> None:
    options = ("generate", TEXT, "--max-tokens", "2", "--steer")
    written = "the direction is 30 times as long as the stream after layer 6 and drowns it"
    assert written in called(*options, "love - hate@6*4", COLUMNS="80").out.splitlines()
    written = "the direction is 0.51 times as long as the stream after layer 10"
    assert written in called(*options, "London - Paris@10*1", COLUMNS="80").out.splitlines()
    written = "times as long as the stream after layer 6 and drowns it"
    assert written in called("forward", TEXT, "--steer", "love - hate@6*4").out
