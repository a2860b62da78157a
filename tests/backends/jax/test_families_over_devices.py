"""Models over eight devices say what they say on numpy: every layout of tensors cut by texts and by heads, every shape
by more of the one than of the other as well. Every kind of setting, on one device, is in `test_golden_jax`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import pytest

from llminspect.backends.jax.mesh import partition, weights_bytes
from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.start import on_jax
from tests.backends.jax.answers import TEXTS, answers_of_golden, assert_same
from tests.backends.jax.divided import NOT_WIDER, STATEFUL, cuts, layouts, quickly_compiled
from tests.model.golden import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.model.spec import TensorSpec
    from tests.backends.jax.divided import Divided

BOTH, OTHERS = (2, 4), ((1, 8), (4, 2))
OVER = [
    *((name, *BOTH) for name in (*layouts(), "bloom")),  # Its slopes, by heads, are no tensor.
    *((name, *OTHERS[at % 2]) for at, name in enumerate(cuts())),
]
"""What is compared over which mesh, texts by heads: the two others in turn, as compiling takes a second each."""


def specs_of(plain: Divided) -> list[TensorSpec]:
    model = plain.model
    return [spec for spec in model.architecture.tensors(model.config) if spec.name in model.params]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.stages.Lowered, "compile", quickly_compiled)


@pytest.mark.parametrize(("name", "data", "model"), OVER)
def test_over_eight_devices(name: str, data: int, model: int, divided: Callable[[str], Divided]) -> None:
    plain = divided(name)
    spread = on_jax(plain.model, EngineSettings({"data": data, "model": model}))
    arrays, first = spread.engine.arrays, jax.devices()[0]  # type: ignore[union-attr]
    shards = [shard for array in arrays.values() for shard in array.addressable_shards if shard.device == first]
    sizes = plain.model.config.sizes
    assert sum(shard.data.nbytes for shard in shards) == weights_bytes(specs_of(plain), sizes, "float32", model)
    assert_same(answers_of_golden(spread, plain.texts), plain.answers)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*STATEFUL, *NOT_WIDER)])
def test_every_matrix_of_a_layer_is_cut(name: str, divided: Callable[[str], Divided]) -> None:
    """But those of a mixture that are of one network, whose width has no letter (of a layer that has only one, of an
    expert that works on every token), what makes the key that all heads share, and a convolution."""
    whole = [
        spec.name
        for spec in specs_of(divided(name))
        if "layers." in spec.name and " " in spec.shape and "model" not in partition(spec.shape)
    ]
    experts = divided(name).model.config.experts
    plain = {f"layers.{index}.feedforward" for index in experts.plain_layers} if experts else set()
    whole = [matrix for matrix in whole if not matrix.endswith(("attention.key.shared.weight", "convolution.weight"))]
    places = {matrix.rsplit(".", 2)[0] for matrix in whole}
    assert {place for place in places if not place.endswith(".shared")} <= plain


@pytest.mark.parametrize("name", ["llama", "marian"])
def test_texts_and_heads_are_cut(name: str, divided: Callable[[str], Divided]) -> None:
    plain = divided(name)
    spread, sizes = on_jax(plain.model, EngineSettings({"data": 2, "model": 4})), plain.model.config.sizes
    source = spread.encode_source(plain.texts.expected["source_ids"]) if plain.texts.has_source else None
    cache = spread.run(plain.texts.expected["ids"], cache=source).cache
    assert cache is not None
    for layers in (cache.layers, *([] if cache.source is None else [cache.source.layers])):
        key_LBKSE: Any = layers.key_LKSE  # type: ignore[attr-defined]
        assert key_LBKSE.sharding.shard_shape(key_LBKSE.shape)[1:3] == (TEXTS // 2, sizes.K // 4)


@pytest.mark.parametrize(("name", "meshes"), [("llama", [BOTH, *OTHERS]), ("bert", [BOTH])])
def test_the_work_is_shared(name: str, meshes: list[tuple[int, int]], divided: Callable[[str], Divided]) -> None:
    plain = divided(name)

    def products(axes: dict[str, int] | None) -> float:
        """How many a device computes."""
        one = on_jax(plain.model, EngineSettings(axes))
        one.run(plain.texts.expected["ids"])
        (program,) = one.engine.programs.values()  # type: ignore[union-attr]
        cost: Any = program.call.cost_analysis()
        return float((cost[0] if isinstance(cost, list) else cost)["flops"])

    alone = products(None)
    for data, model in meshes:
        assert products({"data": data, "model": model}) < 1.5 / 8 * alone  # The norms are not cut by heads.
