"""Every family over eight devices, on meshes of each form, says what it says on numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pytest

from llminspect.arch.registry import architectures
from llminspect.core.tap import Capture
from llminspect.engine.memory import weights_bytes
from llminspect.engine.mesh import partition
from llminspect.engine.settings import EngineSettings
from llminspect.engine.start import on_jax
from llminspect.model import open_model
from tests.arch.golden import NAMES, STREAM, WEIGHTS, Golden, computed
from tests.engine.divided import write_divided

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.arch.spec import TensorSpec
    from llminspect.core.array import Array
    from llminspect.model import Model

MESHES = [(1, 8), (2, 4), (4, 2)]
TEXTS, TOKENS = 4, 2


@dataclass(frozen=True)
class Divided:
    """A model in sizes that can be cut in eight, several texts for it, and what numpy says of them."""

    model: Model
    texts: Golden
    expected: dict[str, Array]
    chosen: list[Array]


@pytest.fixture(scope="session")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Divided]:
    made: dict[str, Divided] = {}

    def make(name: str) -> Divided:
        if name not in made:
            folder, texts = tmp_path_factory.mktemp(name), Golden(name)
            write_divided(texts, folder)
            for key in texts.expected.keys() & {"ids", "source_ids"}:
                ids = texts.expected[key]
                texts.expected[key] = np.stack([np.roll(ids, shift) for shift in range(TEXTS)])  # type: ignore[index]
            model = open_model(str(folder), offline=True, streamed=True)
            made[name] = Divided(model, texts, *what_is_said(model, texts))
        return made[name]

    return make


def what_is_said(model: Model, texts: Golden) -> tuple[dict[str, Array], list[Array]]:
    """What is looked at in one pass over all texts, and the tokens that follow them: each the most probable behind
    those before it, found with the cache."""
    tap = Capture("*.input", "*.output", "*.weights", "*.pooled")
    found = computed(model, texts, tap)
    if not model.can("generate"):
        return found, []
    # The same passes once more, as `computed` drops their cache.
    cache = model.encode_source(texts.expected["source_ids"], tap) if texts.has_source else None
    result, chosen = model.run(texts.expected["ids"], tap, cache), [found["logits"][:, -1:].argmax(-1)]
    for _ in range(TOKENS):
        result = model.run(chosen[-1], cache=result.cache)
        chosen.append(model.logits(result.stream_TD).argmax(-1))
    return found, chosen


def specs_of(plain: Divided) -> list[TensorSpec]:
    model = plain.model
    return [spec for spec in model.architecture.tensors(model.config) if spec.name in model.params]


@pytest.fixture(autouse=True)
def quickly_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time to compile is spent on fusing what these models have little of."""
    compiled = jax.stages.Lowered.compile

    def quickly(self: jax.stages.Lowered) -> jax.stages.Compiled:
        try:
            return compiled(self, compiler_options={"xla_cpu_use_fusion_emitters": False})
        except jax.errors.JaxRuntimeError:  # This JAX has no such option.
            return compiled(self)

    monkeypatch.setattr(jax.stages.Lowered, "compile", quickly)


@pytest.mark.parametrize(("data", "model"), MESHES)
@pytest.mark.parametrize("name", NAMES)
def test_over_eight_devices(name: str, data: int, model: int, divided: Callable[[str], Divided]) -> None:
    plain = divided(name)
    spread = on_jax(plain.model, EngineSettings({"data": data, "model": model}))
    arrays, first = spread.engine.arrays, jax.devices()[0]  # type: ignore[union-attr]
    shards = [shard for array in arrays.values() for shard in array.addressable_shards if shard.device == first]
    sizes = plain.model.config.sizes
    assert sum(shard.data.nbytes for shard in shards) == weights_bytes(specs_of(plain), sizes, "float32", model)
    found, chosen = what_is_said(spread, plain.texts)
    assert found.keys() == plain.expected.keys() and len(chosen) == len(plain.chosen)
    for key, values in found.items():
        bound = WEIGHTS if key.endswith("attentions") else STREAM
        np.testing.assert_allclose(values, plain.expected[key], rtol=0, atol=bound, err_msg=key)
    for own, expected in zip(chosen, plain.chosen, strict=True):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("name", NAMES)
def test_every_matrix_of_a_layer_is_cut(name: str, divided: Callable[[str], Divided]) -> None:
    """But those of the layers of a mixture that have one network, whose width has no letter."""
    whole = [
        spec.name
        for spec in specs_of(divided(name))
        if "layers." in spec.name and " " in spec.shape and "model" not in partition(spec.shape)
    ]
    plain = {"layers.1.feedforward.gate.weight", "layers.1.feedforward.up.weight", "layers.1.feedforward.down.weight"}
    assert set(whole) == (plain if name == "qwen3-moe" else set())


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


@pytest.mark.parametrize(("data", "model"), MESHES)
@pytest.mark.parametrize("name", ["llama", "bert"])
def test_the_work_is_shared(name: str, data: int, model: int, divided: Callable[[str], Divided]) -> None:
    plain = divided(name)

    def products(axes: dict[str, int] | None) -> float:
        """How many a device computes."""
        one = on_jax(plain.model, EngineSettings(axes))
        one.run(plain.texts.expected["ids"])
        (program,) = one.engine.programs.values()  # type: ignore[union-attr]
        said: Any = program.call.cost_analysis()
        return float((said[0] if isinstance(said, list) else said)["flops"])

    assert products({"data": data, "model": model}) < 1.5 / 8 * products(None)  # The norms are not cut by heads.


def test_every_family_is_among_them() -> None:
    kinds = {str(Golden(name).config()["model_type"]) for name in NAMES}
    assert [family.name for family in architectures() if not kinds & set(family.model_types)] == []
