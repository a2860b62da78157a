"""A model read layer by layer from its own file gives what it gives from prepared weights."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.core.array import RowsOnDemand, linear, look_up
from llminspect.core.tap import Capture
from llminspect.model.params import OnDemand, Params
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.model.gguf_of import write
from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["llama", "qwen2", "gemma2", "mixtral", "gpt2", "bert-encoder", "t5"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("llminspect.opening._tokenizer", lambda located: None)  # These files only pretend to have one.
    write(Golden(request.param), tmp_path / "model.gguf")
    return str(tmp_path / "model.gguf")


def test_streamed_and_prepared_give_the_same(file: str) -> None:
    ids = [3, 1, 4, 1, 5]
    seen = []
    for streamed in (False, True):
        model, capture = open_model(file, streamed=streamed), Capture("layers.*")
        source = model.encode_source(ids) if model.can("source") else None
        stream_TD = model.run(ids, capture, source).stream_TD
        logits = model.logits(stream_TD) if model.can("generate") or model.can("fill") else stream_TD
        seen.append({**capture.arrays, "logits": logits})
    prepared, anew = seen
    assert list(prepared) == list(anew)
    for name, array in prepared.items():
        assert_close(anew[name], array, what=name)


def test_weights_larger_than_the_memory_are_not_prepared(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llminspect.files.machine.memory_bytes", lambda: 1000)
    model = open_model(file)
    model.encode_source([1, 2]) if model.can("source") else model.run([1, 2])
    assert isinstance(model.params.arrays, OnDemand)
    assert isinstance(model.params["embedding.weight"], RowsOnDemand)
    assert not list((tmp_path / "home").glob("prepared/*"))


def test_the_next_layer_is_fetched_while_this_one_is_used_and_no_other() -> None:
    fetched: list[str] = []
    there = threading.Condition()

    def maker(name: str) -> np.ndarray:
        with there:
            fetched.append(name)
            there.notify_all()
        return np.zeros(1)

    names = [f"layers.{index}.weight" for index in range(4)]
    params = Params(OnDemand({name: lambda name=name: maker(name) for name in names}), keep=False)  # type: ignore[misc]
    for index in range(4):
        params.layer(index)
        with there:
            expected = names[: index + 2]
            assert there.wait_for(lambda expected=expected: fetched == expected, 60), fetched  # type: ignore[misc]
    fetched.clear()
    params.layer(2)  # Out of turn: nothing says that the next one will be wanted.
    assert fetched == [names[2]]


@pytest.mark.parametrize("piece", [1, 70, 300, 10_000])
def test_rows_are_looked_up_and_multiplied_as_those_of_a_whole_matrix(piece: int) -> None:
    random = np.random.default_rng(0)
    table_VD = random.standard_normal((53, 30), dtype=np.float32)
    rows = RowsOnDemand((53, 30), lambda start, stop: table_VD[start:stop], piece)
    ids = np.array([[5, 0, 5], [52, 1, 1]])
    np.testing.assert_array_equal(look_up(rows, ids), table_VD[ids])
    np.testing.assert_array_equal(rows[7], table_VD[7])
    np.testing.assert_array_equal(np.asarray(rows), table_VD)
    x_BTD = random.standard_normal((2, 4, 30), dtype=np.float32)
    assert_close(linear(x_BTD, rows), x_BTD @ table_VD.T)
    with pytest.raises(IndexError):
        rows[53]
