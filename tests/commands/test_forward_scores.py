"""Saliency, surprisal, perplexity and targets: how the text itself is scored, against plain passes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.token_scores import surprise
from llminspect.arguments.forward import ForwardOptions
from llminspect.core.attention import softmax
from llminspect.core.unembed import log_softmax, windows
from llminspect.opening import open_model
from tests.commands.experimenting import FRANCE, GOLDEN, ids_prompt, prompt
from tests.commands.plain_llama import plain_forward

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llminspect.model.opened import Model
    from tests.conftest import Program


def test_saliency_is_what_a_plain_pass_that_never_sees_the_token_gives(smollm2: Model) -> None:
    model, ids = open_model(str(GOLDEN / "llama")), [5, 6, 7, 8, 9]
    found = forward(model, ForwardQuestion(ForwardOptions(saliency=True)), ids_prompt(*ids)).saliency
    assert found is not None
    whole = float(log_softmax(plain_forward(model, ids)[0])[found.target.id])
    assert abs(found.logprob - whole) < 1e-4
    for index in range(len(ids)):
        without = float(log_softmax(plain_forward(model, ids, hidden=index)[0])[found.target.id])
        assert abs(found.drops[index] - (whole - without)) < 1e-3
    real = forward(smollm2, ForwardQuestion(ForwardOptions(saliency=True)), prompt(smollm2, FRANCE)).saliency
    assert real is not None
    # "capital" and "France" carry the answer.
    assert np.argsort(real.drops)[::-1][:2].tolist() == [1, 3]


def test_surprisal_sums_to_the_log_likelihood(smollm2: Model) -> None:
    ids = prompt(smollm2, "The capital of France is Paris.").ids
    found = surprise(smollm2, ids, None, [])
    rows = log_softmax(smollm2.logits(smollm2.run(ids).stream_TD).astype(np.float64))
    likelihood = sum(rows[index - 1, ids[index]] for index in range(1, len(ids)))
    assert found.bits[0] is None
    assert found.perplexity is not None
    assert abs(found.total_bits + likelihood / math.log(2)) < 1e-3
    assert abs(found.perplexity - math.exp(-likelihood / (len(ids) - 1))) < 1e-2


def test_a_text_longer_than_the_window_is_scored_in_windows(smollm2: Model) -> None:
    ids = prompt(smollm2, "A cat sat on the mat. The cat sat on the dog.").ids
    found = surprise(smollm2, ids, 6, [])
    assert found.window == 6
    spans = list(windows(len(ids), 6, 3))
    for start, stop, scored in spans:
        rows = log_softmax(smollm2.logits(smollm2.run(ids[start:stop]).stream_TD).astype(np.float64))
        for index in range(scored, stop):
            bits = found.bits[index]
            assert bits is not None
            assert abs(bits + rows[index - 1 - start, ids[index]] / math.log(2)) < 1e-3


def test_arrays_of_a_text_longer_than_the_context_are_refused(called: Program, tmp_path: Path) -> None:
    ids = ",".join(["5"] * (open_model(str(GOLDEN / "llama")).config.sizes.context + 1))
    path = tmp_path / "x.npz"
    ran = called("forward", "--model", str(GOLDEN / "llama"), "--ids", ids, "--surprise", "--save", str(path))
    assert ran.code == 2
    assert "several windows" in ran.err
    assert not path.exists()


@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 20])
def test_windows_score_each_token_once_and_overlap(length: int) -> None:
    spans = list(windows(length, 6, 3))
    scored: Sequence[int] = [index for _, stop, first in spans for index in range(first, stop)]
    assert scored == list(range(1, length))
    assert all(stop - start <= 6 for start, stop, _ in spans)
    assert all(first - start == 3 for start, _, first in spans[1:])


def test_perplexity_is_one_number_a_line(called: Program) -> None:
    ran = called("forward", "--perplexity", "--lines", "--model", "toy", stdin="world !\nhello hello\n")
    assert ran.code == 0
    exponentials = np.exp([0.74, 1.68, 2.62])
    assert float(ran.out.splitlines()[0]) == pytest.approx(exponentials.sum() / exponentials[2], rel=1e-5)
    assert len(ran.out.splitlines()) == 2


def test_a_line_that_cannot_be_scored_is_nan_and_the_run_goes_on(called: Program) -> None:
    ran = called("forward", "--perplexity", "--lines", "--model", "toy", stdin="world !\n\nworld\nworld !\n")
    first, *rest = ran.out.splitlines()
    assert rest == ["nan", "nan", first]
    assert ran.code == 2
    assert ran.err == "llminspect: line 1: the text gives no tokens (give at least one character)\n"


def test_a_target_alone_says_where_it_stands(called: Program) -> None:
    question = ("forward", "world", "--model", "toy", "--target", "hello")
    target = called(*question, "--json").json["target"]
    assert (target["id"], target["rank"]) == (0, 2)
    assert target["prob"] == pytest.approx(float(softmax(np.array([0.74, 1.68, 2.62]))[0]), abs=1e-6)
    assert "“hello” has rank 2 (0 is the most probable) and 9.89%" in called(*question).out
    assert "has rank" not in called("forward", "world", "--model", "toy", "--target", "!").out
    assert "has rank" in called(*question, "--scale", "0.feedforward*2").out
