"""Gradients by the tape: against PyTorch's, against finite differences in float64, on every kind of model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.gradients import gradients
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.analysis.verify import in_float64
from llminspect.core.tap import Edit
from tests.closeness import DOUBLE, SINGLE, assert_close
from tests.model.cover import abilities, covering, parts
from tests.model.golden import FOLDER, NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from tests.model.conftest import Opened

RECORDED = sorted({name.split("/")[0] for name in np.load(FOLDER / "gradients.npz")})
"""By tools/record_gradients.py."""
ANSWERS, TOKENS = (5, 9), 6
STACKS = {
    "hidden": "layers.{}.input",
    "attentions": "layers.{}.attention.weights",
    "encoder_hidden": "encoder.layers.{}.input",
    "encoder_attentions": "encoder.layers.{}.attention.weights",
    "cross_attentions": "layers.{}.cross_attention.weights",
}
KINDS = covering(NAMES, lambda name: parts(name) | abilities(name))
STEP = 1e-7


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("name", RECORDED)
def test_gradients_are_those_of_pytorch(name: str, double: bool, opened: Opened) -> None:
    golden, model = opened(name)
    with np.load(FOLDER / "gradients.npz") as file:
        recorded = {key.split("/")[1]: file[key] for key in file if key.split("/")[0] == name}
    expected, value = golden.expected, recorded.pop("value")
    ids = expected["ids"][:TOKENS].tolist()
    source, target = (expected["source_ids"].tolist(), ids) if golden.has_source else (ids, None)
    of: Any = ANSWERS
    if not (model.can("generate") or model.can("source")):  # Which says something of every token.
        of = difference
    layers = model.config.attending if "attentions" in recorded else range(model.config.sizes.L)
    places = {
        key: [STACKS[key].format(at) for at in (layers if key == "attentions" else range(len(recorded[key])))]
        for key in recorded
    }
    model = in_float64(model) if double else model
    names = [name for stack in places.values() for name in stack]
    found = gradients(model, prompt_of_ids(source, None, None), of, names, target=target)
    # Some weights are rounded to float32 when the model is opened.
    bound = (1e-5 if name in ("gemma2",) else DOUBLE) if double else SINGLE
    assert_close(found.value, value, 4 * bound)  # Of two logits, whose difference is smaller than they are.
    for key, stack in places.items():
        whole = recorded[key]
        size = np.linalg.norm(whole)
        for place, slope in zip(stack, whole, strict=True):
            assert np.linalg.norm(found[place] - slope) <= bound * size, place


def difference(seen: Mapping[str, Any]) -> Any:
    return seen["final.logits"][-1, ANSWERS[0]] - seen["final.logits"][-1, ANSWERS[1]]


@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_slopes_along_every_array(name: str, opened: Opened) -> None:
    """One step along a drawn direction of every array at once, each of which counts as much: a wrong one shows."""
    _, model = opened(name)
    model, chance = in_float64(model), np.random.default_rng(5)
    head = model.architecture.head
    ids = [token_id % model.config.sizes.V for token_id in (3, 14, 15, 92, 65, 35)]
    if head is not None and head.end_id is not None:
        ids.append(head.end_id)
    prompt = prompt_of_ids(ids, None, None)
    found = gradients(model, prompt, squares, ["*"])
    along: dict[str, Array] = {}
    for place, slope in found.gradients.items():
        size = np.linalg.norm(slope)
        # Of experts that were not chosen there is no step; a change of what the head reads of streams changes nothing.
        if size and not place.endswith((".masked", ".combined", "router.weights")) and ".experts." not in place:
            along[place] = np.where(slope == 0, 0, chance.standard_normal(slope.shape)) / size
    assert len(along) > 20
    steps = [[Edit(place, np.add, sign * STEP * direction) for place, direction in along.items()] for sign in (1, -1)]
    above, below = (gradients(model, prompt, squares, ["layers.0.input"], taps).value for taps in steps)
    expected = sum(float((found.gradients[place] * direction).sum()) for place, direction in along.items())
    assert abs((above - below) / (2 * STEP) - expected) < 1e-5 * np.sqrt(len(along)) * max(1, abs(found.value))


def squares(seen: Mapping[str, Any]) -> Any:
    """A number that hangs on all that the last step gives."""
    names = [name for name in seen if name.startswith("final.")] or list(seen)
    return (seen[names[-1]] * seen[names[-1]]).mean()
