"""`toy-translate`: the translation, and each of its three attentions by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.model.toy_translation import STEPS, WORDS, arrays
from llminspect.opening import open_model
from tests.closeness import SINGLE, assert_close

if TYPE_CHECKING:
    from tests.conftest import Program

NAMES = list(WORDS)
LOOKS, RESTS = math.exp(4), 1.0


@pytest.mark.parametrize(
    ("source", "target"),
    [("cet avocat parle.", ["this", "lawyer", "speaks"]), ("cet avocat mûrit.", ["this", "avocado", "ripens"])],
)
def test_it_translates_and_stops(called: Program, source: str, target: list[str]) -> None:
    written = called("generate", source, "--model", "toy-translate", "--json").json
    assert [step["text"] for step in written["steps"]] == [*target, "."]
    assert called("generate", source, "--model", "toy-translate").out.split("\n")[2].split() == target


def by_hand(source: list[str], target: list[str]) -> tuple[dict[str, Any], Any]:
    """Every sum in loops over words, in float64: the weights of the three attentions, and the logits."""
    made = {name: array.astype(float) for name, array in arrays().items()}

    def attend(step: str, readers: Any, read: Any, causal: bool) -> tuple[Any, Any]:
        query, key, value, output = (made[f"{step}.{part}.weight"] for part in ("query", "key", "value", "output"))
        weights, added = np.zeros((len(readers), len(read))), np.zeros_like(readers)
        for t, reader in enumerate(readers):
            seen = [s for s in range(len(read)) if s <= t or not causal]
            scores = [float((query @ reader) @ (key @ read[s])) / 2 for s in seen]
            total = sum(map(math.exp, scores))
            for s, score in zip(seen, scores, strict=True):
                weights[t, s] = math.exp(score) / total
                added[t] += output @ (weights[t, s] * (value @ read[s]))
        return weights, readers + added

    source_SD, target_TD = (made["embedding.weight"][[NAMES.index(word) for word in text]] for text in (source, target))
    found = {}
    found["encoder"], encoded_SD = attend(STEPS[0], source_SD, source_SD, causal=False)
    found["decoder"], stream_TD = attend(STEPS[1], target_TD, target_TD, causal=True)
    found["cross"], stream_TD = attend(STEPS[2], stream_TD, encoded_SD, causal=False)
    return found, stream_TD @ made["embedding.weight"].T


def test_the_three_attentions_and_the_logits_are_the_sums_by_hand() -> None:
    source, target = ["cet", "avocat", "mûrit", "."], ["<s>", "this", "avocado", "ripens"]
    weights, logits_TV = by_hand(source, target)
    result = llminspect.attend("cet avocat mûrit.", "toy-translate", target="this avocado ripens")
    assert result.cross is not None and result.encoder is not None
    assert_close(result.encoder.heads[0].weights, weights["encoder"], SINGLE)
    assert_close(result.heads[0].weights, weights["decoder"], SINGLE)
    assert_close(result.cross.heads[0].weights, weights["cross"], SINGLE)
    assert weights["encoder"][1].tolist() == pytest.approx(
        [RESTS / (LOOKS + 3)] * 2 + [LOOKS / (LOOKS + 3), 1 / (LOOKS + 3)]
    )
    model = open_model("toy-translate")
    cache = model.encode_source([NAMES.index(word) for word in source])
    run = model.run([NAMES.index(word) for word in target], cache=cache)
    assert_close(model.logits(run.stream_TD), logits_TV, SINGLE)


def test_the_verb_alone_tells_what_the_noun_is() -> None:
    speaking, ripening = (by_hand(["cet", "avocat", verb, "."], ["<s>", "this"])[1][-1] for verb in ("parle", "mûrit"))
    lawyer, avocado = NAMES.index("lawyer"), NAMES.index("avocado")
    assert speaking[lawyer] - speaking[avocado] == pytest.approx(ripening[avocado] - ripening[lawyer])
    assert speaking[lawyer] > speaking[avocado] + 1


def test_a_word_that_stands_in_no_text_is_refused_and_the_numbers_hold(called: Program) -> None:
    ran = called("generate", "cet chat", "--model", "toy-translate")
    assert ran.code == 2 and "has no word 'chat'" in ran.err
    assert called("generate", "<s>", "--model", "toy-translate").code == 2
    assert called("verify", "toy-translate").code == 0


def test_one_head_draws_all_three(called: Program) -> None:
    out = called("attend", "cet avocat parle.", "--target", "this lawyer", "--model", "toy-translate").out
    for title in ("Layer 0 · head 0 · weights", "Layer 0 · head 0 · cross", "The encoder: who looks at whom"):
        assert title in out
