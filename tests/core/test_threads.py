"""Work that is shared out gives what it gives in one piece."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.passes import PositionRows
from llminspect.core import attention, threads
from llminspect.core.tap import Capture, Chain
from llminspect.errors import UsageError
from llminspect.model import layer, transformer, watched
from llminspect.opening import open_model
from llminspect.processes import cores
from tests.closeness import assert_close
from tests.model.golden import NAMES, Golden, assert_as_expected, computed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model


@pytest.fixture(params=[1, 2, 3])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads, whatever the machine and the way the tests are run."""
    count: int = request.param
    with threads.products().limit(limits=count):
        if in_use() != count:
            pytest.fail("numpy's products do not hear how many threads they are to use")
        with threads.sharing(True):
            yield count
        assert in_use() == count


def in_use() -> int:
    """How many threads a matrix product has."""
    (count,) = {
        int(library.num_threads) for library in threads.products().lib_controllers
    }  # numpy's; scipy has its own.
    return count


def numbers(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape, dtype=np.float32)


def test_each_item_is_worked_on_once_by_products_that_stay_in_their_thread(number: int) -> None:
    done, within, meet = list[int](), set[int](), threading.Barrier(number, timeout=30)

    def work(item: int) -> None:
        if item < number:
            meet.wait()  # Only where as many work at the same time does this end.
        within.add(in_use())
        threads.in_threads(lambda _: None, range(3))  # Has no more threads to share out: else it would wait for itself.
        done.append(item)

    threads.in_threads(work, range(50))
    assert sorted(done) == list(range(50))
    assert within == {1}


def test_what_goes_wrong_ends_the_work_and_is_raised(number: int) -> None:
    done = list[int]()

    def work(item: int) -> None:
        done.append(item)
        if item == 3:
            raise FloatingPointError("three")

    with pytest.raises(FloatingPointError, match="three"):
        threads.in_threads(work, range(1_000_000))
    assert len(done) < 1_000_000
    threads.in_threads(done.append, [-1])
    assert done[-1] == -1


def test_every_thread_minds_the_callers_error_state(number: int) -> None:
    meet = threading.Barrier(number, timeout=30)

    def work(item: int) -> None:
        meet.wait()
        with pytest.raises(FloatingPointError):
            np.exp(np.full(1, 1000, np.float32))

    with np.errstate(over="raise"):
        threads.in_threads(work, range(number))


def test_nothing_is_shared_that_nobody_wants_shared() -> None:
    before, here = in_use(), threading.get_ident()
    with threads.sharing(False):
        assert in_use() == before
        threads.in_threads(lambda _: pytest.fail("elsewhere") if threading.get_ident() != here else None, range(100))


