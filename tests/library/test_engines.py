"""`open_model(engine=…, kernels=…)`: what computes, chosen from Python as on the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.errors import UsageError, UserError
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = str(ROOT / "tests" / "golden" / "llama")
IDS = [3, 1, 4, 1, 5]


def test_jax_gives_what_numpy_gives() -> None:
    plain, compiled = (llminspect.open_model(GOLDEN, engine=engine) for engine in ("numpy", "jax"))
    assert plain.engine is None and compiled.engine is not None
    expected, found = (llminspect.forward(IDS, model, top=3).next for model in (plain, compiled))
    assert expected is not None and found is not None
    assert [token.id for token in found] == [token.id for token in expected]
    np.testing.assert_allclose([t.logit for t in found], [t.logit for t in expected], rtol=1e-4)


def test_the_mesh_and_the_type_of_the_weights_are_taken() -> None:
    model: Any = llminspect.open_model(GOLDEN, engine="jax", mesh="model=1", dtype="bfloat16")
    assert {str(array.dtype) for array in model.engine.arrays.values()} == {"bfloat16"}


@pytest.mark.skipif(sys.platform == "win32", reason="Microsoft's compiler has no vectors")
def test_compiled_products_of_the_blocks_of_the_file() -> None:
    model = llminspect.open_model("smollm2", kernels="compiled")
    assert type(model.params["layers.0.feedforward.gate.weight"]).__name__ != "memmap"
    found = llminspect.forward("The capital of France is", model, top=1).next
    assert found is not None and found[0].text == " Paris"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: llminspect.open_model("toy", mesh="model=2"), "mesh has no effect on the engine numpy"),
        (lambda: llminspect.open_model("toy", dtype="bfloat16"), "dtype has no effect on the engine numpy"),
        (
            lambda: llminspect.open_model("toy", engine="jax", kernels="compiled"),
            "kernels has no effect",
        ),
        (lambda: llminspect.open_model("toy", engine="jax", mesh="all=2"), "mesh cannot read 'all=2'"),
        (lambda: llminspect.open_model("toy", kernels="compiled"), "toy"),
        (lambda: llminspect.open_model("toy", engine="jax", threads=1), "threads has no effect"),
        (lambda: llminspect.open_model("toy", threads=0), "threads"),
        (lambda: llminspect.open_model("toy", threads=100_000), "this process has .* processors"),
    ],
)
def test_what_says_nothing_to_an_engine_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs JAX"):
        llminspect.open_model("toy", engine="jax")
