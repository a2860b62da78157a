"""The lens and attribution: what each layer would say, and what each part adds to the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.attribution import unembedding
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.core.attention import softmax
from llminspect.core.tap import Capture
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.commands.experimenting import FRANCE, GOLDEN, ITALY, ids_prompt, prompt
from tests.commands.plain_llama import plain_forward

if TYPE_CHECKING:
    from llminspect.model.opened import Model


def test_the_lens_at_the_last_layer_is_the_answer(smollm2: Model) -> None:
    result = forward(
        smollm2, ForwardQuestion(ForwardOptions(lens=True, all=True, target=" Paris")), prompt(smollm2, FRANCE)
    )
    assert result.lens is not None
    assert result.next is not None
    assert result.grid is not None
    assert [token.id for token in result.lens[-1].top] == [found.id for found in result.next]
    np.testing.assert_allclose(
        [token.prob for token in result.lens[-1].top], [found.prob for found in result.next], atol=1e-5
    )
    ranks = [layer.target.rank for layer in result.lens if layer.target is not None]
    assert len(ranks) == 30
    # Paris takes the lead at the very last layer; docs/09-looking-inside.md shows it.
    assert ranks[27:] == [6, 2, 0]
    whole = smollm2.logits(smollm2.run(prompt(smollm2, FRANCE).ids).stream_TD)
    assert [token.id for token in result.grid[-1]] == whole.argmax(-1).tolist()
    assert [layer[-1].id for layer in result.grid] == [layer.top[0].id for layer in result.lens]


def test_the_lens_of_a_middle_layer_is_norm_and_vocabulary(smollm2: Model) -> None:
    result = forward(smollm2, ForwardQuestion(ForwardOptions(lens=True)), prompt(smollm2, FRANCE))
    assert result.lens is not None
    _, streams = plain_forward(smollm2, prompt(smollm2, FRANCE).ids)
    stream = streams[20][-1]
    normed = stream / np.sqrt((stream**2).mean() + 1e-5) * smollm2.params["final.norm.weight"]
    chances = softmax(np.asarray(smollm2.params["embedding.weight"], np.float64) @ normed)
    for token in result.lens[20].top:
        assert abs(token.prob - chances[token.id]) < 1e-4


@pytest.mark.parametrize("versus", [None, " London"])
def test_attribution_sums_to_the_logit(smollm2: Model, versus: str | None) -> None:
    look = ForwardOptions(attribution=True, target=" Paris", versus=versus)
    found = forward(smollm2, ForwardQuestion(look), prompt(smollm2, FRANCE)).attribution
    assert found is not None
    parts = found.embedding + found.bias + sum(layer.attention + layer.feedforward for layer in found.layers)
    assert abs(parts - found.logit) < 1e-3
    assert abs(parts - found.sum) < 1e-9
    for layer in found.layers:
        assert abs(sum(layer.heads) - layer.attention) < 1e-3
    strongest = max((value, layer.layer, head) for layer in found.layers for head, value in enumerate(layer.heads))
    if versus:
        assert strongest[1:] == (23, 4)


def test_neurons_add_up_to_what_their_step_adds() -> None:
    """And each is its activation times its column, through the norm as it was, on the target's row."""
    model, ids = open_model(str(GOLDEN / "llama")), [5, 6, 7, 8]
    layers, width = model.config.sizes.L, model.config.sizes.F
    look = ForwardOptions(attribution=True, neurons=layers * width)
    found = forward(model, ForwardQuestion(look), ids_prompt(*ids)).attribution
    assert found is not None and found.neurons is not None and len(found.neurons) == layers * width
    for layer in range(layers):
        shares = sum(one.share for one in found.neurons if one.layer == layer)
        np.testing.assert_allclose(shares, found.layers[layer].feedforward, rtol=1e-4, atol=1e-6)
    kept = Capture("layers.*.feedforward.activation")
    stream_D = model.run(ids, kept).stream_TD[-1].astype(np.float64)
    size = np.sqrt(np.mean(stream_D**2) + model.config.norm_epsilon)
    row_D = np.asarray(unembedding(model)[found.target.id], np.float64) * model.params["final.norm.weight"] / size
    for one in found.neurons[:5]:
        name = f"layers.{one.layer}.feedforward"
        activation = kept[f"{name}.activation"][-1, one.neuron]
        column_D = np.asarray(model.params[f"{name}.down.weight"])[:, one.neuron]
        np.testing.assert_allclose([one.activation, one.share], [activation, activation * column_D @ row_D], rtol=1e-4)
    few = forward(model, ForwardQuestion(replace(look, neurons=3)), ids_prompt(*ids)).attribution
    assert few is not None and few.neurons == found.neurons[:3]


