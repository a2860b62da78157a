"""Every family gives the numbers that the reference implementation gives."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from dataclasses import is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.model.registry import architecture_of, architectures
from llminspect.opening import describe_model
from tests.model.cover import settings_in
from tests.model.golden import NAMES, Golden, assert_as_expected, computed, greedy, with_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.model.conftest import Opened

GENERATING = [name for name in NAMES if "greedy" in Golden(name).expected]
WITHOUT_EFFECT = ("attention.key.bias", "attention.key.norm.bias", "attention.distance_key.bias", "curve.limit")
"""Adds the same number to all scores of a query, which a softmax does not see, where nothing rotates the keys; changes
what is nearly nought already."""
ONE_PRODUCT = (
    ("layers.0.attention.query.norm_after.weight", "layers.0.attention.key.norm_after.weight"),
    ("layers.0.state.key.norm.weight", "layers.0.state.query.norm.weight"),
    ("layers.0.attention.output.bias", "layers.0.state.output.bias"),
)
"""Nothing comes between these two and the scores or the state, which are sums of the products of both, or the stream,
to which both are added."""


NOT_IN_THE_REFERENCE = {"exaone", "internlm2", "minicpm"}
"""Held equal to a family that is, in `test_renamed` and `test_minicpm`."""


def test_every_family_is_proved() -> None:
    families = {family.name for family in architectures()} - NOT_IN_THE_REFERENCE
    assert {architecture_of(Golden(name).config(), "huggingface", name).name for name in NAMES} == families


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_the_reference_s(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    assert_as_expected(computed(model, golden), golden)


@pytest.mark.parametrize("name", ["xlm-roberta", "camembert", "data2vec-text"])
def test_a_roberta_of_another_name_is_one(name: str, opened: Opened, tmp_path: Path) -> None:
    golden, model = opened("roberta")
    shutil.copy(golden.folder / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**golden.config(), "model_type": name}))
    described = describe_model(str(tmp_path))
    assert (described.architecture, described.config) == (model.architecture, model.config)


@pytest.mark.parametrize("name", NAMES)
def test_float64_stays_float64_and_gives_the_same(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    found = computed(in_float64(model), golden)
    assert {array.dtype for array in found.values()} == {np.dtype(np.float64)}
    assert_as_expected(found, golden)


@pytest.mark.parametrize("name", GENERATING)
def test_greedy_tokens_with_and_without_the_cache(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    assert greedy(model, golden, cached=True) == golden.expected["greedy"].tolist()
    assert greedy(model, golden, cached=False) == golden.expected["greedy"].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_the_older_form_of_the_configuration_says_the_same(name: str) -> None:
    golden = Golden(name)
    read = architecture_of(golden.config(), "huggingface", name).config_from_huggingface
    assert read(golden.config("config.older.json")) == read(golden.config())


@pytest.mark.parametrize("name", NAMES)
def test_no_array_can_be_lost_unseen(name: str, opened: Opened) -> None:
    """With any one array of the first layer, or outside the layers, set to nought the comparison fails."""
    golden, model = opened(name)
    unseen = [array for array in first_arrays(model) if not differs(with_zeros(model, array), golden)]
    unread = () if "pooled" in golden.expected else ("pooler.weight", "pooler.bias")
    assert [array for array in unseen if not array.endswith((*WITHOUT_EFFECT, *unread))] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_two_arrays_can_be_swapped_unseen(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    arrays = model.params.arrays
    names = [array for array in first_arrays(model) if not array.endswith(WITHOUT_EFFECT)]
    pairs = [
        (one, other)
        for index, one in enumerate(names)
        for other in names[index + 1 :]
        if arrays[one].shape == arrays[other].shape
    ]
    pairs = [pair for pair in pairs if pair not in ONE_PRODUCT]
    # As many as are quick to try; `zip` of neighbours would miss query and value.
    unseen = [
        (one, other)
        for one, other in pairs[:12]
        if not differs(with_arrays(model, {one: arrays[other], other: arrays[one]}), golden)
    ]
    assert unseen == []


@pytest.mark.parametrize("name", NAMES)
def test_no_setting_can_be_wrong_unseen(name: str, opened: Opened) -> None:
    """With any one number of the configuration a little off, a rotary base above all, the comparison fails."""
    golden, model = opened(name)
    wrong = dict(wrong_configs(model.config))
    if "logits" not in golden.expected:
        wrong.pop("logit_scale", None)
    if model.architecture.head is None or model.architecture.head.kind != "sequence classification":
        wrong.pop("reads", None)  # It is of the labels of a text.
    if vars(model.config).get("rotary") is not None:
        assert "rotary.base" in wrong
    else:
        wrong.pop("heads_normed", None)  # It is of turned heads.
    if model.architecture.head is not None:
        wrong.pop("scaled", None)  # It is of the words, which such a model does not predict.
    if not vars(model.config).get("buckets"):  # Each distance has a row of its own, or there is no table.
        wrong = {what: config for what, config in wrong.items() if what not in ("buckets", "farthest")}
    if not vars(model.config).get("waves"):  # A table of positions has no first wave.
        wrong.pop("first_wave", None)
    wrong.pop("encoder_stack.logit_scale", None)  # An encoder predicts no words.
    if golden.name == "nemotron_h":
        wrong.pop("parallel")  # Its layers have one step.
    changed = {what: replace(model, config=config) for what, config in wrong.items()}
    unseen = [what for what, other in changed.items() if not differs(other, golden)]
    # What holds for short texts only shows in the tokens that were chosen after a short one.
    assert [what for what in unseen if not writes_something_else(changed[what], golden)] == []


OF_THE_ARRAYS = (
    *("sizes", "encoder_layers", "encoder_heads", "encoder_width", "positions", "segments", "tasks", "plain_width"),
    *("distances_in_layers", "gate_last", "first"),
    *("state_layers", "without_attention", "channels", "kernel", "keys", "rank", "groups", "heads", "values"),
    *("shared_width", "embedding_width", "head_width", "norm_before", "span", "normed", "pairs", "shared"),
    *("multipliers", "latent"),
    *("whole_heads", "borrowing", "same_keys", "wider", "per_layer"),
    *("decay_rank", "rate_rank", "value_rank", "gate_rank", "embedding_norm", "norm_biases"),
    *("streams", "low_rank", "per_layer_tokens"),
    *("plain_layers", "biased", "attention_bias", "two_norms", "head_norms", "norms_before", "gated", "tied", "split"),
)
"""Settings that say which arrays there are and how large; the file's have to fit."""
NOT_OF_A_PASS = ("start_id", "causal", "masking", "layers_after")
COARSE = ("share", "fast", "slow", "buckets", "farthest", "width", "context", "size")
"""Settings that go through a whole number of pairs or of distances: a little off is not off."""
OF_LAYERS = ("windows",)
"""Settings with a number for each layer."""


