"""The activation of each model is its configuration's, whatever the size of the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import llminspect
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.arguments.forward import ForwardOptions
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Token

if TYPE_CHECKING:
    from tests.conftest import Program
GOLDEN = Path(__file__).parent.parent / "golden"

FUNCTIONS = {
    "llama": "SiLU",
    "gemma": "GELU_tanh",
    "gpt2": "GELU_tanh",
    "gpt-neox": "GELU",
    "bert": "GELU",
    "bert-untied": "ReLU",
    "t5": "ReLU",
    "t5-gated": "GELU_tanh",
    "marian": "SiLU",
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("large", [1.0, 40.0])
def test_the_activation_is_the_configuration_s_however_large_the_numbers(name: str, large: float) -> None:
    """Of large numbers a GELU is nearly a SiLU, and of larger ones nearly a ReLU."""
    from dataclasses import replace

    from llminspect.model.params import Params

    model = open_model(str(GOLDEN / name))
    arrays = {
        key: array * large if ".feedforward.gate.weight" in key or ".feedforward.up.weight" in key else array
        for key, array in model.params.arrays.items()
    }
    model = replace(model, params=Params(arrays))
    prompt = Prompt(None, [Token(token_id, b"", None, None) for token_id in (5, 6, 7)])
    steps = forward(model, ForwardQuestion(ForwardOptions(layer="0")), prompt).feedforward
    assert steps is not None
    assert steps[0].function == FUNCTIONS[name]


@pytest.mark.parametrize(
    ("name", "function"), [("mixtral", "SiLU"), ("qwen3-moe", "SiLU"), ("gpt-oss", "clamped SwiGLU")]
)
def test_the_experts_have_their_activation(name: str, function: str, called: Program) -> None:
    experts = llminspect.forward([5, 6, 7], str(GOLDEN / name)).experts
    assert experts is not None
    assert {layer.function for layer in experts} == {function}
    assert f"{function}(h" in " ".join(called("forward", "--ids", "5,6,7", "--model", str(GOLDEN / name)).out.split())
