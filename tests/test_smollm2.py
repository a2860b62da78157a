"""SmolLM2 gives the recorded numbers of the reference implementations (tests/golden/smollm2.json)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core.attention import softmax
from llminspect.core.tap import NO_TAP, Capture
from tests.closeness import SINGLE, assert_close
from tests.conftest import ROOT

if TYPE_CHECKING:
    from llminspect.model.opened import Model

REFERENCE: dict[str, Any] = json.loads((ROOT / "tests" / "golden" / "smollm2.json").read_text(encoding="utf-8"))
FORWARD = pytest.mark.parametrize("recorded", REFERENCE["forward"], ids=lambda recorded: recorded["text"])


@pytest.mark.parametrize("recorded", REFERENCE["tokenize"], ids=lambda recorded: repr(recorded["text"]))
def test_ids(smollm2: Model, recorded: dict[str, Any]) -> None:
    assert smollm2.tokenizer is not None
    assert smollm2.tokenizer.encode_ids(recorded["text"]) == recorded["ids"]


@FORWARD
def test_logits_and_probabilities(smollm2: Model, recorded: dict[str, Any]) -> None:
    logits_V = smollm2.logits(smollm2.run(recorded["ids"]).stream_TD)[-1]
    probabilities_V = softmax(logits_V)
    assert np.argsort(-logits_V)[:10].tolist() == [entry["id"] for entry in recorded["top"]]
    best = [entry["id"] for entry in recorded["top"]]
    assert_close(logits_V[best], [entry["logit"] for entry in recorded["top"]])
    assert_close(probabilities_V[best], [entry["prob"] for entry in recorded["top"]])


@FORWARD
def test_attention_rows(smollm2: Model, recorded: dict[str, Any]) -> None:
    tap = Capture("layers.*.attention.weights")
    smollm2.run(recorded["ids"], tap)
    for place, row in recorded["attention_last_query"].items():
        layer, head = place.split(".")
        assert_close(tap[f"layers.{layer}.attention.weights"][int(head), -1], row, what=place)


@FORWARD
def test_norms_of_the_residual_stream(smollm2: Model, recorded: dict[str, Any]) -> None:
    """Of the last token after the embedding and each layer, the last one after the final norm."""
    tap = Capture("layers.*.input", "final.norm")
    smollm2.logits(smollm2.run(recorded["ids"], tap).stream_TD, tap)
    streams = [tap[f"layers.{layer}.input"] for layer in range(30)] + [tap["final.norm"]]
    norms = [float(np.linalg.norm(stream_TD[-1])) for stream_TD in streams]
    np.testing.assert_allclose(norms, recorded["hidden_norms"], rtol=SINGLE)


@FORWARD
def test_greedy_tokens_with_and_without_cache(smollm2: Model, recorded: dict[str, Any]) -> None:
    prompt, following = recorded["ids"], recorded["greedy"]
    whole_TV = smollm2.logits(smollm2.run([*prompt, *following]).stream_TD)[len(prompt) - 1 : -1]
    assert whole_TV.argmax(-1).tolist() == following
    cached = smollm2.run(prompt)
    for token, whole_V in zip(following, whole_TV, strict=True):
        cached_V = smollm2.logits(cached.stream_TD[-1:])[-1]
        assert_close(cached_V, whole_V)
        assert int(np.argmax(cached_V)) == token
        cached = smollm2.run([token], NO_TAP, cached.cache)
