"""The model cut over eight devices says what it says on one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import numpy as np
import pytest

from llminspect.backends.jax.mesh import Layout, check_divides, cut_over_model, make_mesh, partition
from llminspect.backends.jax.settings import read_mesh
from llminspect.backends.jax.start import load
from llminspect.backends.jax.values import piled, places_in
from llminspect.core.geometry import relative_difference
from llminspect.errors import UsageError
from llminspect.model.config import Sizes
from llminspect.model.spec import TensorSpec
from llminspect.opening import open_model
from tests.backends.jax.divided import quickly_compiled
from tests.backends.jax.eight import EIGHT, write_model
from tests.closeness import assert_close

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.opened import Model

MESHES = [(1, 8), (2, 4), (4, 2)]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.stages.Lowered, "compile", quickly_compiled)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    """A Llama whose every dimension can be cut in eight, with random weights."""
    folder = tmp_path_factory.mktemp("eight")
    write_model(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMINSPECT_HOME", str(folder / "home"))
        return folder, open_model(str(folder), offline=True, streamed=True)


def test_letters_become_axes() -> None:
    assert partition("V D") == ("model", None)
    assert partition("D HE") == (None, "model")
    assert partition("X F D") == ("model", None, None)
    assert partition("2 D") == (None, None)
    assert partition("KE") == ("model",)


def test_what_does_not_divide_is_said_with_what_would() -> None:
    sizes = Sizes(L=1, D=6, H=6, K=2, E=4, F=12, V=100, context=10)
    specs = [TensorSpec("a", "HE D"), TensorSpec("b", "KE D"), TensorSpec("c", "V D")]
    cut = cut_over_model(sizes, specs)
    check_divides(cut, {"model": 2})
    with pytest.raises(UsageError, match="H = 6, K = 2 cannot be cut into 4") as refused:
        check_divides(cut, {"model": 4})
    assert refused.value.hint == "model=1 or 2 would do"


@pytest.mark.parametrize(
    ("cut", "devices", "mesh"),
    [
        ({"H": 9, "K": 3}, 2, "data=2"),
        ({"H": 9, "K": 3}, 6, "data=2,model=3"),
        ({"H": 9, "K": 3}, 3, "model=3"),
        ({"H": 7, "K": 1}, 4, "data=4"),
    ],
)
def test_where_all_devices_have_to_be_taken_the_mesh_is_said(cut: dict[str, int], devices: int, mesh: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_divides(cut, {"model": 5}, devices)
    assert refused.value.hint is not None and refused.value.hint.endswith(f"; over {devices} devices --mesh {mesh}")
    check_divides(cut, read_mesh(mesh), devices)


def test_another_number_of_devices_is_refused_with_a_mesh_that_would_do() -> None:
    """Not with one that is refused in its turn."""
    for cut, mesh in (({"H": 9, "K": 3}, "data=8"), ({"H": 6, "K": 2}, "data=4,model=2"), ({}, "model=8")):
        with pytest.raises(UsageError, match="takes 9 devices and there are 8") as refused:
            make_mesh({"data": 9}, cut)
        assert refused.value.hint == f"for example --mesh {mesh}"
        assert make_mesh(read_mesh(mesh), cut) is not None


@pytest.mark.parametrize(("data", "model"), MESHES)
def test_a_pass_over_eight_devices(data: int, model: int, eight: tuple[Path, Model]) -> None:
    from llminspect.backends.jax.settings import EngineSettings
    from llminspect.backends.jax.start import on_jax
    from llminspect.core.tap import Capture

    _, plain = eight
    spread = on_jax(plain, EngineSettings({"data": data, "model": model}))
    ids_BT = np.arange(24).reshape(4, 6) * 5 % EIGHT.V
    looks = [Capture("layers.*.attention.weights", "layers.1.output") for _ in range(2)]
    found, expected = (one.run(ids_BT, look) for one, look in zip((spread, plain), looks, strict=True))
    assert_close(found.stream_TD, expected.stream_TD)
    assert looks[0].arrays.keys() == looks[1].arrays.keys()
    for name, array in looks[1].arrays.items():
        assert_close(looks[0][name], array, what=name)
    assert_close(spread.logits(found.stream_TD), plain.logits(expected.stream_TD))
    assert _greedy(spread) == _greedy(plain)
    assert found.cache is not None
    kept = found.cache.layers[0].key_KSE
    assert kept.sharding.shard_shape(kept.shape)[1] == EIGHT.K // model


def _greedy(model: Model) -> list[int]:
    chosen: list[int] = []
    cache, ids = None, [3, 1, 4, 1, 5]
    for _ in range(4):
        result = model.run(ids, cache=cache)
        cache, ids = result.cache, [int(np.argmax(model.logits(result.stream_TD[-1:])[0]))]
        chosen += ids
    return chosen


def test_each_part_is_read_once_and_no_other(eight: tuple[Path, Model]) -> None:
    _, plain = eight
    layout = Layout(make_mesh({"data": 2, "model": 4}))
    specs = [spec for spec in plain.architecture.tensors(plain.config) if spec.name in plain.params]
    taken: dict[str, int] = {}

    def read(name: str, index: tuple[slice, ...]) -> np.ndarray:
        part = plain.params.part(name, index)
        taken[name] = taken.get(name, 0) + part.size
        return part

    arrays = load(read, specs, plain.config.sizes, layout)
    assert taken == {spec.name: math.prod(plain.params[spec.name].shape) for spec in specs}
    for name, (pile, row) in places_in(piled(specs)).items():
        array = np.asarray(arrays[pile])
        np.testing.assert_array_equal(array if row is None else array[row], plain.params[name])
    query = arrays["layers.*.attention.query.weight"]
    assert {shard.data.shape for shard in query.addressable_shards} == {(2, 16, 32)}  # type: ignore[attr-defined]


def test_rows_alone_are_read_from_the_file(eight: tuple[Path, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of an array that is cut by its rows costs the bytes of those rows."""
    from llminspect.files.safetensors import SafetensorsFile

    _, plain = eight
    read: list[tuple[int, int]] = []
    rows = SafetensorsFile.rows

    def counted(self: SafetensorsFile, name: str, start: int, stop: int) -> object:
        read.append((start, stop))
        return rows(self, name, start, stop)

    monkeypatch.setattr(SafetensorsFile, "rows", counted)
    monkeypatch.setattr(SafetensorsFile, "array", None)
    part = plain.params.part("embedding.weight", (slice(8, 16), slice(0, 32)))
    assert read == [(8, 16)] and part.shape == (8, 32)


def test_bfloat16_is_what_numpy_gives_with_rounded_weights(eight: tuple[Path, Model]) -> None:
    from llminspect.backends.jax.settings import EngineSettings
    from llminspect.backends.jax.start import on_jax
    from llminspect.model.params import Params

    _, plain = eight
    small = on_jax(plain, EngineSettings(dtype="bfloat16"))
    rounded = {
        name: np.asarray(jax.numpy.asarray(array).astype("bfloat16").astype("float32"))
        for name, array in plain.params.arrays.items()
    }
    ids = [3, 1, 4, 1, 5]
    expected = replace(plain, params=Params(rounded)).run(ids).stream_TD
    assert_close(small.run(ids).stream_TD, expected)
    assert relative_difference(plain.run(ids).stream_TD, expected) > 1e-3
