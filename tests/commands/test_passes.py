"""How often the model is run: one pass keeps what all views of a command want."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.attend import attend
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.opening import open_model
from tests.conftest import ROOT

if TYPE_CHECKING:
    from llminspect.model.opened import Model

TEXT = prompt_of_ids([5, 6, 7, 8], None, None)


def counted(name: str = "llama") -> tuple[Model, list[int]]:
    """A model, and how many tokens went through it in each of its passes so far."""
    model = open_model(str(ROOT / "tests/golden" / name))
    passes: list[int] = []
    plain = model.architecture.forward

    def run(params: Any, config: Any, ids_T: Any, *rest: Any) -> Any:
        passes.append(np.asarray(ids_T).size)
        return plain(params, config, ids_T, *rest)

    counting: Any = run
    return replace(model, architecture=replace(model.architecture, forward=counting)), passes


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1),
        ({"layer": "1", "head": "2"}, 1),
        ({"contributions": True}, 1),
        ({"rollout": True, "contributions": True}, 1),
        ({"find": "3->1"}, 1),
        ({"query": "2", "layer": "1", "head": "2"}, 1),
        ({"query": "2"}, 2),  # Which head is strongest is known after the first.
    ],
    ids=str,
)
def test_attend_runs_the_text_once(options: dict[str, Any], expected: int) -> None:
    model, passes = counted()
    attend(model, AttendOptions(**options), TEXT)
    assert passes == [4] * expected


@pytest.mark.parametrize(
    "options",
    [{}, {"lens": True, "all": True, "attribution": True}, {"steps": True, "trace": True}, {"layer": "0-1", "top": 3}],
    ids=str,
)
def test_forward_runs_the_text_once(options: dict[str, Any]) -> None:
    model, passes = counted()
    forward(model, ForwardQuestion(ForwardOptions(**options)), TEXT)
    assert passes == [4]


def test_masks_are_filled_from_the_same_pass() -> None:
    model, passes = counted("bert")
    reader: Any = SimpleNamespace(mask_id=6, shown_bytes=lambda token_id: b"x")
    filled = forward(replace(model, tokenizer=reader), ForwardQuestion(), TEXT).masked
    assert [mask.index for mask in filled or []] == [1]
    assert passes == [4]


def test_an_experiment_costs_one_pass_more() -> None:
    model, passes = counted()
    forward(model, ForwardQuestion(experiments=ExperimentOptions(ablate=["1.0"])), TEXT)
    assert passes == [4, 4]


def test_a_sweep_finds_its_answers_in_its_own_passes() -> None:
    model, passes = counted()
    result = forward(model, ForwardQuestion(patch=SweepOptions(patch="x"), source_ids=[5, 9, 7, 8]), TEXT)
    assert result.sweep is not None
    # The other text, this one, the places in one batch; then what is put in, the pass with it, and the one without.
    places = model.config.sizes.L * (3 + 1)  # Before the first position that differs nothing changes.
    assert passes == [4, 4, 4 * places, 4, 4, 4]


def test_the_grid_is_the_same_whatever_else_is_shown() -> None:
    model, passes = counted()
    plain = forward(model, ForwardQuestion(ForwardOptions(lens=True, all=True)), TEXT).grid
    assert passes == [4]
    assert forward(model, ForwardQuestion(ForwardOptions(lens=True, all=True, trace=True)), TEXT).grid == plain
    assert passes == [4] * 3
