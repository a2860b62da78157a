"""`diff`: two texts in one model, one text in two models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.diff import diff
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.core.tap import Capture
from llminspect.core.unembed import log_softmax
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program


GOLDEN = Path(__file__).parent.parent / "golden"


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.wrap(model.tokenizer.encode(text)))


def test_a_text_does_not_differ_from_itself(smollm2: Model) -> None:
    text = prompt(smollm2, "A cat sat.")
    result = diff(smollm2, smollm2, text, 5, text)
    assert result.kl_ab == 0
    assert result.layers is not None
    assert all(layer.distance == 0 and abs(layer.cosine - 1) < 1e-12 for layer in result.layers)
    assert all(pair.prob_a == pair.prob_b for pair in result.tokens)


def test_two_texts_by_hand(smollm2: Model) -> None:
    france, italy = prompt(smollm2, "The capital of France is"), prompt(smollm2, "The capital of Italy is")
    result = diff(smollm2, smollm2, italy, 5, france)
    logs, streams = [], []
    for text in (france, italy):
        capture = Capture("layers.7.output")
        stream_TD = smollm2.run(text.ids, capture).stream_TD
        logs.append(log_softmax(smollm2.logits(stream_TD[-1:])[0].astype(float)))
        streams.append(capture["layers.7.output"][-1].astype(float))
    assert result.kl_ab is not None
    assert abs(result.kl_ab - float(np.sum(np.exp(logs[0]) * (logs[0] - logs[1]))) / np.log(2)) < 1e-4
    assert result.layers is not None
    expected = np.linalg.norm(streams[0] - streams[1]) / np.linalg.norm(streams[0])
    assert abs(result.layers[7].distance - float(expected)) < 1e-6
    chances = {pair.text: pair for pair in result.tokens}
    assert chances[" Paris"].prob_a == pytest.approx(0.7725, abs=1e-3)
    assert chances[" Rome"].prob_b is not None
    assert chances[" Rome"].prob_b > 0.3


def test_other_vocabularies_are_matched_by_text(smollm2: Model) -> None:
    toy = open_model("toy")
    result = diff(smollm2, toy, prompt(toy, "hello"), 3, prompt(smollm2, "hello"))
    assert result.kl_ab is None
    assert result.layers is None
    mark = next(pair for pair in result.tokens if pair.text == "!")
    assert mark.prob_b is not None
    assert mark.prob_a is not None
    assert mark.prob_a != mark.prob_b
    assert any(pair.prob_b is None for pair in result.tokens)


@pytest.mark.parametrize(
    "words",
    [["hi", "--chat"], ["hi", "--chat", "--system", "Be short."], ["<|im_end|>", "--parse", "special"]],
    ids=str,
)
def test_the_second_model_has_the_text_as_the_first_has_it(called: Program, words: list[str]) -> None:
    document = called("diff", *words, "--against-model", "smollm2", "--json").json
    assert document["a"]["tokens"] == document["b"]["tokens"]
    assert document["kl_ab"] == 0


def test_an_encoder_decoder_is_compared_by_its_first_token() -> None:
    model = open_model(str(GOLDEN / "t5"))
    first, second = prompt_of_ids([5, 6, 7], None, None), prompt_of_ids([5, 6, 8], None, None)
    result = diff(model, model, second, 3, first)
    logs = []
    for ids in (first.ids, second.ids):
        stream_TD = model.run([model.config.start_id], cache=model.encode_source(ids)).stream_TD  # type: ignore[attr-defined]
        logs.append(log_softmax(model.logits(stream_TD)[-1].astype(float)))
    assert result.kl_ab == pytest.approx(float(np.sum(np.exp(logs[0]) * (logs[0] - logs[1]))) / np.log(2), abs=1e-5)
    assert result.kl_ab is not None
    assert result.kl_ab > 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "bert", "--ids", "5,6", "--against-model", "bert"], "no token comes next"),
        (["--model", "smollm2", "hi", "--against-model", "llama"], "comes without a tokenizer"),
    ],
)
def test_what_cannot_be_compared_is_one_line(called: Program, arguments: list[str], message: str) -> None:
    ran = called("diff", *(str(GOLDEN / word) if word in {"bert", "llama"} else word for word in arguments))
    assert ran.code == 2
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("width", ["80", "160"])
def test_what_is_drawn(called: Program, width: str) -> None:
    ran = called("diff", "world", "--against", "hello", "--model", "toy", COLUMNS=width)
    assert ran.code == 0
    assert "KL(a ‖ b)" in ran.out and "‖ ‖: the length of a vector" in " ".join(ran.out.split())
    assert max(map(len, ran.out.splitlines())) <= int(width)


def test_nothing_to_compare_with_is_one_line(called: Program) -> None:
    ran = called("diff", "world", "--model", "toy")
    assert ran.code == 2
    assert "give --against TEXT or a model" in ran.err
    assert len(ran.err.splitlines()) == 1
