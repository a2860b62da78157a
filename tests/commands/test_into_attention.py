"""`attend --query --steps`: from the stream to q, k and v, and how positions turn them."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

import llminspect
from llminspect.core.rotary import Rotary
from llminspect.opening import open_model
from llminspect.render.clock import Clock, Hand, clocks
from tests.closeness import SINGLE, assert_close

if TYPE_CHECKING:
    from tests.conftest import Program

IDS = [5, 6, 7, 8, 9]


def made(name: str, layer: int = 0, head: int = 1) -> Any:
    model = name if name.startswith(("toy", "smollm2")) else f"tests/golden/{name}"
    return llminspect.attend(IDS, model, query=3, steps=True, layer=layer, head=head)


@pytest.mark.parametrize("name", ["llama", "qwen3", "glm", "gpt2", "bert", "gptj", "olmo2", "gpt-oss"])
def test_the_first_numbers_are_the_sums_that_are_written_out(name: str) -> None:
    result = made(name)
    model = open_model(f"tests/golden/{name}")
    layer, width = model.params.layer(0), model.config.sizes.E
    capture = llminspect.Capture("layers.0.input", "layers.0.attention.norm", optional=True)
    model.run(IDS, capture)
    read_TD = capture.arrays.get("layers.0.attention.norm", capture["layers.0.input"])
    steps = {step.name: step for step in result.into_attention.steps}
    best, kv_head = result.into_attention.key_index, result.query.kv_head
    for letter, part, head, index in (("q", "query", 1, 3), ("k", "key", kv_head, best), ("v", "value", kv_head, best)):
        row, bias = head * width, layer.get(f"attention.{part}.bias")
        products_D = layer[f"attention.{part}.weight"][row].astype(float) * read_TD[index]
        expected = products_D.sum() + (0.0 if bias is None else float(bias[row]))
        assert_close(np.asarray(steps[f"{letter}[0]"].value), expected, SINGLE)
        assert steps[f"{letter} of token {index}"].value[0] == steps[f"{letter}[0]"].value


@pytest.mark.parametrize("name", ["llama", "gptj", "falcon", "glm", "minicpm3", "qwen3"])
def test_a_position_turns_both_hands_and_only_the_distance_counts(name: str) -> None:
    turns = made(name).into_attention.turns
    assert turns
    for turn in turns:
        angles = [math.atan2(y, x) for x, y in (turn.query_before, turn.key_before, turn.query_after, turn.key_after)]
        between_before, between_after = angles[0] - angles[1], angles[2] - angles[3]
        expected = math.radians(turn.degrees) * (3 - turn.key_index)
        assert math.cos(between_after - between_before - expected) > 1 - 1e-5
        for before, after in ((turn.query_before, turn.query_after), (turn.key_before, turn.key_after)):
            assert_close(np.linalg.norm(after), np.linalg.norm(before), 1e-5)
        lengths = float(np.linalg.norm(turn.query_after) * np.linalg.norm(turn.key_after))
        assert abs(turn.score - lengths * math.cos(between_after)) < 1e-4 * lengths


def test_the_pair_that_counts_most_is_first() -> None:
    result = made("llama")
    rotary = open_model("tests/golden/llama").config.rotary_of(0)
    assert isinstance(rotary, Rotary)
    half, key_E = rotary.width // 2, result.query.keys[result.into_attention.key_index]
    added = [result.query.query[i] * key_E[i] + result.query.query[i + half] * key_E[i + half] for i in range(half)]
    most = int(np.argmax(np.abs(added)))
    assert result.into_attention.turns[0].numbers == (most, most + half)
    assert_close(np.asarray(result.into_attention.turns[0].score), added[most], SINGLE)


def test_nothing_turns_where_positions_are_vectors_of_a_table(called: Program) -> None:
    assert made("gpt2").into_attention.turns == []
    out = called("attend", "A cat sat.", "--query", "cat", "--steps", "--model", "toy-attention").out
    assert "x · first column of Wq" in out and "0·0 + 2·1 + 0·0 + 0·0" in out and "hands of a clock" not in out


def test_keys_that_another_layer_makes_are_said_to_be_its(called: Program) -> None:
    model = open_model("tests/golden/gemma3n")
    layer = next(at for at in range(model.config.sizes.L) if model.config.keys_of(at) != at)
    last = made("gemma3n", layer).into_attention.steps[-1]
    assert last.formula == f"this layer makes none: those of layer {model.config.keys_of(layer)}"


def test_steps_without_a_query_are_refused(called: Program) -> None:
    ran = called("attend", "A cat sat.", "--steps")
    assert ran.code == 2 and "--steps has no effect without --query" in ran.err


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_page_fits_and_names_the_tokens(called: Program, columns: int) -> None:
    text = "The capital of France is"
    out = called("attend", text, "--query", " is", "--steps", "--layer", "23", "--head", "4", COLUMNS=str(columns)).out
    assert max(map(len, out.splitlines())) <= columns
    assert "x of “·is” " in out and "k of “·France” " in out and "k is that of “·France”" in out


def test_hands_point_where_their_numbers_do() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(clocks([Clock("one", [Hand("q", 2, 0), Hand("k", 0, -1)])]))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    middle = next(line for line in lines if "q" in line)
    assert lines.index(middle) in (5, 6) and middle.index("q") > 18
    below = next(line for line in lines if "k" in line)
    assert lines.index(below) > lines.index(middle) and 9 < below.index("k") < 15
    # The names are read on dark and on light: without the colour of their hands.
    colored = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor", no_color=False)
    colored.print(clocks([Clock("one", [Hand("q", 2, 0), Hand("k", 0, -1)])]))
    assert all(f"\x1b[1m{name}\x1b[0m" in colored.file.getvalue() for name in "qk")  # type: ignore[attr-defined]
    console = Console(file=io.StringIO(), width=80)
    console.print(clocks([Clock("one", [Hand("", 0, 1)])]))
    rows = console.file.getvalue().splitlines()[1:]  # type: ignore[attr-defined]
    drawn = [row.ljust(25)[12] not in " \u2800" for row in rows]
    assert all(drawn[1:5]) and not any(drawn[7:10])