OTHERS = {"relu": "silu", "rms": "layer", "layer": "rms", "halves": "interleaved", "interleaved": "halves"}
OTHERS |= {"first": "mean", "mean": "first", "late": "first", "softmax": "sigmoid", "sigmoid": "softmax"}
OTHERS |= {"fairseq": "marian"}


def wrong_configs(config: Any) -> Iterator[tuple[str, Any]]:
    """The configuration with one setting at a time a little wrong, by the setting's name."""
    for field, value in settings_in(config).items():
        if field in (*OF_THE_ARRAYS, *NOT_OF_A_PASS) or value is None or value == ():
            continue
        inner = wrong_configs(value) if is_dataclass(value) else [("", wrong_value(value, field in COARSE))]
        if field in OF_LAYERS:
            inner = [("", tuple(number + 1 for number in value))]
        for name, wrong in inner:
            with suppress(ValueError):  # Refused: nobody can be shown a wrong number.
                yield f"{field}.{name}".rstrip("."), replace(config, **{field: wrong})


def wrong_value(value: Any, coarse: bool) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value // 4 * 2 if coarse and value > 3 else value + 1
    if isinstance(value, float) and coarse:
        return value / 4
    if isinstance(value, float):  # What keeps a norm from dividing by nought is too small for a share of it to show.
        return value * 1.05 if value > 0.01 else value + 0.01
    if isinstance(value, str):
        return OTHERS.get(value, "relu")
    assert isinstance(value, tuple)
    return value[1:] if isinstance(value[0], int) else tuple(number * 3 for number in value)


def in_float64(model: Model) -> Model:
    return with_arrays(model, {name: array.astype(np.float64) for name, array in model.params.arrays.items()})


def first_arrays(model: Model) -> list[str]:
    """Those outside the layers, and of each kind the first layer's that has it."""
    first: dict[str, str] = {}
    for name in model.params.arrays:
        first.setdefault(re.sub(r"layers\.\d+\.", "layers.N.", name), name)
    return list(first.values())


def with_zeros(model: Model, name: str) -> Model:
    array: Array = model.params.arrays[name]
    return with_arrays(model, {name: np.zeros_like(array)})


def differs(model: Model, golden: Golden) -> bool:
    """In float64, where the least fault shows."""
    try:
        assert_as_expected(computed(in_float64(model), golden), golden)
    except (
        AssertionError,
        ValueError,
        ZeroDivisionError,
    ):  # ValueError: arrays of the file do not fit, and no number is shown.
        return True
    return False


def writes_something_else(model: Model, golden: Golden) -> bool:
    return "greedy" in golden.expected and greedy(model, golden, cached=False) != golden.expected["greedy"].tolist()
