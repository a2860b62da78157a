"""What `attend` answers about a text: the sum of a query, --find, --rollout, --mean, --contributions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.attend import Keeping, attend
from llminspect.analysis.attention import LINK_FROM, LINKED_TOKENS
from llminspect.analysis.query import scale_and_bias
from llminspect.arguments.attend import AttendOptions
from llminspect.commands.attend.view import render
from llminspect.core.attention_measures import usual
from tests.closeness import assert_close
from tests.commands.attending import ALICE, CAT, prompt, result_of
from tests.render.samples import shown

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program


def test_the_sum_of_one_query_by_hand() -> None:
    query = result_of(query="cat").query
    assert query is not None
    assert (query.index, query.text, query.chosen_by, query.scale) == (1, "cat", "you", 0.5)
    np.testing.assert_array_equal(query.scores, [2, 0, 4, 0])
    np.testing.assert_array_equal(query.scaled, [1, 0, 2, 0])
    np.testing.assert_allclose(query.weights, CAT, rtol=1e-6)
    values = np.array([[1, 0, 0, 0], [0, 2, 0, 0], [0, 1, 3, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(query.output, CAT @ values, rtol=1e-6)
    assert query.query_unrotated is None


def test_the_steps_are_written_out_with_their_numbers() -> None:
    text = shown(render(result_of(query="cat")), 100)
    for piece in (
        "[2, 0, 4, 0] · [0, 0, 1, 0]",
        "2·0 + 0·0 + 4·1 + 0·0",
        "(q · k) × 1/√4",
        "e^2 / (e^1 + e^0 + e^2 + e^0)",
        "7.389 / 12.107",
        "0.6103",
        "0.61030·[0, 1, 3, 0]",
    ):
        assert piece in text


def test_the_scale_is_read_off_the_scores() -> None:
    scores = np.array([1.0, -2.0, 4.0, np.nan])
    scale, bias = scale_and_bias(scores, scores * 0.125)
    assert scale == pytest.approx(0.125)
    assert bias is None
    scale, bias = scale_and_bias(scores, scores + np.array([1, 0, -1, 0]))
    assert scale == 1.0
    assert bias is not None
    np.testing.assert_allclose(bias[:3], [1, 0, -1])


def test_the_sum_of_a_query_adds_up(smollm2: Model) -> None:
    query = result_of(ALICE, smollm2, query="her", layer="11", head="1").query
    assert query is not None
    assert (query.index, query.kv_head) == (3, 0)
    assert query.scale == pytest.approx(1 / 8)
    assert_close(query.keys @ query.query, query.scores)
    seen = query.scaled[:4].astype(float)
    np.testing.assert_allclose(query.weights[:4], np.exp(seen) / np.exp(seen).sum(), atol=1e-5)
    assert_close(query.weights @ query.values, query.output)
    assert query.query_unrotated is not None
    assert np.linalg.norm(query.query_unrotated) == pytest.approx(float(np.linalg.norm(query.query)), rel=1e-5)


def test_a_query_of_a_long_text_is_worked_out_alone(smollm2: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = result_of(ALICE, smollm2, query="her", layer="5", head="4").query
    monkeypatch.setattr("llminspect.analysis.query.WHOLE_PASS", 3)
    alone = result_of(ALICE, smollm2, query="her", layer="5", head="4").query
    assert whole is not None
    assert alone is not None
    for name in ("scores", "scaled", "weights"):
        assert_close(getattr(alone, name), getattr(whole, name)[:4])
    assert_close(alone.keys, whole.keys[:4])
    assert_close(alone.output, whole.output)


@pytest.mark.parametrize(
    ("text", "pair", "query", "keys"),
    [
        (ALICE, "her->Alice", 3, [0]),
        ("The cat sat because it was tired", "it->cat", 4, [1]),
        ("Mr Dursley said that he was hungry", "he->Dursley", -3, [1, 2, 3]),
    ],
)
def test_find_ranks_what_the_full_weights_say(
    smollm2: Model, text: str, pair: str, query: int, keys: list[int]
) -> None:
    result = result_of(text, smollm2, find=pair, keeping=Keeping(True))
    found = result.find
    assert found is not None
    tokens = len(result.tokens)
    query %= tokens
    keys = [index for index in keys if index in found.key.indices]
    assert found.query.indices[-1] == query
    assert found.key.indices == keys
    weights = {(head.layer, head.head): head.weights for head in result.heads}
    assert len(found.heads) == len(weights) == 270
    for head in found.heads:
        rows = weights[head.layer, head.head][:, keys].sum(axis=1)
        others = [rows[index] for index in range(max(keys) + 1, tokens) if index != query]
        assert head.weight == pytest.approx(float(rows[query]), abs=1e-6)
        assert head.others == pytest.approx(float(np.mean(others)), abs=1e-6)
        assert head.excess == pytest.approx(float(rows[query] - np.mean(others)), abs=1e-6)
    assert [head.weight for head in found.heads] == sorted((head.weight for head in found.heads), reverse=True)


def test_find_says_that_a_sink_means_nothing_and_compares_a_control(smollm2: Model) -> None:
    control = prompt(smollm2, "Mary gave Bob his book")
    found = result_of(ALICE, smollm2, find="her->Alice", control=control).find
    assert found is not None
    assert found.control is not None
    assert found.control.by_position
    assert found.heads[0].only_sink
    same = result_of(ALICE, smollm2, find="her->Alice", control=prompt(smollm2, ALICE)).find
    assert same is not None
    assert all(head.control == head.weight and head.control_excess == head.excess for head in same.heads)
    assert "attention sink" in shown(render(result_of(ALICE, smollm2, find="her->Alice")), 200)


def test_find_ranks_only_the_heads_that_were_chosen(smollm2: Model) -> None:
    every = result_of(ALICE, smollm2, find="her->Alice").find
    some = result_of(ALICE, smollm2, find="her->Alice", layer="3,29", head="4-5").find
    assert every is not None
    assert some is not None
    assert some.heads == [head for head in every.heads if head.layer in (3, 29) and head.head in (4, 5)]
    assert "  4 heads ranked" in shown(render(result_of(ALICE, smollm2, find="3->0", layer="3,29", head="4-5")))


def test_find_says_first_which_head_looks_there_beyond_what_is_usual(smollm2: Model) -> None:
    text = "The cat sat because it was tired"
    result = result_of(text, smollm2, find="it->cat", control=prompt(smollm2, "The dog sat because it was tired"))
    assert result.find is not None
    best = max(result.find.heads, key=lambda head: head.excess or 0)
    assert best is not result.find.heads[0]
    written = " ".join(shown(render(result)).split())
    verdict = f"Layer {best.layer} · head {best.head} looks there most beyond what is usual"
    assert written.index(verdict) < written.index("By weight")
    assert f"{best.weight:.2f} of its weight, from the other tokens {best.others:.2f}; in the control" in written
    assert f"in the control sentence {best.control:.2f}." in written
    assert "sink" not in written


def test_rollout_that_only_shows_the_sink_says_so(smollm2: Model) -> None:
    written = " ".join(shown(render(result_of(ALICE, smollm2, rollout=True))).split())
    assert "at least 99.9% of every position come from token 0" in written
    assert "come from token 0" not in shown(render(result_of(rollout=True)))


def test_the_sum_of_a_query_of_a_long_text_lists_what_has_weight(smollm2: Model) -> None:
    text = prompt(smollm2, " ".join([ALICE] * 12) + ".")
    result = attend(smollm2, AttendOptions(query="49", layer="16", head="0"), text)
    assert result.query is not None
    assert len(result.tokens) > len(result.query.weights[:50]) > 40
    listed = int((result.query.weights >= 0.00005).sum())
    written = " ".join(shown(render(result), 160).split())
    assert 0 < listed < 40
    assert f"{50 - listed} keys with less weight: --json has them all" in written
    assert f"{len(result.tokens) - 50} more are hidden by the mask" in written


def test_rollout_and_mean_follow_from_the_full_weights(smollm2: Model) -> None:
    result = result_of(ALICE, smollm2, rollout=True, mean=True, keeping=Keeping(True))
    weights = np.stack([head.weights for head in result.heads]).reshape(30, 9, 5, 5).astype(float)
    expected = np.eye(5)
    for weights_HTS in weights:
        expected = (0.5 * weights_HTS.mean(axis=0) + 0.5 * np.eye(5)) @ expected
    assert result.rollout is not None
    assert result.mean is not None
    np.testing.assert_allclose(result.rollout, expected, atol=1e-5)
    np.testing.assert_allclose(result.mean, weights.mean(axis=(0, 1)), atol=1e-6)


def test_contributions_sum_to_the_whole_stream(smollm2: Model) -> None:
    parts = result_of(ALICE, smollm2, contributions=True).contributions
    assert parts is not None
    total = parts.embedding + parts.heads.sum() + parts.attention_bias.sum() + parts.feedforward.sum()
    assert total == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(parts.attention_bias, 0, atol=1e-5)


def test_without_a_head_the_one_is_shown_in_which_the_query_does_what_is_least_usual(smollm2: Model) -> None:
    query = result_of("The capital of France is", smollm2, query="is").query
    assert query is not None and query.usual is not None and query.mean_of_heads is not None
    assert (query.chosen_by, query.text) == ("excess", " is")
    everything = result_of("The capital of France is", smollm2, layer="0-29").heads
    weights_NTS = np.stack([head.weights for head in everything])
    np.testing.assert_allclose(query.mean_of_heads, weights_NTS[:, 4].mean(axis=0), rtol=1e-5)
    best = max(
        (float(weights_NTS[at, 4, key] - usual(weights_NTS[at : at + 1], [4], True)[0, 0, key]), at)
        for at in range(len(everything))
        for key in (1, 2, 3)
    )
    assert (query.layer, query.head) == (everything[best[1]].layer, everything[best[1]].head)
    assert query.habit == everything[best[1]].habit
    assert int((query.weights - query.usual).argmax()) == 3  # ·France


@pytest.mark.parametrize(
    ("word", "says"),
    [("is", "it gives “·France” 0.9 of its weight, where 0.059 is usual"), ("capital", "sees only token 0 and itself")],
)
def test_the_head_says_why_it_is_shown_and_what_its_habit_is(smollm2: Model, word: str, says: str) -> None:
    text = " ".join(shown(render(result_of("The capital of France is", smollm2, query=word)), 100).split())
    assert says in text and "Its habit: " in text and "mean of heads" in text
    chosen = shown(render(result_of("The capital of France is", smollm2, query=word, layer="3", head="1")), 100)
    assert "Its habit" not in chosen and "mean of heads" not in chosen


def test_the_links_of_a_text_are_the_least_usual_weights_of_any_head(smollm2: Model) -> None:
    overview = result_of("The keys to the cabinet", smollm2).overview
    assert overview is not None and overview.links
    heads = result_of("The keys to the cabinet", smollm2, layer="0-29").heads
    found: dict[tuple[int, int], tuple[float, int, int]] = {}
    for head in heads:
        usual_TS = usual(head.weights[None], range(5), True)[0]
        for query in range(5):
            for key in range(1, query):
                excess = float(head.weights[query, key] - usual_TS[query, key])
                found[query, key] = max(found.get((query, key), (0.0, 0, 0)), (excess, head.layer, head.head))
    expected = {pair: entry for pair, entry in found.items() if entry[0] >= LINK_FROM}
    assert {(link.query, link.key): (link.layer, link.head) for link in overview.links} == {
        pair: entry[1:] for pair, entry in expected.items()
    }
    sizes = [link.weight - link.usual for link in overview.links]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == pytest.approx(max(expected.values())[0], rel=1e-5)
    assert result_of("a " * (LINKED_TOKENS + 1), smollm2).overview.links is None  # type: ignore[union-attr]


def test_find_shows_the_sentence_of_its_best_head_and_excess_first(smollm2: Model) -> None:
    find = result_of(ALICE, smollm2, find="her->Alice").find
    assert find is not None
    head = result_of(ALICE, smollm2, layer=str(find.best.layer), head=str(find.best.head)).heads[0]
    np.testing.assert_allclose(find.best.weights, head.weights[3], rtol=1e-6)
    best = max(find.heads, key=lambda entry: entry.excess or 0)
    assert (find.best.layer, find.best.head) == (best.layer, best.head)
    text = shown(render(result_of(ALICE, smollm2, find="her->Alice")), 100)
    assert text.index("▼") < text.index("By excess") < text.index("By weight")
    rows = text.partition("By weight")[2].splitlines()[3:15]
    assert all(re.fullmatch(r" +\d+ +\d+ +\d\.\d{3} +\d\.\d{3} +-?\d\.\d{3}( +sink)? *", row) for row in rows)


@pytest.mark.parametrize(("columns", "shown"), [("40", False), ("60", False), ("120", True)])
def test_a_note_explains_the_columns_that_are_shown(called: Program, columns: str, shown: bool) -> None:
    ran = called("attend", "the cat sat on the mat", "--model", "smollm2", "--query", "mat", COLUMNS=columns)
    text = " ".join(ran.out.split())
    assert text.count("mean of heads:") == shown and (" usual mean of heads " in text) == shown
    assert ("Left out at this width:" in text) == (not shown)
    assert text.count("usual: the weight to expect") == 1
    assert max(map(len, ran.out.splitlines())) <= int(columns)


@pytest.mark.parametrize("rests", [False, True])
def test_only_a_sink_is_drawn_grey(smollm2: Model, rests: bool) -> None:
    """The arc to token 0 as well, unless the other tokens give it nearly as much."""
    result = result_of(ALICE, smollm2, find="her->Alice", layer="20" if rests else "29", head="7" if rests else "4")
    assert result.find is not None and result.find.heads[0].only_sink == rests
    picture = shown(render(result), 200, "256")
    arc = picture.partition("looks at in")[2].partition("Alice")[0]
    assert ("\x1b[38;" in arc) != rests and ("grey: token 0, a sink" in picture) == rests