@pytest.mark.parametrize("name", ["toy", "gemma2", "mixtral"])
def test_a_model_whose_neurons_do_not_add_by_themselves_is_refused(name: str) -> None:
    model = open_model("toy" if name == "toy" else str(GOLDEN / name))
    with pytest.raises(UsageError, match="--neurons"):
        forward(model, ForwardQuestion(ForwardOptions(attribution=True, neurons=3)), ids_prompt(1, 2))


def test_attribution_of_the_toys() -> None:
    model = open_model("toy-attention")
    found = forward(
        model, ForwardQuestion(ForwardOptions(attribution=True, target="sat")), prompt(model, "A cat sat .")
    ).attribution
    assert found is not None
    assert abs(found.sum - found.logit) < 1e-6
    assert abs(found.embedding) < 1e-6
    model = open_model("toy-induction")  # Without a norm at the end.
    question = ForwardQuestion(ForwardOptions(attribution=True, target="Toad"))
    found = forward(model, question, prompt(model, "Mr Toad met Mrs Hen. Mr")).attribution
    assert found is not None and abs(found.sum - found.logit) < 1e-6 < found.layers[1].heads[0]
    with pytest.raises(Exception, match="not the sum"):
        forward(
            open_model("toy"), ForwardQuestion(ForwardOptions(attribution=True)), prompt(open_model("toy"), "world")
        )


@pytest.mark.parametrize("family", ["gemma2", "olmo2", "mixtral", "qwen2", "gpt-oss"])
def test_attribution_sums_in_every_family(family: str) -> None:
    """With norms after the steps, caps on the logits, biases, experts, attention sinks."""
    model = open_model(str(GOLDEN / family))
    result = forward(model, ForwardQuestion(ForwardOptions(attribution=True)), ids_prompt(5, 6, 7, 8))
    found = result.attribution
    assert found is not None
    parts = found.embedding + found.bias + sum(layer.attention + layer.feedforward for layer in found.layers)
    assert abs(parts - found.logit) < 1e-3
    assert abs(sum(sum(layer.heads) for layer in found.layers)) > 0


@pytest.mark.parametrize("family", ["t5", "t5-gated"])
def test_attribution_of_a_decoder_counts_what_it_reads_in_the_source(family: str) -> None:
    model = open_model(str(GOLDEN / family))
    question = ForwardQuestion(
        ForwardOptions(attribution=True, target_ids="9,10"), experiments=ExperimentOptions(scale=["0.1*3"])
    )
    found = forward(model, question, ids_prompt(5, 6, 7)).attribution
    assert found is not None
    parts = found.embedding + sum(layer.attention + layer.feedforward for layer in found.layers)
    crossed = [layer.cross for layer in found.layers if layer.cross is not None]
    assert len(crossed) == len(found.layers)
    assert abs(parts + sum(crossed) - found.logit) < 1e-3
    assert abs(parts - found.logit) > 1e-2


@pytest.mark.parametrize(
    ("look", "options", "patch"),
    [
        ({}, {"steer": ["love - hate@6*2", "love@29*1"]}, {}),
        ({"versus": " London"}, {"scale": ["23.4*2"]}, {"patch": ITALY, "into": ["10.stream"]}),
    ],
    ids=["steered", "patched"],
)
def test_attribution_counts_what_an_experiment_adds(
    smollm2: Model, look: dict[str, Any], options: dict[str, Any], patch: dict[str, Any]
) -> None:
    text = prompt(smollm2, FRANCE)
    other = prompt(smollm2, ITALY).ids if patch else None
    question = ForwardQuestion(
        ForwardOptions(attribution=True, target=" Paris", **look),
        SweepOptions(**patch),
        ExperimentOptions(**options),
        other,
    )
    found = forward(smollm2, question, text).attribution
    assert found is not None
    assert found.experiment is not None
    assert abs(found.experiment) > 0.01
    parts = found.embedding + found.experiment + sum(layer.attention + layer.feedforward for layer in found.layers)
    assert abs(parts - found.logit) < 1e-3
    assert abs(parts - found.sum) < 1e-9
