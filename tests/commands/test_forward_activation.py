"""What a feed-forward step's f lets through: sums for paper, the curve with its points, the histogram of h."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from llminspect.analysis.feed_forward import BINS, FeedForward, activation_curve, activation_of
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.forward import ForwardOptions
from llminspect.commands.forward.feed_forward import activation
from llminspect.core.activations import relu, silu
from llminspect.core.tap import Capture
from llminspect.model.toy import TOYS
from llminspect.opening import BUILT_IN, open_model
from llminspect.render.curve import curve
from tests.render.samples import lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program


def test_the_toy_by_hand(called: Program) -> None:
    shown = called("forward", "hello", "--model", "toy-relu", "--steps").out
    for line in (
        "[[1, -1], [1, 2], [-1, 1]] · [1, 0] + [1, 0, -1]",
        "max([2, 1, -2], 0)",
        "[[1, -1, 4], [2, 0, 1]] · [2, 1, 0] + [0, 1]",
        "[1, 5, 4]",
    ):
        assert f"= {line}" in shown
    found = called("forward", "hello", "--model", "toy-relu", "--json").json
    step = found["feedforward"][0]
    assert {unit["unit"]: (unit["hidden"], unit["bent"]) for unit in step["units"]} == {
        0: (2, 2),
        1: (1, 1),
        2: (-2, 0),
    }
    assert step["curve"]["passed"] == pytest.approx(3 / 5) and "counts" not in step["curve"]
    assert [entry["text"] for entry in found["next"]] == ["world", "!", "hello"]


def test_the_curve_names_its_points_and_its_axis_ends_in_their_rows(called: Program) -> None:
    shown = called("forward", "hello", "--model", "toy-relu", "--steps").out.splitlines()
    top = next(line for line in shown if line.startswith("2 │"))
    assert "unit 0 ●" in top
    assert {unit for line in shown for unit in re.findall(r"unit \d", line)} == {"unit 0", "unit 1", "unit 2"}
    here = curve([0, 1], [0, 1], [(0.5, 0.5, "unit 3"), (0.5, 0.5, "unit 4")])
    assert "● unit 3, unit 4" in "\n".join(lines(here, 60))


def test_points_side_by_side_have_one_label_from_left_to_right() -> None:
    apart = [(0.51, 0.5, "unit 4"), (0.49, 0.5, "unit 3"), (0.9, 0.9, "unit 5")]
    drawn = lines(curve([0, 1], [0, 1], apart), 60)
    assert any("●● unit 3, unit 4" in line for line in drawn)
    assert any("unit 5 ●" in line for line in drawn)
    at_the_edge = lines(curve([0, 1], [0, 1], [(0.97, 1.0, "unit 1"), (1.0, 1.0, "unit 2")]), 60)
    assert any("unit 1, unit 2 ●●" in line for line in at_the_edge)


def test_each_word_of_the_toy_leads_to_the_next_and_only_with_its_activation(called: Program) -> None:
    written = called("generate", "hello", "--model", "toy-relu", "--max-tokens", "3", "--json").json
    assert [step["text"] for step in written["steps"]] == ["world", "!", "hello"]
    model = TOYS["toy-relu"]()
    layer = model.params.layer(0)
    hidden_F = layer["feedforward.up.weight"] @ [1, 0] + layer["feedforward.up.bias"]
    output_D = layer["feedforward.down.weight"] @ hidden_F + layer["feedforward.down.bias"]
    assert int(np.argmax(model.params["embedding.weight"] @ output_D)) == 2


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma", "apertus", "nemotron", "bert", "gemma3n", "smollm2"])
def test_the_curve_is_the_function_that_the_model_computes(name: str) -> None:
    model = open_model(name if name == "smollm2" else f"tests/golden/{name}")
    capture = Capture("layers.0.feedforward.*", optional=True)
    model.run([5, 6, 7], capture)
    arrays = {step.split("feedforward.")[1]: array for step, array in capture.arrays.items()}
    gated = "gate" in arrays
    f = activation_of(model, 0, gated)
    assert f is not None
    expected_TF = f(arrays["gate" if gated else "hidden"]) * (arrays["up"] if gated else 1)
    size = np.abs(arrays["activation"]).max()
    np.testing.assert_allclose(expected_TF, arrays["activation"], rtol=1e-5, atol=1e-6 * size)


def test_two_halves_that_are_bent_together_have_no_curve(called: Program) -> None:
    given = ("forward", "--ids", "5,6,7", "--layer", "0", "--model", "tests/golden/gpt-oss")
    assert all("curve" not in step for step in called(*given, "--json").json.get("feedforward", []))
    assert "what passes" not in called(*given).out


def test_what_passes_is_counted_as_a_slow_loop_counts_it() -> None:
    hidden_TF = np.random.default_rng(7).normal(size=(9, 40)).astype(np.float32)
    found = activation_curve(relu, hidden_TF, hidden_TF[0, :3])
    low, high = float(found.hidden[0]), float(found.hidden[-1])
    counts, through = [0] * BINS, [0.0] * BINS
    for value in hidden_TF.astype(float).ravel():
        part = min(max(int((value - low) / (high - low) * BINS), 0), BINS - 1)
        counts[part] += 1
        through[part] += max(value, 0) / value
    assert found.counts is not None and found.passing is not None
    assert found.counts.tolist() == counts and sum(counts) == hidden_TF.size
    np.testing.assert_allclose(found.passing, [t / max(c, 1) for t, c in zip(through, counts, strict=True)], rtol=1e-12)
    np.testing.assert_allclose(found.passed, np.maximum(hidden_TF, 0).sum() / np.abs(hidden_TF).sum(), rtol=1e-6)
    assert low < 0 < high and found.least <= low and found.most >= high
    # What comes out below 0 counts by its size as well.
    assert activation_curve(np.tanh, -np.abs(hidden_TF), hidden_TF[0, :3]).passed == pytest.approx(
        np.abs(np.tanh(hidden_TF)).sum() / np.abs(hidden_TF).sum(), rel=1e-6
    )


def test_a_curve_is_drawn_for_opened_layers_alone(called: Program) -> None:
    given = ("forward", "--ids", "5,6,7", "--model", "tests/golden/llama")
    assert "what passes" not in called(*given).out
    assert called(*given, "--layer", "0-1").out.count("f = SiLU: what passes") == 2
    hidden = [entry["curve"]["counts"] for entry in called(*given, "--layer", "0-1", "--json").json["feedforward"]]
    assert [len(counts) for counts in hidden] == [BINS, BINS]


def test_the_numbers_of_the_units_stand_point_under_point(called: Program) -> None:
    out = called("forward", "--ids", "5,6,7", "--model", "tests/golden/llama", "--layer", "1").out
    rows = out.partition("\nunit ")[2].partition("\nthe ")[0].splitlines()[2:]
    units = [line.split()[1:4] for line in rows]
    assert len(units) == 6
    for column in zip(*units, strict=True):
        assert len({len(text.partition(".")[2]) for text in column}) == 1, column


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_points_stand_on_the_curve_and_nothing_is_wider_than_the_page(columns: int) -> None:
    console = Console(width=columns, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(
            curve([-2, 0, 2], [0, 0, 2], [(2, 2, "unit 5"), (-2, 0, "shut")], counts=[4, 1, 2], full=[0, 0.5, 1])
        )
    lines = captured.get().splitlines()
    assert all(len(line) <= columns for line in lines)
    assert "unit 5 ●" in lines[1] and "● shut" in lines[12]
    # The first column of three is the highest, all of it held back; of the last, half as high, everything passes.
    below = "\n".join(lines[15:])
    assert below.count("▒") > below.count("█") > 0 and lines[15].strip().startswith("4")


@pytest.mark.parametrize("columns", [60, 80, 160])
@pytest.mark.parametrize("most", [2.0, 44.0], ids=["short", "long"])
def test_the_dip_of_silu_below_0_is_seen(columns: int, most: float) -> None:
    """The curve bends left of 0, by dots if not by cells; on a long axis in a picture of its own."""
    spread = np.linspace(-5.5, most, 60, dtype=np.float32)
    step = FeedForward(0, 60, "SiLU", False, spread, [], spread, 0.5, curve=activation_curve(silu, spread, spread[:1]))
    console = Console(width=columns, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(activation(step))
    out = captured.get()
    assert ("the same, near 0" in out) == (most > 10) and "f(h) is lowest near h = -1.3: -0.278" in out
    plane = out.rpartition("↑ f(h)")[2].partition("└")[0]
    left = [cell for line in plane.splitlines() for cell in line.partition("│")[2].partition("┊")[0]]
    assert len({cell for cell in left if "\u2800" < cell < "\u2900"}) >= 4, "a flat line"


def test_the_largest_units_are_not_said_to_fire_most(called: Program) -> None:
    out = called("forward", "--ids", "5,6,7", "--model", "tests/golden/llama", "--layer", "1").out
    assert "with the largest |a|" in " ".join(out.split()) and "fire" not in out


def test_a_note_where_more_comes_out_than_went_in() -> None:
    model = open_model("tests/golden/nemotron")
    prompt = prompt_of_ids([5, 6, 7], None, None)
    found = forward(model, ForwardQuestion(ForwardOptions(layer="0")), prompt).feedforward
    assert found is not None and found[0].curve is not None and found[0].curve.passed > 1
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(activation(found[0]))
    assert "times all |h|" in captured.get()


def test_the_names_of_the_toys_are_the_toys() -> None:
    assert set(BUILT_IN) == set(TOYS)


def test_a_strangers_model_of_few_numbers_is_not_written_out_as_a_toy(called: Program, tmp_path: Path) -> None:
    rng, sizes = np.random.default_rng(5), {"hidden_size": 8, "vocab_size": 8, "intermediate_size": 8}
    layer: dict[str, tuple[int, ...]] = {}
    layer |= {f"self_attn.{part}_proj": (8, 8) for part in "qkvo"} | {
        f"mlp.{p}_proj": (8, 8) for p in ("gate", "up", "down")
    }
    layer |= {f"{norm}_layernorm": (8,) for norm in ("input", "post_attention")}
    shapes = {f"model.layers.0.{name}.weight": shape for name, shape in layer.items()}
    shapes |= {"model.embed_tokens.weight": (8, 8), "model.norm.weight": (8,), "lm_head.weight": (8, 8)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(arrays, tmp_path / "model.safetensors")
    config = {"model_type": "llama", "num_hidden_layers": 1, "num_attention_heads": 2, **sizes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ran = called("forward", "--ids", "1,2", "--steps", "--model", str(tmp_path))
    assert ran.code == 0 and "residual stream after the last layer" in ran.out
