"""The public functions: the same as the command line, and loaded only when they are used."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.errors import ModelError, UsageError
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.conftest import Program

CAT = ("A cat sat.", "toy-attention")


def test_importing_the_package_loads_nothing() -> None:
    script = (
        "import sys; import llminspect; dir(llminspect)\n"
        "sys.modules.pop('llminspect.version')\n"
        "print([name for name in sys.modules if name.startswith('llminspect.') or name in ('numpy', 'typer', 'rich')])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in llminspect.__all__:
        assert getattr(llminspect, name) is not None
    assert set(llminspect.__all__) <= set(dir(llminspect))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = llminspect.nothing


@pytest.mark.parametrize(
    ("result", "arguments"),
    [
        (lambda: llminspect.tokenize(*CAT, steps=True), ["tokenize", CAT[0], "--steps"]),
        (lambda: llminspect.encode(*CAT, one_hot=True), ["encode", CAT[0], "--one-hot"]),
        (
            lambda: llminspect.embed(CAT[0], "cat", model=CAT[1], pool="mean", similarity=True),
            ["embed", CAT[0], "--with", "cat", "--pool", "mean", "--similarity"],
        ),
        (
            lambda: llminspect.embed(model=CAT[1], analogy="cat + sat", nearest=2),
            ["embed", "--analogy", "cat + sat", "--nearest", "2"],
        ),
        (lambda: llminspect.attend(*CAT), ["attend", CAT[0]]),
        (
            lambda: llminspect.attend(*CAT, find="sat->cat", control="A sat cat."),
            ["attend", CAT[0], "--find", "sat->cat", "--control", "A sat cat."],
        ),
        (lambda: llminspect.attend([1, 2, 0], CAT[1], mask="causal"), ["attend", "--ids", "1,2,0", "--mask", "causal"]),
        (lambda: llminspect.forward("world", "toy", top=2), ["forward", "world", "--top", "2", "--model", "toy"]),
        (
            lambda: llminspect.generate("world", "toy", max_tokens=2, temperature=1.0, seed=3),
            ["generate", "world", "--max-tokens", "2", "--temperature", "1", "--seed", "3", "--model", "toy"],
        ),
        (lambda: llminspect.info("toy"), ["info", "toy"]),
        (lambda: llminspect.verify("toy"), ["verify", "toy"]),
        (llminspect.models, ["models"]),
    ],
)
def test_a_function_gives_what_its_command_writes(called: Program, result: Any, arguments: list[str]) -> None:
    named = [] if "--model" in arguments or arguments[0] in ("info", "verify", "models") else ["--model", CAT[1]]
    written = called(*arguments, *named, "--json").json
    found = json.loads(llminspect.as_json(result()))
    timeless = without_times(found)
    assert timeless
    assert without_times({key: written[key] for key in found}) == timeless


def without_times(value: Any) -> Any:
    """The same without how long each step took."""
    if isinstance(value, dict):
        return {
            key: without_times(entry) for key, entry in value.items() if key not in ("milliseconds", "seconds", "ms")
        }
    return [without_times(entry) for entry in value] if isinstance(value, list) else value


def test_a_model_is_opened_once_and_passed_on() -> None:
    model = llminspect.open_model("toy")
    found = llminspect.forward("world", model).next
    assert found is not None
    np.testing.assert_allclose([token.logit for token in found], [2.62, 1.68, 0.74], rtol=1e-6)
    assert llminspect.decode([1, 2], model) == llminspect.decode([1, 2], "toy")
    assert llminspect.verify(model, [0, 1]).passed


def test_mistakes_raise() -> None:
    with pytest.raises(UsageError, match="there is no layer 7"):
        llminspect.attend(*CAT, layer="7")
    with pytest.raises(ModelError):
        llminspect.forward("a", "no-such-model")
    with pytest.raises(TypeError, match="no option"):
        llminspect.forward("world", "toy", depth=3)
    with pytest.raises(UsageError, match="texts or an analogy"):
        llminspect.embed(model="toy")
