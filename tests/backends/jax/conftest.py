"""Eight devices that are threads of this processor; golden models opened once and put on JAX once for each mesh."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

# Read when JAX starts, which no other test does.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["JAX_PLATFORMS"] = "cpu"

from llminspect.opening import open_model
from tests.backends.jax.answers import several
from tests.backends.jax.divided import Divided, write_divided
from tests.model.golden import Golden

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.model.opened import Model

    Placed = Callable[..., tuple[Golden, Model, Model]]


@pytest.fixture(scope="session")
def placed() -> Placed:
    """The golden model, the same on numpy and on JAX: `placed("llama", data=2, model=4)`."""
    plain: dict[str, Model] = {}
    made: dict[tuple[object, ...], Model] = {}

    def place(name: str, dtype: str = "float32", **axes: int) -> tuple[Golden, Model, Model]:
        from llminspect.backends.jax.settings import EngineSettings
        from llminspect.backends.jax.start import on_jax

        golden = Golden(name)
        if name not in plain:
            plain[name] = open_model(str(golden.folder), offline=True)
        key = (name, dtype, *sorted(axes.items()))
        if key not in made:
            made[key] = on_jax(plain[name], EngineSettings(axes or None, dtype))  # type: ignore[arg-type]
        return golden, plain[name], made[key]

    return place


@pytest.fixture(scope="session")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Divided]:
    made: dict[str, Divided] = {}

    def make(name: str) -> Divided:
        if name not in made:
            folder, texts = tmp_path_factory.mktemp(name), several(name)
            write_divided(texts, folder)
            made[name] = Divided(open_model(str(folder), offline=True, streamed=True), texts)
        return made[name]

    return make
