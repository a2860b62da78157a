"""A batch is one more axis in front, and tiles, padding and edits change nothing that they should not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core import attention
from llminspect.core.geometry import relative_difference
from llminspect.core.tap import Capture, Chain, Edit
from llminspect.errors import UsageError, UserError
from tests.closeness import SINGLE, assert_close
from tests.model.golden import NAMES, assert_as_expected, computed, stream
from tests.model.test_golden import GENERATING

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.model.opened import Model
    from tests.model.conftest import Opened
    from tests.model.golden import Golden


def source_of(model: Model, golden: Golden, rows: int | None = None) -> Cache | None:
    if not golden.has_source:
        return None
    ids = golden.expected["source_ids"]
    return model.encode_source(ids if rows is None else np.stack([ids] * rows))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_each_text_gives_alone(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    ids = golden.expected["ids"]
    both = model.run(np.stack([ids, ids[::-1]]), cache=source_of(model, golden, rows=2)).stream_TD
    alone = [model.run(row, cache=source_of(model, golden)).stream_TD for row in (ids, ids[::-1])]
    assert_close(both, np.stack(alone))


@pytest.mark.parametrize("name", NAMES)
def test_hidden_positions_are_seen_by_nobody(name: str, opened: Opened) -> None:
    """The first row is shorter and padded at its end; its numbers are those of the short text."""
    golden, model = opened(name)
    ids = golden.expected["ids"]
    short = len(ids) - 5
    hidden_S = np.zeros((2, len(ids)), bool)
    hidden_S[0, short:] = True
    both = model.run(np.stack([ids, ids]), cache=source_of(model, golden, rows=2), hidden_S=hidden_S).stream_TD
    alone = model.run(ids[:short], cache=source_of(model, golden)).stream_TD
    if "dynamic" in name or "longrope" in name:  # Their angles depend on the length of the whole.
        return
    assert_close(both[0, :short], alone)
    assert_close(both[1], model.run(ids, cache=source_of(model, golden)).stream_TD)


@pytest.mark.parametrize("name", NAMES)
def test_attention_in_tiles_gives_the_same(name: str, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "TILE", 8)
    golden, model = opened(name)
    assert_as_expected(
        computed(model, golden, Capture("*.input", "*.output", "*.weights", "*.pooled", optional=True)), golden
    )


@pytest.mark.parametrize("name", GENERATING)
def test_two_continuations_share_a_prompt(name: str, opened: Opened) -> None:
    """Each gives what it gives alone, whichever came first."""
    golden, model = opened(name)
    ids = golden.expected["ids"][:9]
    cache = model.run(ids[:6], cache=source_of(model, golden)).cache
    one = model.run(ids[6:], cache=cache).stream_TD
    other = model.run(np.roll(ids[6:], 1), cache=cache).stream_TD
    repeated = model.run(ids[6:], cache=cache).stream_TD
    whole = model.run(ids, cache=source_of(model, golden)).stream_TD
    assert_close(one, whole[6:])
    np.testing.assert_array_equal(repeated, one)
    assert relative_difference(other, one) > SINGLE


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt-neox", "gpt-oss"])
def test_a_wrong_rotary_base_is_seen(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    rotary: Any = model.config.rotary
    wrong = replace(model, config=replace(model.config, rotary=replace(rotary, base=rotary.base * 1.5)))
    with pytest.raises(AssertionError):
        assert_as_expected(computed(wrong, golden), golden)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("llama-llama3", {"factor": 7.0}),
        ("llama-llama3", {"low": 1.5}),
        ("llama-yarn", {"gain": 1.0}),
        ("llama-yarn", {"slow": 1.0}),
        ("gpt-oss", {"truncate": True}),
        ("llama-linear", {"factor": 2.0}),
        ("llama-dynamic", {"factor": 3.0}),
        ("phi3-longrope", {"gain": 1.0}),
        ("phi3-longrope", {"context": 64}),
    ],
)
def test_a_wrong_scaling_is_seen(name: str, change: dict[str, float], opened: Opened) -> None:
    golden, model = opened(name)
    rotary: Any = model.config.rotary
    scaled = replace(rotary, scaling=replace(rotary.scaling, **change))
    wrong = replace(model, config=replace(model.config, rotary=scaled))
    with pytest.raises(AssertionError):
        assert_as_expected(computed(wrong, golden), golden)


@pytest.mark.parametrize("name", ["gpt2", "bert", "roberta", "distilbert"])
def test_a_text_longer_than_the_table_of_positions_is_refused(name: str, opened: Opened) -> None:
    _, model = opened(name)
    context = model.config.sizes.context
    longest: Array = np.full(context, 5)
    assert model.run(longest).stream_TD.shape[0] == context
    with pytest.raises(UserError, match="more than this model has positions for"):
        model.run(np.full(context + 1, 5))


@pytest.mark.parametrize("name", ["t5", "marian"])
def test_an_encoder_decoder_needs_its_source(name: str, opened: Opened) -> None:
    _, model = opened(name)
    with pytest.raises(UsageError, match="source"):
        model.run([3, 4])


def test_what_a_model_can_do_follows_from_its_arrays(opened: Opened) -> None:
    assert {able for able in ("fill", "encode", "generate") if opened("bert")[1].can(able)} == {"fill", "encode"}
    assert {able for able in ("fill", "encode") if opened("bert-encoder")[1].can(able)} == {"encode"}
    assert opened("t5")[1].can("source") and not opened("llama")[1].can("source")


def test_an_edit_reaches_the_stream(opened: Opened) -> None:
    _, model = opened("gemma2")
    capture = Capture("layers.*")
    model.run([5, 6, 7], Chain([Edit("layers.1.attention.output", np.zeros_like), capture]))
    np.testing.assert_array_equal(capture["layers.1.middle"], capture["layers.1.input"])
    assert stream(capture, 3).shape[0] == 4
