"""What the tests of experiments call: a text as a prompt, and `forward` with a change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion, ForwardResult
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Token
from tests.closeness import assert_close

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llminspect.model.opened import Model

GOLDEN = Path(__file__).parent.parent / "golden"
FRANCE, ITALY = "The capital of France is", "The capital of Italy is"


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.wrap(model.tokenizer.encode(text)))


def ids_prompt(*ids: int) -> Prompt:
    return Prompt(None, [Token(token_id, b"", None, None) for token_id in ids])


def patched(model: Model, source: str, **options: Any) -> ForwardResult:
    question = ForwardQuestion(
        ForwardOptions(top=5), SweepOptions(patch=source, **options), source_ids=prompt(model, source).ids
    )
    return forward(model, question, prompt(model, FRANCE))


def changed(model: Model, **options: Any) -> ForwardResult:
    return forward(
        model, ForwardQuestion(ForwardOptions(top=8), experiments=ExperimentOptions(**options)), prompt(model, FRANCE)
    )


def matches(result: ForwardResult, logits_V: NDArray[np.float64]) -> None:
    """The result's next tokens are those of a plain pass."""
    assert result.next is not None
    assert [found.id for found in result.next] == np.argsort(-logits_V)[: len(result.next)].tolist()
    assert_close([found.logit for found in result.next], sorted(logits_V)[::-1][: len(result.next)])
