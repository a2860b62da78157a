"""`attend` and `embed` on every family: each step that a family has appears, and the steps add up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.attend import attend
from llminspect.analysis.embed import embed
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.embed import EmbedOptions
from llminspect.commands.attend.view import render
from llminspect.core.numbers import number
from llminspect.core.tap import Capture
from llminspect.errors import UsageError, UserError
from tests.closeness import assert_close
from tests.model.golden import NAMES, Golden
from tests.render.samples import lines

if TYPE_CHECKING:
    from tests.model.conftest import Opened

IDS = [3, 7, 9, 3, 7, 5, 11]
DECODERS = [
    name for name in NAMES if {"greedy", "attentions"} <= Golden(name).expected.keys() and not Golden(name).has_source
]


@pytest.mark.parametrize("name", DECODERS)
def test_the_sum_of_a_query_adds_up_in_every_family(opened: Opened, name: str) -> None:
    _, model = opened(name)
    sizes = model.config.sizes
    layer, head = model.config.attending[-1], sizes.H - 1
    options = AttendOptions(query="5", layer=str(layer), head=str(head))
    result = attend(model, options, prompt_of_ids(IDS, model.tokenizer, None))
    query = result.query
    assert query is not None
    assert_close(query.keys @ query.query, query.scores)
    bias = 0 if query.bias is None else query.bias
    assert_close(query.scores * query.scale + bias, query.scaled)
    powers = np.exp(query.masked.astype(float))
    unspent = 1 - (query.to_sink or 0)
    assert_close(powers / powers.sum() * unspent, query.weights)
    assert_close(query.weights @ query.values, query.output)
    assert query.kv_head == head * model.config.heads_of(layer)[0] // sizes.H
    arrays = model.params.layer(layer)
    normed = model.config.heads_normed or any(name.startswith("attention.query.norm") for name in arrays)
    assert (query.query_unnormed is not None) == normed
    assert (query.capped is not None) == (getattr(model.config, "score_cap", None) is not None)
    assert (query.to_sink is not None) == ("attention.sink" in arrays)
    assert max(map(len, lines(render(result), 80))) <= 80


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_shown_of_a_head_are_its_own_queries_keys_and_values(opened: Opened, name: str) -> None:
    """Every head of a layer, since with grouped heads several share their keys and values, but none its queries."""
    _, model = opened(name)
    sizes = model.config.sizes
    last = model.config.attending[-1]
    options = AttendOptions(layer=str(last), show="weights,scores,masked,queries,keys,values,added")
    result = attend(model, options, prompt_of_ids(IDS, model.tokenizer, None))
    output_DHE = model.params.layer(last)["attention.output.weight"].astype(float)
    seen = Capture(f"layers.{last}.attention.gate", optional=True)
    model.run(IDS, seen)
    gate = seen.arrays.get(f"layers.{last}.attention.gate")
    assert len(result.heads) == sizes.H
    for head in result.heads:
        queries, keys, values, scores, masked = (
            np.asarray(getattr(head, shown), float) for shown in ("queries", "keys", "values", "scores", "masked")
        )
        assert_close(queries @ keys.T, scores)
        powers_TS = np.exp(masked)
        weights_TS = powers_TS / powers_TS.sum(axis=1, keepdims=True)
        spent_T1 = head.weights.sum(axis=1, keepdims=True) if "gpt-oss" in name else 1
        assert_close(weights_TS * spent_T1, head.weights)
        _, width = model.config.heads_of(sizes.L - 1)
        output_DE = output_DHE[:, head.head * width : (head.head + 1) * width]
        gate_TE = np.ones_like(values) if gate is None else gate[head.head]
        added = [
            [
                np.linalg.norm(weight * (output_DE @ (value * gate_E))) * model.config.residual_scale
                for weight, value in zip(row, values, strict=True)
            ]
            for row, gate_E in zip(head.weights, gate_TE, strict=True)
        ]
        assert_close(head.added, added)  # type: ignore[arg-type]
    drawn = " ".join(" ".join(lines(render(replace(result, heads=result.heads[:1])), 80)).split())
    assert ("a row sums to 1." in drawn) != ("goes to the head's own sink" in drawn)
    assert ("goes to the head's own sink" in drawn) == ("gpt-oss" in name)


@pytest.mark.parametrize("name", ["youtu", "minicpm3"])
def test_the_two_parts_of_a_score_of_latent_attention(opened: Opened, name: str) -> None:
    """The first numbers of a head know no position: before the rotation they give the same part of the score."""
    _, model = opened(name)
    prompt, plain = prompt_of_ids(IDS, model.tokenizer, None), model.config.sizes.M
    (head,) = attend(model, AttendOptions(layer="1", head="2", show="scores,compressed,rotary"), prompt).heads
    assert head.scores is not None and head.compressed is not None and head.rotary is not None
    assert_close(head.compressed + head.rotary, head.scores)
    result = attend(model, AttendOptions(query="5", layer="1", head="2"), prompt)
    query = result.query
    assert query is not None and query.query_unrotated is not None and query.keys_unrotated is not None
    assert_close(query.keys_unrotated[:, :plain] @ query.query_unrotated[:plain], head.compressed[5])
    assert_close(query.compressed, head.compressed[5])  # type: ignore[arg-type]
    assert_close(query.rotary, head.rotary[5])  # type: ignore[arg-type]
    assert query.rotary_from == plain
    drawn = " ".join(" ".join(lines(render(result), 60)).split())
    assert "compressed + rotary = q · k" in drawn
    best = int(query.weights.argmax())
    terms = f"{number(head.compressed[5, best])} + {number(head.rotary[5, best])}".replace("+ -", "- ")
    assert f"= {terms} " in drawn


def test_no_other_scores_have_two_parts(opened: Opened) -> None:
    _, model = opened("llama")
    with pytest.raises(UsageError, match=r"--show rotary: the scores of .*llama have no such part"):
        attend(model, AttendOptions(layer="1", show="scores,rotary"), prompt_of_ids(IDS, model.tokenizer, None))


@pytest.mark.parametrize("name", ["mistral", "gemma2", "gemma3", "gpt-oss", "phi3"])
def test_what_a_window_hides_is_shown_as_hidden_and_not_counted(opened: Opened, name: str) -> None:
    _, model = opened(name)
    window, windowed = model.config.window or 0, model.config.windowed
    ids = list(range(3, 3 + window + 3))
    prompt = prompt_of_ids(ids, model.tokenizer, None)
    result = attend(model, AttendOptions(layer=str(windowed[0]), head="0"), prompt)
    (head,) = result.heads
    assert head.window == window
    assert not np.tril(head.weights, -window).any()
    drawn = lines(render(result), 120)
    assert f"or {window} or more before: hidden" in "\n".join(drawn)
    assert drawn[3 + window + 2].count("·") >= 3
    found = attend(model, AttendOptions(find="3->1", layer=str(windowed[0]), head="0"), prompt).find
    assert found is not None
    others = [head.weights[index, 1] for index in range(2, 1 + window) if index != 3]
    assert found.heads[0].others == pytest.approx(float(np.mean(others)), abs=1e-6)
    open_layers = [layer for layer in range(model.config.sizes.L) if layer not in windowed]
    if open_layers:
        (free,) = attend(model, AttendOptions(layer=str(open_layers[0]), head="0"), prompt).heads
        assert free.window is None


NOT_A_SUM = ("opt-after", "opt-narrow", "gemma3n", "gemma4", "openai-gpt")


@pytest.mark.parametrize("name", [name for name in DECODERS if not name.startswith(NOT_A_SUM)])
def test_the_heads_and_all_else_sum_to_the_stream(opened: Opened, name: str) -> None:
    _, model = opened(name)
    parts = attend(model, AttendOptions(contributions=True), prompt_of_ids(IDS, model.tokenizer, None)).contributions
    assert parts is not None
    total = parts.embedding + parts.heads.sum() + parts.attention_bias.sum() + parts.feedforward.sum()
    total += 0 if parts.state is None else parts.state.sum()
    assert total == pytest.approx(1, abs=1e-4)
    assert parts.scales_frozen == ("attention.norm_after.weight" in model.params.layer(0))


@pytest.mark.parametrize("name", DECODERS)
def test_the_overview_and_the_position_code_work_in_every_family(opened: Opened, name: str) -> None:
    _, model = opened(name)
    prompt = prompt_of_ids(IDS, model.tokenizer, None)
    overview = attend(model, AttendOptions(), prompt).overview
    assert overview is not None
    assert overview.measures["entropy"].shape == (model.config.sizes.L, model.config.sizes.H)
    if (
        model.config.alibi or model.config.rounded_alibi or name in ("jamba", "nemotron_h")
    ):  # Their states know the order.
        with pytest.raises(UserError, match="adds nothing to a token for its position"):
            embed(model, EmbedOptions(positions=True), [], prompt)
        return
    positions = embed(model, EmbedOptions(positions=True), [], prompt).positions
    assert positions is not None
    if positions.kind == "rotary":
        assert positions.code[1, 0] == pytest.approx(positions.code[2, 0] / 2, abs=1e-3)
