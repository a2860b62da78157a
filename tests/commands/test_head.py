"""`head`: its circuits against the layer itself, given tokens that stand alone, and against whole V × V matrices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis.corpus import Corpus
from llminspect.analysis.head import HeadResult
from llminspect.analysis.head import head as question
from llminspect.arguments.parts import CorpusOptions, HeadOptions
from llminspect.core import circuits
from llminspect.core.tap import Capture, Chain, Edit
from llminspect.errors import UserError
from llminspect.files.marks import MARKS
from llminspect.model.folded import logits_of, token_vectors
from llminspect.model.head_maps import Scores, head_maps
from llminspect.model.transformer import output_matrix
from llminspect.opening import open_model
from tests.closeness import SINGLE, assert_close
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
FAMILIES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
UP_TO_SIZE = {"deepseek-v2", "deepseek-v3", "glm4-moe-lite", "minicpm3", "youtu", "gemma4", "gemma4-experts"}
UP_TO_SIZE |= {"gemma4-same-keys", "mistral4"}
"""Whose values are divided by a size on the way."""
DISTANCE = 3


def of(model: Model, place: str, **options: Any) -> HeadResult:
    return question(model, HeadOptions(place=place, **options), CorpusOptions())


def places(model: Model) -> list[str]:
    """The last head of each layer."""
    return [f"{layer}.{max(0, model.config.sizes.H - 1)}" for layer in range(model.config.sizes.L)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_is_answered_or_refused(family: str) -> None:
    model = open_model(str(GOLDEN / family))
    for place in places(model):
        try:
            found = of(model, place)
        except UserError as error:
            assert error.message.startswith("head ")
            continue
        assert len(found.ov.top) == len(found.qk.top) == min(8, model.config.sizes.V)
        assert -1 <= found.ov.copying <= 1
        check_layer(model, family, found.layer, found.head)


def check_layer(model: Model, family: str, layer: int, head: int) -> None:
    """What the head makes of tokens is what its layer makes of them where nothing else is in the stream."""
    ids = [1, 4, 2, 7][: DISTANCE + 1]
    x_TD = np.concatenate([token_vectors(model, token_id, token_id + 1) for token_id in ids])
    maps = head_maps(model, layer, head)
    scores = Scores(model, maps)
    name = f"layers.{layer}.attention"
    alone = [Edit(f"layers.{at}.input", lambda _, x: x, x_TD) for at in {layer, maps.kv_layer}]
    kept = Capture(f"{name}.scaled", f"{name}.mixed", f"{name}.weights")
    model.run(ids, Chain([*alone, kept]))
    query_TE, key_TE = scores.vectors(x_TD)
    score = scores.queries(query_TE[-1:], DISTANCE) @ scores.keys(key_TE[:1]).T
    position = of(model, f"{layer}.{head}").qk.position
    added = position.scores[DISTANCE] - position.scores[0] if position and position.kind == "linear" else 0.0
    measured_S = kept[f"{name}.scaled"][head, -1]
    if not model.config.rounded_alibi:  # Which says where a key stands, not how far away.
        assert abs(score[0, 0] + added - measured_S[0]) <= SINGLE * np.abs(measured_S).max()
    value_TE = x_TD @ maps.read_ED.T * maps.norm.scale(x_TD)[:, None]
    if maps.value_bias_E is not None:
        value_TE += maps.value_bias_E
    mixed_TE, weights_TS = kept[f"{name}.mixed"][head], kept[f"{name}.weights"][head]
    if family in UP_TO_SIZE:  # The first token sees itself alone.
        value_TE *= np.linalg.norm(mixed_TE[0]) / np.linalg.norm(value_TE[0])
        assert_close(mixed_TE[0], value_TE[0])
    else:
        clip = model.config.clip
        value_TE = value_TE if clip is None else np.clip(value_TE, -clip, clip)
        assert_close(mixed_TE, weights_TS @ value_TE)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "opt-narrow", "cohere", "bloom", "olmo2"])
def test_what_is_written_is_what_the_model_reads_out_of_it(family: str) -> None:
    """The logits of a direction are those of a stream that is nothing else, times the size that the norm takes."""
    model = open_model(str(GOLDEN / family))
    direction_ND = np.random.default_rng(1).normal(size=(2, model.config.sizes.D)).astype(np.float32)
    kept = Capture("final.uncapped", "final.logits", optional=True)
    model.logits(direction_ND, kept)
    expected_NV = kept.arrays.get("final.uncapped", kept["final.logits"])
    size_N = 1.0
    if "final.norm.weight" in model.params or model.config.weightless_norms:
        moved_ND = direction_ND - (direction_ND.mean(axis=1, keepdims=True) if model.config.norm == "layer" else 0)
        size_N = np.sqrt((moved_ND**2).mean(axis=1) + model.config.norm_epsilon)
    nothing_NV = np.zeros_like(expected_NV[:1])
    if (bias_D := model.params.get("final.norm.bias")) is not None:
        nothing_NV = bias_D @ output_matrix(model.params, model.config).T
    assert_close(logits_of(model, direction_ND), (expected_NV - nothing_NV) * np.reshape(size_N, (-1, 1)))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "qwen3", "deepseek-v2"])
def test_the_circuits_are_those_of_whole_matrices(family: str) -> None:
    model = open_model(str(GOLDEN / family))
    found = of(model, "1.0", top=5, distance=2)
    maps = head_maps(model, 1, 0)
    x_VD = token_vectors(model, 0, model.config.sizes.V).astype(np.float64)
    ov_VV = x_VD @ maps.read_ED.T @ logits_of(model, np.ascontiguousarray(maps.write_DE.T))
    ov_VV -= ov_VV.mean(axis=1, keepdims=True)
    values = np.linalg.eigvals(ov_VV)
    values = values[np.argsort(-np.abs(values))][: len(maps.read_ED)]
    values = values[np.abs(values) > 1e-5 * np.abs(values[0])]
    assert abs(found.ov.copying - values.real.sum() / np.abs(values).sum()) < 1e-4
    assert found.ov.positive == np.mean(values.real > 0)
    written_VV = ov_VV * maps.norm.scale(x_VD)[:, None]
    always_V = written_VV.mean(axis=0)
    written_VV -= always_V
    if maps.value_bias_E is not None:
        of_bias_V = maps.value_bias_E @ logits_of(model, np.ascontiguousarray(maps.write_DE.T))
        always_V += of_bias_V - of_bias_V.mean()
    assert_close(found.ov.constant.size, np.sqrt((always_V**2).mean()))
    assert_close([token.logit for token in found.ov.constant.writes], np.sort(always_V)[::-1][:5])
    size_V = np.sqrt((written_VV**2).mean(axis=1))
    order = np.argsort(-size_V)[:5]
    assert [source.id for source in found.ov.top] == order.tolist()
    for source in found.ov.top:
        row_V = written_VV[source.id]
        assert_close([token.logit for token in source.writes], np.sort(row_V)[::-1][:5])
        assert_close([source.size, source.itself], [size_V[source.id], row_V[source.id]])
        assert source.rank == (row_V > row_V[source.id]).sum()
    singular = np.linalg.svd(maps.write_DE.astype(float) @ maps.read_ED, compute_uv=False)
    assert_close(found.ov.singular, singular[: len(found.ov.singular)])
    check_directions(model, found)
    scores = Scores(model, maps)
    query_VE, key_VE = scores.vectors(x_VD.astype(np.float32))
    qk_VV = scores.queries(query_VE, 2) @ scores.keys(key_VE).T
    above_VV = qk_VV - qk_VV.mean(axis=1, keepdims=True)
    any_V = above_VV.mean(axis=0)
    above_VV -= any_V
    best = np.argsort(-above_VV.max(axis=1))[:5]
    assert [pair.query.id for pair in found.qk.top] == best.tolist()
    assert [pair.key.id for pair in found.qk.top] == above_VV.argmax(axis=1)[best].tolist()
    assert_close([pair.score for pair in found.qk.top], above_VV.max(axis=1)[best])
    assert_close([key.score for key in found.qk.wanted], np.sort(any_V)[::-1][:5])
    assert found.qk.exact


def check_directions(model: Model, found: HeadResult) -> None:
    """Along each direction a token that is read so raises what its side says."""
    maps = head_maps(model, found.layer, found.head)
    for place, direction in enumerate(found.ov.directions):
        parts = circuits.decomposed(maps.write_DE, maps.read_ED)
        logits_V = logits_of(model, (parts.out_DE[:, place] * parts.value_E[place])[None].astype(np.float32))[0]
        x_1D = token_vectors(model, direction.plus.reads[0].id, direction.plus.reads[0].id + 1)
        along = (x_1D @ parts.in_DE[:, place] * maps.norm.scale(x_1D))[0]
        assert_close(abs(along), direction.plus.reads[0].product)
        assert direction.plus.writes[0].id == np.argmax(logits_V * np.sign(along))
        assert direction.plus.reads[0].product >= direction.minus.reads[0].product
        assert_close(direction.value, parts.value_E[place])


def test_positions_are_an_exact_part_of_rotary_scores() -> None:
    """The mean over all pairs of tokens of their scores is the score of the mean query and the mean key."""
    model = open_model(str(GOLDEN / "llama"))
    scores = Scores(model, head_maps(model, 0, 1))
    query_VE, key_VE = scores.vectors(token_vectors(model, 0, model.config.sizes.V))
    position = of(model, "0.1").qk.position
    assert position is not None and position.kind == "rotary"
    for distance in (0, 1, 7, len(position.scores) - 1):
        mean = (scores.queries(query_VE, distance) @ scores.keys(key_VE).T).mean()
        assert abs(position.scores[distance] - mean) < 1e-4 * max(map(abs, position.scores))


def test_learned_positions_score_by_themselves() -> None:
    model = open_model(str(GOLDEN / "gpt2"))
    position = of(model, "0.1").qk.position
    assert position is not None and position.kind == "learned"
    places_PD = np.asarray(model.params["position.weight"])[: len(position.scores)]
    tokens = len(places_PD)
    kept = Capture("layers.0.attention.scaled")
    model.run([0] * tokens, Chain([Edit("layers.0.input", lambda _, x: x, places_PD), kept]))
    scaled_TS = kept["layers.0.attention.scaled"][1]
    assert_close(position.scores, [np.diagonal(scaled_TS, -far).mean() for far in range(tokens)])


def test_the_search_for_pairs_is_bounded_and_says_so() -> None:
    draw = np.random.default_rng(5)
    query_VE, key_VE = draw.normal(size=(900, 4)), draw.normal(size=(900, 4))
    every = np.arange(900)
    whole_VV = query_VE @ key_VE.T
    best = np.sort(whole_VV.max(axis=1))[::-1]
    found = circuits.best_pairs(query_VE, key_VE, every, every, 3)
    assert found.exact and found.tried < 900
    np.testing.assert_allclose([score for score, _, _ in found.pairs], best[:3])
    few = circuits.best_pairs(query_VE, key_VE, every, every, 700, most=256)
    assert not few.exact and few.tried == 256 and len(few.pairs) == 256


def test_heads_that_share_keys_and_values_say_so() -> None:
    found = of(open_model("smollm2"), "11.4", top=2)
    assert (found.kv_head, found.sharing) == (1, [3, 4, 5])


def test_tokens_are_chosen() -> None:
    model = open_model("smollm2")
    found = of(model, "27.1", token=[" Paris", "#314"], top=3)
    assert [source.text for source in found.ov.top] == [" Paris", " is"]
    assert [pair.query.text for pair in found.qk.top] == [" Paris"] * 3 + [" is"] * 3
    assert found.ov.copying > 0.9
    assert found.ov.top[0].rank < 100


def test_one_piece_has_no_spread_and_a_head_shares_with_the_others(called: Program, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A cat sat on a mat.")
    given = ("head", "2.7", "--top", "1", "--corpus", str(tmp_path))
    ran = called(*given, COLUMNS="120")
    assert ran.code == 0 and "nan" not in ran.out
    assert "shares key and value head 2 with heads 6, 8" in ran.out and "in 1 piece" in ran.out
    assert "std" not in ran.out and "95% interval" not in ran.out
    measures = called(*given, "--json").json["habits"]["measures"]
    assert all(
        entry["std"] is entry["low"] is entry["high"] is None and entry["mean"] is not None for entry in measures
    )


def test_habits_are_those_of_attend(tmp_path: Path) -> None:
    model, text = open_model("smollm2"), "Alice gave Bob her book. " * 20
    (tmp_path / "text.txt").write_text(text)
    (tmp_path / "binary").write_bytes(b"\0\1")
    found = question(model, HeadOptions(place="2.7", top=1), CorpusOptions(tmp_path, 64, 32)).habits
    assert found is not None and (found.read.tokens, found.read.pieces, found.read.skipped) == (64, 2, 1)
    assert not found.read.whole
    ids = model.tokenizer.encode_ids(text)[:64]  # type: ignore[union-attr]
    measured = [llminspect.attend(part, model, layer=2, head=7).heads[0].measures for part in (ids[:32], ids[32:])]
    for entry in found.measures:
        values = [each[entry.measure] for each in measured if np.isfinite(each[entry.measure])]
        assert_close([entry.mean, entry.std], [np.mean(values), np.std(values, ddof=1)])
        assert abs(entry.high - entry.mean - 1.96 * entry.std / np.sqrt(2)) < 1e-9
        assert entry.count == 2


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("most", [4, 6, 1000])
def test_a_mark_in_front_of_a_corpus_is_dropped(tmp_path: Path, mark: bytes, most: int) -> None:
    model = open_model("toy-attention")
    text = "A cat sat . " * 200
    (tmp_path / "plain.txt").write_text(text)
    (tmp_path / "marked.txt").write_bytes(mark + text.encode(MARKS[mark]))
    plain, marked = (
        [piece.ids for piece in Corpus(model, tmp_path / f"{name}.txt", 4, most).pieces()]
        for name in ("plain", "marked")
    )
    assert plain == marked
    assert sum(map(len, plain)) == min(most, 800)


def test_the_command_draws_and_writes_json(called: Program, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A cat sat on a mat. " * 30)
    base = ("head", "3.2", "--top", "2", "--corpus", str(tmp_path), "--length", "16", "--most", "40")
    drawn = called(*base, "--token", " cat", COLUMNS="80")
    assert drawn.code == 0, drawn.err
    for words in (
        "What it writes (OV)",
        "copying score",
        "What it looks for (QK)",
        "What positions add",
        "What it does",
    ):
        assert words in drawn.out
    assert max(map(len, drawn.out.splitlines())) <= 80
    document = json.loads(called(*base, "--json").out)
    assert_fits(document, "head")
    assert (document["layer"], document["head"]) == (3, 2)
    assert set(document["ov"]) >= {"top", "copying", "singular"} and "top" in document["qk"] and document["habits"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("head",), "no head is named"),
        (("head", "3"), "names no head"),
        (("head", "3.attention"), "names no head"),
        (("head", "30.0"), "there is no layer 30"),
        (("head", "3.9"), "there is no head 9"),
        (("head", "3.2", "--length", "8"), "--length has no effect without --corpus"),
        (("head", "3.2", "--corpus", "nowhere"), "cannot read 'nowhere'"),
        (("head", "0.0", "--model", "toy"), "there is no head 0"),
        (("head", "0.0", "--model", "minilm"), "predicts no words"),
    ],
)
def test_what_is_not_there_is_refused_in_a_line(called: Program, arguments: tuple[str, ...], message: str) -> None:
    ran = called(*arguments)
    # The first of all to open a model prepares its weights.
    lines = [line for line in ran.err.splitlines() if not line.startswith("llminspect: prepare ")]
    assert ran.code in (1, 2) and len(lines) == 1 and message in lines[0]
