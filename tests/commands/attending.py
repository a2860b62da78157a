"""What the tests of `attend` call and know: a result, and one softmax by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis.attend import SELECTED_HEADS, AttendResult, Keeping, attend
from llminspect.arguments.attend import AttendOptions
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.model.opened import Model

ALICE = "Alice gave Bob her book"
E1, E2 = math.e, math.e**2
CAT = np.array([E1, 1, E2, 1]) / (E1 + 2 + E2)
"""The softmax of cat's scaled scores 1, 0, 2, 0 in the toy."""


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.encode(text))


def result_of(
    text: str = "A cat sat.",
    model: Model | None = None,
    *,
    keeping: Keeping = SELECTED_HEADS,
    control: Prompt | None = None,
    **options: Any,
) -> AttendResult:
    model = model or open_model("toy-attention")
    return attend(model, AttendOptions(**options), prompt(model, text), keeping=keeping, control=control)
