"""Integrated gradients: against PyTorch's in float64, against sums of finite differences, and what they add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis import integrated
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.arguments.forward import ForwardOptions
from llminspect.arguments.words import parse_baseline
from llminspect.core.tap import Edit
from llminspect.core.unembed import log_softmax
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.commands.experimenting import GOLDEN, ids_prompt
from tests.model.golden import FOLDER, Golden

if TYPE_CHECKING:
    from llminspect.analysis.token_scores import Saliency
    from llminspect.model.opened import Model
    from tests.conftest import Program


def saliency(model: Model, ids: list[int], **look: Any) -> Saliency:
    options = ForwardOptions(saliency=True, integrated=True, target=5, **look)
    found = forward(model, ForwardQuestion(options), ids_prompt(*ids)).saliency
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_from_zero_it_is_what_pytorch_finds(name: str) -> None:
    model, ids = open_model(str(GOLDEN / name)), Golden(name).expected["ids"][:6].tolist()
    _close(saliency(model, ids, path_steps=512), name, "zero")


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "bert"])
def test_from_another_text_it_is_what_pytorch_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = open_model(str(GOLDEN / name)), Golden(name).expected["ids"][:6].tolist()
    monkeypatch.setattr(integrated, "parse_baseline", lambda model, text, ids, kept: list(reversed(ids)))
    _close(saliency(model, ids, path_steps=512, baseline="reversed"), name, "text")


def _close(found: Saliency, name: str, kind: str) -> None:
    with np.load(FOLDER / "integrated.npz") as file:
        parts_T, ends = file[f"{name}/{kind}"], file[f"{name}/{kind}_ends"]
    assert found.integrated is not None
    # Pieces of the way are halved until they add up to a hundredth; they do to a tenth of that, as the points are four.
    assert np.abs(np.asarray(found.drops) - parts_T).max() < 2e-3 * np.abs(parts_T).max()
    assert [found.integrated.baseline_value, found.integrated.value] == pytest.approx(ends, abs=1e-4)
    assert abs(found.integrated.error) < 0.01 * abs(ends[1] - ends[0])


@pytest.mark.parametrize(("of", "versus"), [("logprob", None), ("logit", None), (None, 9)])
def test_each_number_adds_up_and_is_the_slow_sum(of: Any, versus: int | None) -> None:
    """A loop of plain passes, a step of the way at a time, each token's vector moved by itself."""
    model, ids, other = open_model(str(GOLDEN / "gpt2")), [5, 6, 7], [9, 9, 9]
    found = saliency(model, ids, path_steps=64, baseline="#9", of=of, versus=versus)
    table_VD = model.params["embedding.weight"].astype(np.float64)
    own_TD, other_TD = table_VD[ids], table_VD[other]

    def number(vectors_TD: Any) -> float:
        tap = Edit("embedding.tokens", lambda _: vectors_TD.astype(np.float32))
        logits_V = model.logits(model.run(ids, tap).stream_TD[-1:])[0].astype(np.float64)
        row_V = log_softmax(logits_V) if of == "logprob" else logits_V
        return float(row_V[5] - (0 if versus is None else row_V[versus]))

    steps, parts_T = 100, np.zeros(3)
    for step in range(steps):
        for token in range(3):
            ends = []
            for place in (step, step + 1):
                vectors_TD = other_TD + (step + 0.5) / steps * (own_TD - other_TD)
                vectors_TD[token] = other_TD[token] + place / steps * (own_TD - other_TD)[token]
                ends.append(number(vectors_TD))
            parts_T[token] += ends[1] - ends[0]
    assert found.integrated is not None
    np.testing.assert_allclose(found.drops, parts_T, rtol=0, atol=2e-3 * np.abs(parts_T).max())
    assert found.integrated.value == pytest.approx(number(own_TD), abs=1e-4)
    assert found.integrated.baseline_value == pytest.approx(number(other_TD), abs=1e-4)
    assert found.integrated.sum == pytest.approx(sum(found.drops), abs=1e-9)
    error = found.integrated.sum - (found.integrated.value - found.integrated.baseline_value)
    assert found.integrated.error == pytest.approx(error, abs=1e-9)


def test_no_more_gradients_than_were_allowed_and_the_rest_is_said(
    called: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[float] = []
    slopes = integrated.Way.slopes

    def counted(way: integrated.Way, places: Any) -> Any:
        taken.extend(places)
        return slopes(way, places)

    monkeypatch.setattr(integrated.Way, "slopes", counted)
    given = ("forward", "--ids", "5,6,7,8", "--model", str(GOLDEN / "llama"), "--saliency", "integrated")
    for most in (12, 44):
        found = called(*given, "--path-steps", str(most), "--json").json["saliency"]
        assert found["by"] == "integrated gradients" and found["integrated"]["steps"] == len(taken) <= most
        taken.clear()
    assert "take more --path-steps" in " ".join(called(*given, "--path-steps", "4").out.split())


def test_the_mean_is_that_of_all_tokens() -> None:
    model = open_model(str(GOLDEN / "gemma2"))
    name = integrated.first_vectors(model)
    label, mean_TD = integrated.baseline_of(model, name, [1, 2], [], "mean", 2)
    table_VD = model.params["embedding.weight"].astype(np.float64) * model.config.embedding_scale
    np.testing.assert_allclose(mean_TD, np.tile(table_VD.mean(axis=0), (2, 1)), rtol=0, atol=1e-5)
    assert label == "mean" and model.config.embedding_scale != 1


def test_jax_gives_the_same(called: Program) -> None:
    given = ("forward", "--ids", "5,6,7", "--model", str(GOLDEN / "llama"), "--saliency", "integrated")
    options = ("--baseline", "#9", "--of", "logit", "--path-steps", "8", "--json")
    found, compiled = (called(*given, *options, *more).json["saliency"] for more in ((), ("--engine", "jax")))
    np.testing.assert_allclose(found["drops"], compiled["drops"], rtol=0, atol=1e-4 * max(map(abs, found["drops"])))


def test_tokens_that_were_added_to_a_text_keep_their_vectors(smollm2: Model) -> None:
    assert parse_baseline(smollm2, "#7", [1, 2, 3], [0]) == [1, 7, 7]
    assert parse_baseline(smollm2, "A cat", [1, 2, 3], [0])[0] == 1
    with pytest.raises(UsageError, match="has 3 tokens, and the text has 2"):
        parse_baseline(smollm2, "A cat sat", [1, 2, 3], [0])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--saliency", "--baseline", "mean"], "--baseline has no effect without --integrated"),
        (["--integrated"], "--integrated has no effect without --saliency"),
        (["--saliency", "integrated", "--gradient"], "two ways"),
        (["--saliency", "integrated", "--of", "logit", "--versus", "#3"], "always divides the difference"),
        (["--saliency", "integrated", "--baseline", "#999999"], "outside the vocabulary"),
        (["--saliency", "integrated", "--baseline", "a b"], "without a tokenizer"),
        (["--saliency", "integrated", "--path-steps", "3"], "--path-steps"),
    ],
)
def test_what_does_not_go_is_refused(called: Program, given: list[str], says: str) -> None:
    ran = called("forward", "--ids", "5,6,7", "--model", str(GOLDEN / "llama"), *given)
    assert ran.code == 2 and says in ran.err and len(ran.err.splitlines()) == 1
