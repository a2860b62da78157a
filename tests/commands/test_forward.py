"""`forward`: the hand calculation of the toy, the recorded numbers of SmolLM2, mistakes, widths."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from rich.console import Console

from llminspect.analysis.candidates import RankedToken
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.lens import LensLayer
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.forward import ForwardOptions
from llminspect.commands.forward.answers import leads_from, lens_table
from llminspect.commands.forward.view import render
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from tests.closeness import SINGLE, assert_close
from tests.conftest import ROOT

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

REFERENCE = orjson.loads((Path(__file__).parent.parent / "golden" / "smollm2.json").read_bytes())


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.wrap(model.tokenizer.encode(text)))


def drawn(rendering: Any, width: int, color: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=color, color_system="truecolor" if color else None
    )
    console.print(rendering)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_toy_is_the_hand_calculation() -> None:
    model = open_model("toy")
    result = forward(model, ForwardQuestion(), prompt(model, "world"))
    assert result.steps is not None
    values = {step.name: step.value for step in result.steps}
    assert values["x"].tolist() == [0, 1, 0]  # type: ignore[union-attr]
    np.testing.assert_allclose(values["e"], [0.3, 0.4], rtol=1e-6)  # type: ignore[arg-type]
    np.testing.assert_allclose(values["h"], [2.0, 2.7], rtol=1e-6)  # type: ignore[arg-type]
    np.testing.assert_allclose(values["logits"], [0.74, 1.68, 2.62], rtol=1e-6)  # type: ignore[arg-type]
    exponentials = np.exp([0.74, 1.68, 2.62])
    np.testing.assert_allclose(
        values["probabilities"],  # type: ignore[arg-type]
        exponentials / exponentials.sum(),
        rtol=1e-6,
    )
    assert values["next"] == "!"
    assert result.next is not None
    assert [candidate.text for candidate in result.next] == ["!", "world", "hello"]


def test_the_toy_is_written_line_by_line() -> None:
    model = open_model("toy")
    text = drawn(render(forward(model, ForwardQuestion(), prompt(model, "world"))), 80)
    for part in ("[0, 1, 0]", "[0.3, 0.4]", "[2.0, 2.7]", "[0.74, 1.68, 2.62]", "= !"):
        assert part in text
    places = [text.index(part) for part in ("[0, 1, 0]", "= [0.3, 0.4]", "= [2.0, 2.7]", "= [0.74", "= !")]
    assert places == sorted(places)


@pytest.mark.parametrize("entry", REFERENCE["forward"], ids=lambda entry: entry["text"])
def test_smollm2_matches_the_recorded_numbers(smollm2: Model, entry: dict[str, Any]) -> None:
    result = forward(smollm2, ForwardQuestion(ForwardOptions(top=10)), prompt(smollm2, entry["text"]))
    assert [token["id"] for token in result.tokens] == entry["ids"]
    assert result.next is not None
    assert [candidate.id for candidate in result.next] == [top["id"] for top in entry["top"]]
    assert_close([candidate.logit for candidate in result.next], [top["logit"] for top in entry["top"]])
    assert_close([candidate.prob for candidate in result.next], [top["prob"] for top in entry["top"]])
    # The last recorded length is that after the final norm; the others those of the stream after the embedding and on.
    lengths = [trace.norm for trace in result.layers]
    np.testing.assert_allclose(lengths[:-1], entry["hidden_norms"][1:-1], rtol=SINGLE)


def test_the_feed_forward_step_adds_up(smollm2: Model) -> None:
    result = forward(smollm2, ForwardQuestion(ForwardOptions(layer="3")), prompt(smollm2, "A cat sat."))
    assert result.feedforward is not None
    step = result.feedforward[0]
    assert (step.layer, step.gated, step.function, step.width) == (3, True, "SiLU", 1536)
    weight_FD = smollm2.params.layer(3)["feedforward.gate.weight"]
    for unit in step.units:
        assert unit.up is not None
        hidden = float(np.dot(weight_FD[unit.unit].astype(float), step.input))
        assert abs(unit.hidden - hidden) < 1e-4
        assert abs(unit.activation - hidden / (1 + np.exp(-hidden)) * unit.up) < 1e-4


def test_layers_are_opened_only_where_asked() -> None:
    model = open_model("toy-attention")
    text = prompt(model, "A cat sat.")
    assert all(trace.steps is None for trace in forward(model, ForwardQuestion(), text).layers)
    traced = forward(model, ForwardQuestion(ForwardOptions(trace=True)), text)
    steps = traced.layers[0].steps
    assert steps is not None
    weights = next(step for step in steps if step.name.endswith("weights"))
    assert weights.shape == (1, 4, 4)
    assert abs(weights.mean - 0.25) < 1e-6
    assert traced.after is not None
    assert [step.name for step in traced.after] == ["final.norm", "final.logits"]


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("color", [True, False])
def test_no_line_is_wider_than_the_terminal(smollm2: Model, width: int, color: bool) -> None:
    result = forward(smollm2, ForwardQuestion(ForwardOptions(layer="29")), prompt(smollm2, "Alice gave Bob her book"))
    text = drawn(render(result), width, color)
    assert "·of" in text
    if not color:
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= width


def test_json_and_the_saved_arrays(called: Program, tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    ran = called("forward", "hello world", "--model", "toy", "--json", "--save", str(path))
    assert ran.code == 0
    document = ran.json
    assert list(document)[:4] == ["schema", "command", "model", "provenance"]
    assert document["next"][0] == {
        "id": 2,
        "text": "!",
        "logit": pytest.approx(2.62, abs=1e-6),
        "prob": pytest.approx(0.648, abs=1e-4),
    }
    with np.load(path) as saved:
        assert saved["hidden"].shape == (2, 2, 2)
        assert saved["ids"].tolist() == [0, 1]
        np.testing.assert_allclose(saved["logits"][1], [0.74, 1.68, 2.62], rtol=1e-6)
        np.testing.assert_allclose(saved["hidden"][1, 1], [2.0, 2.7], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["world", "--layer", "7"], "there is no layer 7 (the only layer is 0)"),
        (["world", "--layer", "x"], "--layer cannot read 'x'"),
        (["world", "--at", "5"], "there is no position 5"),
        (["--ids", "9"], "id 9 is outside the vocabulary"),
        ([""], "the text is empty"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], written: str) -> None:
    ran = called("forward", "--model", "toy", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert written in ran.err
    assert len(ran.err.splitlines()) == 1


def test_opened_layers_come_once_and_in_their_order() -> None:
    model = open_model(str(ROOT / "tests/golden/llama"))
    text = prompt_of_ids([5, 6, 7], None, None)
    result = forward(model, ForwardQuestion(ForwardOptions(layer="1,0,1")), text)
    assert [step.layer for step in result.feedforward or []] == [0, 1]
    assert [trace.layer for trace in result.layers if trace.steps] == [0, 1]
    names = [step.name for trace in result.layers for step in trace.steps or []]
    assert len(names) == len(set(names))
    assert not any(trace.steps for trace in forward(model, ForwardQuestion(), text).layers)


@pytest.mark.parametrize(
    ("ranks", "first"),
    [([0, 0, 0], 0), ([3, 0, 0], 1), ([0, 3, 0], 2), ([0, 0, 3], None), ([0, 3, 0, 0], 2), ([2, 1], None)],
)
def test_the_target_leads_from_where_it_stays_in_front(ranks: list[int], first: int | None) -> None:
    layers = [LensLayer(layer, [], RankedToken(7, "x", 0.5, rank)) for layer, rank in enumerate(ranks)]
    assert leads_from(layers) == first
    note = f"leads from layer {first} on" if first is not None else "leads at no layer up to the end"
    assert f"“x” {note}" in " ".join(drawn(lens_table(layers), 200).split())


@pytest.mark.parametrize(("target", "spaced"), [("Paris", " Paris"), (" Paris", None), ("#7042", None), (".", None)])
def test_a_target_without_its_space_names_that_with_it(called: Program, target: str, spaced: str | None) -> None:
    ran = called("forward", "The capital of France is", "--target", target, COLUMNS="200")
    document = called("forward", "The capital of France is", "--target", target, "--json").json
    if spaced is None:
        assert "target_spaced" not in document and "without its space" not in ran.out
        return
    assert (document["target_spaced"]["text"], document["target_spaced"]["rank"]) == (spaced, 0)
    says = '“Paris” without its space is another token than “·Paris”, which has rank 0 and 77.25%: --target " Paris"'
    assert says in ran.out
