"""`neuron`: rows and columns against the layer itself, activations against taps, and changes at one neuron."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis.experiments import experiment_taps
from llminspect.analysis.firing import activations
from llminspect.analysis.neuron import NeuronResult
from llminspect.analysis.neuron import neuron as question
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.parts import CorpusOptions, NeuronOptions
from llminspect.core.intervention import Place, replaced
from llminspect.core.tap import Capture, Chain, Edit
from llminspect.errors import UserError
from llminspect.model.folded import logits_of, token_vectors
from llminspect.model.neuron_maps import neuron_maps
from llminspect.opening import open_model
from tests.closeness import SINGLE, assert_close
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
FAMILIES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
IDS = [1, 4, 2, 7]


def of(model: Model, place: str, **options: Any) -> NeuronResult:
    return question(model, NeuronOptions(place=place, **options), CorpusOptions())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_is_answered_or_refused(family: str) -> None:
    model = open_model(str(GOLDEN / family))
    for layer in range(model.config.sizes.L):
        for place in (f"{layer}.3", f"{layer}.1.3"):
            try:
                found = of(model, place)
            except UserError as error:
                assert len(error.message.splitlines()) == 1
                continue
            assert len(found.writes) == min(8, model.config.sizes.V)
            check_layer(model, found)


def check_layer(model: Model, found: NeuronResult) -> None:
    """The neuron reads what its layer does where tokens stand alone in the stream, and writes what it adds there."""
    layer, neuron = found.layer, found.neuron
    maps = neuron_maps(model, layer, neuron, found.expert)
    x_TD = np.concatenate([token_vectors(model, token_id, token_id + 1) for token_id in IDS])
    alone = [Edit(f"layers.{layer}.{step}", lambda _, x: x, x_TD) for step in ("input", "middle")]
    scale_T, router = maps.norm.scale(x_TD), f"layers.{layer}.feedforward.router.weights"
    kept = Capture(router, maps.tap, *(row.tap for row in maps.rows), optional=True)
    shifted = "feedforward.shift" in model.params.layer(layer)
    model.run(IDS[:1] if shifted else IDS, Chain([*alone, kept]) if not shifted else kept)
    if shifted:  # It reads a mix of two tokens.
        return
    rows = np.arange(len(IDS))
    if found.expert is not None:
        rows = np.flatnonzero(kept[router][:, found.expert])
        if not len(rows):
            return
    for row, reads in zip(maps.rows, found.reads, strict=True):
        product_T = x_TD @ row.read_D * scale_T + row.constant
        if not model.config.sparsity:
            assert_close(product_T[rows], kept[row.tap][:, neuron])
        assert reads.top[0].product >= product_T.max() - SINGLE * np.abs(product_T).max()
        assert reads.bottom[0].product <= product_T.min() + SINGLE * np.abs(product_T).max()
    if found.expert is None:
        check_write(model, maps, found, x_TD)


def check_write(model: Model, maps: Any, found: NeuronResult, x_TD: Any) -> None:
    """What one more of the activation adds, before a norm after the step."""
    name, arrays = f"layers.{found.layer}.feedforward", model.params.layer(found.layer)
    if "feedforward.norm_after.weight" in arrays:
        return
    added = []
    for more in (0.0, 1.0):
        kept = Capture(f"{name}.output")
        one_more = Edit(maps.tap, lambda array, value: array * 0 + value * np.eye(array.shape[-1])[found.neuron], more)
        model.run(IDS, Chain([one_more, kept]))
        added.append(kept[f"{name}.output"][0])
    assert_close(maps.write_D, (added[1] - added[0]), 1e-3)
    logits_V = logits_of(model, maps.write_D[None])[0]
    logits_V -= logits_V.mean()
    assert_close([token.logit for token in found.writes], np.sort(logits_V)[::-1][: len(found.writes)])
    assert_close([token.logit for token in found.lowers], np.sort(logits_V)[: len(found.lowers)])
    assert_close(found.size, np.sqrt((logits_V**2).mean()))


@pytest.mark.parametrize(("family", "expert"), [("llama", None), ("gpt2", None), ("mixtral", 1), ("qwen3-moe", 0)])
def test_activations_are_those_of_each_text_alone(family: str, expert: int | None) -> None:
    model, layer = open_model(str(GOLDEN / family)), 0 if expert is not None else 1
    ids_BT = np.random.default_rng(2).integers(0, model.config.sizes.V, (3, 9))
    tap = neuron_maps(model, layer, 5, expert).tap
    found_BT = activations(model, tap, layer, 5, expert, ids_BT)
    router = f"layers.{layer}.feedforward.router.weights"
    for ids_T, found_T in zip(ids_BT, found_BT, strict=True):
        kept = Capture(tap, router, optional=True)
        model.run(ids_T, kept)
        rows = slice(None) if expert is None else np.flatnonzero(kept[router][:, expert])
        expected_T = np.full(9, np.nan)
        if tap in kept.arrays:
            expected_T[rows] = kept[tap][:, 5]
        np.testing.assert_array_equal(np.isnan(found_T), np.isnan(expected_T))
        assert_close(np.nan_to_num(found_T), np.nan_to_num(expected_T))


def test_the_highest_places_of_a_corpus_are_found(tmp_path: Path) -> None:
    model = open_model("smollm2")
    (tmp_path / "a.txt").write_text("The capital of France is Paris. A cat sat on a mat. " * 5)
    (tmp_path / "b.txt").write_text("Alice gave Bob her book, and he read it all night. " * 5)
    for lowest in (False, True):
        options = NeuronOptions(place="5.7", examples=3, lowest=lowest, top=1)
        found = question(model, options, CorpusOptions(tmp_path, 1000, 16))
        pieces = []
        for name in ("a.txt", "b.txt"):
            ids = model.tokenizer.encode_ids((tmp_path / name).read_text())  # type: ignore[union-attr]
            pieces += [ids[at : at + 16] for at in range(0, len(ids), 16) if len(ids) - at > 1]
        every = []
        for ids in pieces:
            kept = Capture("layers.5.feedforward.activation")
            model.run(ids, kept)
            every.append(kept["layers.5.feedforward.activation"][:, 7].astype(float))
        best = sorted((max(each) if not lowest else -min(each) for each in every), reverse=True)[:3]
        assert found.examples is not None and found.firing is not None
        assert_close([place.activation * (-1 if lowest else 1) for place in found.examples], best)
        assert all(place.activations[place.index] == place.activation for place in found.examples)
        whole = np.concatenate(every)
        sums = found.firing
        assert sums.count == len(whole) and sums.read.whole and sums.read.files == 2
        assert_close([sums.mean, sums.std, sums.above], [whole.mean(), whole.std(), (whole > 0).mean()], 1e-4)
        assert_close([sums.highest, sums.lowest], [whole.max(), whole.min()])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_a_neuron_is_silenced_scaled_and_steered(family: str) -> None:
    """Each change against the same one made on the whole activation by hand."""
    model = open_model(str(GOLDEN / family))
    name, ids = "layers.1.feedforward.activation", [3, 1, 4, 1, 5]
    plain = Capture(name)
    before_TD = model.run(ids, plain).stream_TD
    mean = float(plain[name][:, 6].mean())
    changes: list[tuple[dict[str, Any], Any]] = [
        ({"ablate": "1.feedforward.6"}, lambda column: column * 0),
        ({"ablate": "1.feedforward.6", "ablate_with": "mean"}, lambda column: column * 0 + mean),
        ({"scale": "1.feedforward.6*-2"}, lambda column: column * -2),
        ({"steer": "1.feedforward.6*2.5"}, lambda column: column + 2.5),
    ]
    for options, change in changes:
        taps, done = experiment_taps(model, ExperimentOptions(**options), ids)
        assert [experiment.where for experiment in done] == ["1.feedforward.6"]
        by_hand_TF = plain[name].copy()
        by_hand_TF[:, 6] = change(by_hand_TF[:, 6])
        expected_TD = model.run(ids, Edit(name, lambda _, array: array, by_hand_TF)).stream_TD
        found_TD = model.run(ids, Chain(taps)).stream_TD
        assert_close(found_TD, expected_TD)
        assert np.abs(found_TD - before_TD).max() > 1e-3 * np.abs(before_TD).max()


def test_a_neuron_is_changed_by_kernels_and_at_positions() -> None:
    model = open_model("smollm2", kernels="compiled")
    other = open_model("smollm2", kernels="none")
    for position in (None, [2]):
        tap = replaced(Place(5, "neuron", neuron=9), 30.0, position)
        first, second = (each.run([504, 3575, 282, 4649, 314], tap).stream_TD for each in (model, other))
        assert_close(first, second, 1e-3)


def test_a_neuron_is_patched_and_silenced_on_the_command_line(called: Program) -> None:
    base = ("forward", "The capital of France is", "--json")
    for options in (
        ("--patch", "The capital of Italy is", "--into", "20.feedforward.7", "--position", "3"),
        ("--ablate", "20.feedforward.7", "--attribution"),
        ("--steer", "20.feedforward.7*9"),
    ):
        document = called(*base, *options).json
        assert document["change"]["experiments"][0]["where"] == "20.feedforward.7"


def test_jax_changes_a_neuron_as_numpy_does() -> None:
    pytest.importorskip("jax")
    models = [
        open_model(str(GOLDEN / "llama"), engine=None),
        llminspect.open_model(str(GOLDEN / "llama"), engine="jax"),
    ]
    streams = []
    for model in models:
        taps, _ = experiment_taps(
            model, ExperimentOptions(ablate="0.feedforward.3", steer="1.feedforward.6*2.5"), [3, 1, 4]
        )
        streams.append(np.asarray(model.run([3, 1, 4], Chain(taps)).stream_TD))
    assert_close(streams[1], streams[0])


def test_the_command_draws_and_writes_json(called: Program, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A cat sat on a mat. " * 30)
    base = ("neuron", "3.7", "--top", "2", "--corpus", str(tmp_path), "--length", "16", "--most", "40")
    drawn = called(*base, "--examples", "2", COLUMNS="80")
    assert drawn.code == 0, drawn.err
    for words in ("silu(gate) · up", "What it reads", "What it writes", "Where it fires", "there is more"):
        assert words in " ".join(drawn.out.split())
    assert max(map(len, drawn.out.splitlines())) <= 80
    document = json.loads(called(*base, "--json").out)
    assert_fits(document, "neuron")
    assert (document["layer"], document["neuron"], len(document["reads"])) == (3, 7, 2)
    assert document["writes"][0].keys() == {"id", "text", "logit"}
    assert {"text", "index", "activation"} <= document["examples"][0].keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("neuron",), "no neuron is named"),
        (("neuron", "3.feedforward"), "names no neuron"),
        (("neuron", "30.0"), "there is no layer 30"),
        (("neuron", "3.1536"), "there is no neuron 1536"),
        (("neuron", "3.0.1"), "is no mixture of experts"),
        (("neuron", "3.2", "--examples", "8", "--lowest"), "--lowest has no effect without --corpus"),
        (("neuron", "0.0", "--model", "toy"), "has no feed-forward step with neurons"),
        (("neuron", "0.0", "--model", str(GOLDEN / "mixtral")), "is a mixture of 5 experts"),
        (("neuron", "0.9.0", "--model", str(GOLDEN / "mixtral")), "there is no expert 9"),
        (("forward", "--ids", "1", "--ablate", "0.feedforward.0", "--model", str(GOLDEN / "mixtral")), "a mixture"),
        (("forward", "a", "--ablate", "3.feedforward.1536"), "there is no neuron 1536"),
        (("forward", "a", "--steer", "3.feedforward.7"), "does not say neuron*number"),
        (("forward", "world", "--ablate", "0.feedforward.0", "--model", "toy"), "has no neurons"),
    ],
)
def test_what_is_not_there_is_refused_in_a_line(called: Program, arguments: tuple[str, ...], message: str) -> None:
    ran = called(*arguments)
    assert ran.code in (1, 2) and message in ran.err, ran.err
    assert len(ran.err.splitlines()) == 1