@pytest.mark.parametrize("front", [(), (2,), (2, 5)], ids=str)
@pytest.mark.parametrize("rows", [1, 2, 7, 12, 41])
def test_rows_in_parts_are_the_rows_of_the_whole(
    number: int, rows: int, front: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "NUMBERS_AT_ONCE", 60)
    x_TD, angle_TP, sizes = numbers(*front, rows, 6), numbers(rows, 3), list[int]()

    def function(x_TD: Array, angle_TP: Array) -> tuple[Array, ...]:
        sizes.append(x_TD.shape[-2])
        return np.tanh(x_TD), (x_TD[..., :3] * angle_TP).astype(np.float64)

    one_TD, other_TP = threads.by_rows(function, x_TD, angle_TP, rows=rows)
    np.testing.assert_array_equal(one_TD, np.tanh(x_TD))
    np.testing.assert_array_equal(other_TP, x_TD[..., :3] * angle_TP)
    assert one_TD.dtype == np.float32 and other_TP.dtype == np.float64
    parts = min(rows, max(number, -(-rows // 10)))
    assert sum(sizes) == rows and max(sizes) == -(-rows // parts)


def test_whoever_looks_at_a_function_sees_all_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "NUMBERS_AT_ONCE", 60)
    x_TD, sizes = numbers(41, 6), list[int]()

    def function(x_TD: Array) -> tuple[Array]:
        sizes.append(x_TD.shape[-2])
        return (np.tanh(x_TD),)

    with threads.sharing(False):
        threads.by_rows(function, x_TD, rows=41)
        assert sizes == [41]
        (found_TD,) = threads.some_at_once(function, x_TD, rows=41)
    np.testing.assert_array_equal(found_TD, np.tanh(x_TD))
    assert sum(sizes[1:]) == 41 and max(sizes[1:]) == 9


def opened(name: str) -> Model:
    return open_model(str(Golden(name).folder), offline=True)


@pytest.fixture
def short_texts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "SHARED_FROM", 2)
    monkeypatch.setattr(attention, "TILE", 4)
    monkeypatch.setattr(attention, "TILE_SCORES", 1)


IN_A_STATE = ("query", "key", "value", "decay", "rate", "rates", "removal", "bonus", "weights", "mixed")
OF_A_STATE = tuple(f"state.{step}" for step in IN_A_STATE)
BESIDE = ("active", "activated", "combined", *(f"streams.{step}" for step in ("router", "share", "predicted")))
OF_STREAMS = (*BESIDE, "streams.corrected", "streams.output")
OF_ATTENTION = tuple(f"attention.{step}" for step in ("relative", "weights", "mixed", "gated"))
OUTSIDE = ("input", *OF_ATTENTION, "output", *OF_A_STATE, *OF_STREAMS)
"""The steps of a layer that are seen without ending the sharing."""


def computed_unseen(model: Model, golden: Golden) -> dict[str, Array]:
    """What can be compared without a look at a step that would end the sharing."""
    if golden.has_source:
        cache = model.encode_source(golden.expected["source_ids"])
        return {"logits": model.logits(model.run(golden.expected["ids"], cache=cache).stream_TD)}
    seen = (*(f"layers.[0-9].{step}" for step in OUTSIDE), "final.pooled")
    return computed(model, golden, Capture(*seen, optional=True))


@pytest.mark.usefixtures("short_texts_too")
@pytest.mark.parametrize("name", NAMES)
def test_a_pass_in_threads_is_the_pass_in_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    golden, model, parts = Golden(name), opened(name), list[int]()

    def into_attention(self: layer.Layer, stream_TD: Array, *rotation_TP: Array) -> tuple[Array, ...]:
        parts.append(stream_TD.shape[-2])
        return whole(self, stream_TD, *rotation_TP)

    whole = layer.Layer.into_attention
    monkeypatch.setattr(layer.Layer, "into_attention", into_attention)
    layers = len(model.config.attending) + (getattr(model.config, "encoder_layers", 0) if golden.has_source else 0)
    for count in (1, 2, 3):
        parts.clear()
        with threads.products().limit(limits=count):
            found = computed_unseen(model, golden)
            assert in_use() == count
        assert len(parts) == count * layers
        assert_as_expected(found, golden)


@pytest.mark.usefixtures("short_texts_too")
def test_whoever_looks_sees_all_rows_of_every_step() -> None:
    """Each step in the first golden model that has it, in its last layer."""
    looked = set[str]()
    for name in NAMES:
        golden, model, whole = Golden(name), opened(name), Capture("*")
        ids = golden.expected["ids"]
        source = model.encode_source(golden.expected["source_ids"]) if golden.has_source else None
        with threads.products().limit(limits=2):
            model.run(ids, whole, source)
            for kind, step in {re.sub(r"\d+", "*", step): step for step in whole.arrays}.items():
                if kind in looked:
                    continue
                looked.add(kind)
                tap = Capture(step)
                model.run(ids, tap, source)
                assert tap.arrays.keys() == {step}
                found, expected = tap[step], whole[step]
                if ".state." in step:  # A channel's one number of a token may be the small difference of large ones.
                    found, expected = found.ravel(), expected.ravel()
                assert_close(found, expected, what=f"{name}: {step}")
        steps = {step.split(".", 2)[2] for step in whole.arrays if step.startswith("layers.")}
        assert steps <= {*watched.steps_within(model.config.sizes.X), *OUTSIDE}
    assert len(looked) > 40


@pytest.mark.parametrize("name", NAMES)
def test_a_long_text_fills_the_hidden_layer_some_rows_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though somebody looks at what goes in and comes out; where he looks inside he sees all rows of it."""
    golden, model, rows = Golden(name), opened(name), list[int]()
    source = model.encode_source(golden.expected["source_ids"]) if golden.has_source else None
    ids = golden.expected["ids"]
    edges = Capture("layers.*.input", "layers.*.feedforward.output", "layers.*.output", optional=True)
    whole_TD, kept = model.run(ids, edges, source).stream_TD, dict(edges.arrays)

    def through_network(self: layer.Layer, read_TD: Array, tap: Tap) -> Array:
        rows.append(read_TD.shape[-2])
        return network(self, read_TD, tap)

    network = layer.Layer._through_network
    monkeypatch.setattr(layer.Layer, "_through_network", through_network)
    monkeypatch.setattr(threads, "NUMBERS_AT_ONCE", 1)
    assert_close(model.run(ids, edges, source).stream_TD, whole_TD, what=name)
    assert set(rows) == ({1} if any("feedforward" in step for step in kept) else set())
    for step, found in edges.arrays.items():
        assert_close(found, kept[step], what=f"{name}: {step}")
    rows.clear()
    inside = [f"layers.*.feedforward.{step}" for step in watched.steps_of_feedforward(2)]
    everything = Capture(*inside, optional=True)
    model.run(ids, everything, source)
    assert set(rows) <= {np.shape(ids)[-1]}
    rows.clear()
    names, position = [step for step in everything.arrays if ".expert" not in step], np.shape(ids)[-1] - 2
    one = PositionRows(model.config.sizes.L, position, also=names)
    model.run(ids, Chain([one]), source)
    assert set(rows) <= {1}
    for step in names:
        assert_close(one.rows[step], everything[step][..., position, :], what=f"{name}: {step}")
    rows.clear()
    model.run(ids, Chain([one, everything]), source)
    assert set(rows) <= {np.shape(ids)[-1]}


def test_as_many_threads_as_are_chosen() -> None:
    before = threads.number()
    try:
        threads.use(1)
        assert threads.number() == 1
        with threads.sharing(True):
            assert threads._team.get()[0] == 1
        with pytest.raises(UsageError, match="processors"):
            threads.use(cores() + 1)
    finally:
        threads.products().limit(limits=before)
    assert threads.number() == before
