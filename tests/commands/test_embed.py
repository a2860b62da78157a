"""`embed` on the toys, where every number can be checked by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.embed import EmbedResult, embed, embed_analogy, prompt_of_terms
from llminspect.analysis.neighbours import Neighbour, is_start_of_word
from llminspect.analysis.vectors import TextSpan
from llminspect.arguments.embed import EmbedOptions
from llminspect.arguments.words import parse_sum
from llminspect.commands.embed.view import render
from llminspect.errors import UsageError, UserError
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from tests.closeness import SINGLE, assert_close
from tests.conftest import ROOT
from tests.render.samples import lines, shown
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.opened import Model
    from tests.conftest import Program

TABLE = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.encode(text))


def result_of(text: str, *others: str, **options: Any) -> EmbedResult:
    model = open_model("toy")
    return embed(model, EmbedOptions(**options), [prompt(model, other) for other in others], prompt(model, text))


def test_a_token_is_its_row_of_the_table() -> None:
    result = result_of("world hello")
    np.testing.assert_array_equal(result.vectors, np.array([TABLE[1], TABLE[0]], np.float32))
    np.testing.assert_allclose(result.norms, [0.5, 0.05**0.5], rtol=1e-6)
    assert result.lookup is not None
    assert result.lookup.one_hot is not None
    assert result.lookup.table is not None
    np.testing.assert_array_equal(result.lookup.one_hot, [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(result.lookup.one_hot @ result.lookup.table, result.vectors)


@pytest.mark.parametrize("at", ["0", "final"])
def test_at_a_layer_it_is_the_residual_stream(at: str) -> None:
    np.testing.assert_allclose(result_of("world", at=at).vectors, [[2.0, 2.7]], rtol=1e-6)


def test_pooling_gives_one_vector_a_text() -> None:
    result = result_of("hello !", "world", pool="mean", similarity=True)
    np.testing.assert_allclose(result.vectors, [[0.3, 0.4], [0.3, 0.4]], rtol=1e-6)
    assert result.labels == ["hello !", "world"]
    assert result.texts == [TextSpan("hello !", 0, 2), TextSpan("world", 2, 1)]
    assert [token["index"] for token in result.tokens] == [0, 1, 2]
    np.testing.assert_allclose(np.asarray(result.similarity), np.ones((2, 2)), rtol=1e-6)


def test_neighbours_are_ranked_over_the_whole_vocabulary() -> None:
    result = result_of("hello", nearest=3)
    assert result.nearest is not None
    (near,) = result.nearest
    assert isinstance(near, list)
    assert [entry.text for entry in near] == ["hello", "world", "!"]
    cosines = [1, 0.11 / (0.05 * 0.25) ** 0.5, 0.17 / (0.05 * 0.61) ** 0.5]
    np.testing.assert_allclose([entry.cosine for entry in near], cosines, rtol=1e-6)
    by_dot = result_of("hello", nearest=3, metric="dot").nearest
    assert by_dot is not None
    assert [entry.text for entry in by_dot[0]] == ["!", "world", "hello"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("expression", "terms"),
    [
        ("king - man + woman", [(1, "king"), (-1, "man"), (1, "woman")]),
        ("2*Paris-France + 0.5 * Italy", [(2, "Paris"), (-1, "France"), (0.5, "Italy")]),
        ("-a", [(-1, "a")]),
        ("""'New York' − "x-ray" """, [(1, "New York"), (-1, "x-ray")]),
        ("1 + 2", [(1, "1"), (1, "2")]),
    ],
)
def test_expressions_are_read(expression: str, terms: list[tuple[float, str]]) -> None:
    assert parse_sum(expression, "--analogy") == terms


@pytest.mark.parametrize("expression", ["", "  ", "a b", "a +", "+ * b", "a ++ b", "'a"])
def test_what_is_not_an_expression_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match="--analogy"):
        parse_sum(expression, "--analogy")


def test_a_sum_of_words_by_hand() -> None:
    model = open_model("toy")
    options = EmbedOptions(analogy="hello - world + 2*!", exclude_inputs=False)
    result = embed_analogy(model, options, prompt_of_terms(model, "hello - world + 2*!"))
    np.testing.assert_allclose(result.vectors, [[0.8, 1.0]], rtol=1e-6)
    assert isinstance(result.nearest, list)
    assert [entry.text for entry in result.nearest] == ["!", "world", "hello"]  # type: ignore[union-attr]
    listed = [line.split()[:2] for line in lines(render(result))]
    assert all(row in listed for row in (["rank", "token"], ["0", "!"], ["1", "world"], ["2", "hello"]))
    without = embed_analogy(model, EmbedOptions(analogy="hello + world", exclude_inputs=True), prompt(model, "!"))
    assert [entry.text for entry in without.nearest or []] == ["!"]  # type: ignore[union-attr]


def test_a_word_is_letters_after_a_space_where_the_vocabulary_has_them() -> None:
    assert is_start_of_word(" king", spaced=True)
    assert not is_start_of_word("king", spaced=True)
    assert is_start_of_word("king", spaced=False)
    assert not is_start_of_word("##ing", spaced=False)
    assert not is_start_of_word(" 12", spaced=True)


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize(
    "options",
    [{}, {"nearest": 2, "project": "pca", "similarity": True}, {"at": "0"}, {"pool": "last", "nearest": 1}],
)
def test_renderings_fit_their_width(options: dict[str, Any], columns: int) -> None:
    drawn = lines(render(result_of("hello world!", **options)), columns)
    assert max(map(len, drawn)) <= columns
    assert shown(render(result_of("hello world!", **options)), columns, "truecolor").count("\x1b[") > 0


def test_the_one_hot_product_is_written_out() -> None:
    text = shown(render(result_of("world")))
    assert "e = x · E" in text
    assert "[[0, 1, 0]]" in text
    assert "= [[0.3, 0.4]]" in text and "norm: the length of the vector" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("world",),
        ("world", "--nearest", "2", "--similarity"),
        ("hello world", "--project", "pca", "--at", "final"),
        ("hello", "--with", "world", "--pool", "mean"),
        ("--analogy", "hello + world"),
    ],
)
def test_json_keeps_the_contract(called: Program, arguments: tuple[str, ...]) -> None:
    ran = called("embed", *arguments, "--model", "toy", "--json")
    assert ran.code == 0
    assert_fits(ran.json, "embed")
    assert ran.json["dim"] == 2
    assert {"tokens", "vectors"} <= set(ran.json)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("world", "--at", "1"), "there is no layer '1' for --at (the only layer is 0"),
        (("world", "--analogy", "hello"), "--analogy takes the place of TEXT"),
        (("--analogy", "hello", "--at", "0"), "--analogy adds rows of the embedding table"),
        (("world", "--exclude-inputs"), "--exclude-inputs goes with --analogy"),
        (("world", "--words"), "--words goes with --nearest or --analogy"),
        (("world", "--metric", "dot"), "--metric goes with --nearest, --analogy or --similarity"),
        (("--analogy", "hello - hello"), "hello - hello is a vector of zeros"),
        (("world", "--project", "pca"), "--project needs at least two vectors"),
        (("--analogy", "hello world"), "--analogy cannot read 'world'"),
        (("--analogy", "king"), "has no word 'king'"),
        (("--ids", "3"), "id 3 is outside the vocabulary"),
        (("",), "the text is empty"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: tuple[str, ...], message: str) -> None:
    ran = called("embed", *arguments, "--model", "toy")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_save_writes_the_arrays(called: Program, tmp_path: Path) -> None:
    ran = called("embed", "world", "--model", "toy", "--save", str(tmp_path / "e.npz"))
    assert ran.code == 0
    with np.load(tmp_path / "e.npz") as saved:
        np.testing.assert_array_equal(saved["vectors"], np.array([TABLE[1]], np.float32))
        np.testing.assert_array_equal(saved["ids"], [1])


# -- SmolLM2 -----------------------------------------------------------------------------------------------------------


def analogy(model: Model, expression: str, **options: Any) -> EmbedResult:
    tokens = prompt_of_terms(model, expression)
    return embed_analogy(model, EmbedOptions(analogy=expression, **options), tokens)


def test_king_minus_man_plus_woman_is_queen(smollm2: Model) -> None:
    result = analogy(smollm2, "king - man + woman")
    first, second = (result.nearest or [])[:2]
    assert isinstance(first, Neighbour)
    assert isinstance(second, Neighbour)
    assert (first.text, second.text) == (" queen", " king")
    assert first.cosine == pytest.approx(0.716, abs=5e-4)
    assert second.cosine == pytest.approx(0.692, abs=5e-4)
    without = analogy(smollm2, "king - man + woman", exclude_inputs=True, nearest=3, words=True).nearest
    assert [entry.text for entry in without or []] == [" queen", " Queen", " princess"]  # type: ignore[union-attr]


def test_a_word_of_several_tokens_is_averaged_and_said_to_be(smollm2: Model) -> None:
    result = analogy(smollm2, "Dursley")
    assert result.analogy is not None
    (term,) = result.analogy.terms
    assert len(term.ids) > 1
    rows = smollm2.params["embedding.weight"][term.ids]
    np.testing.assert_allclose(result.vectors[0], rows.mean(axis=0), rtol=1e-6)
    assert "the mean of their vectors" in shown(render(result))


def test_vectors_inside_the_model_are_the_recorded_ones(smollm2: Model) -> None:
    recorded = json.loads((ROOT / "tests" / "golden" / "smollm2.json").read_text(encoding="utf-8"))["forward"][0]
    text = prompt(smollm2, recorded["text"])
    for at, place in {"embedding": 0, "0": 1, "14": 15, "28": 29}.items():
        result = embed(smollm2, EmbedOptions(at=at), [], text)
        assert float(result.norms[-1]) == pytest.approx(recorded["hidden_norms"][place], rel=SINGLE)
    final = embed(smollm2, EmbedOptions(at="final"), [], text)
    assert int((smollm2.params["embedding.weight"] @ final.vectors[-1]).argmax()) == recorded["top"][0]["id"]


def test_random_tokens_judge_a_cosine_only_between_rows_of_the_table(smollm2: Model) -> None:
    """The vectors at the end of a model all point much the same way; random rows of the table do not."""
    text = prompt(smollm2, "Alice gave Bob her book")
    for at in ("0", "final"):
        result = embed(smollm2, EmbedOptions(at=at, similarity=True), [], text)
        assert result.statistics.anisotropy is None
        vectors_ND = result.vectors / np.linalg.norm(result.vectors, axis=1, keepdims=True)
        cosines_NN = vectors_ND @ vectors_ND.T
        others = cosines_NN[~np.eye(len(vectors_ND), dtype=bool)]
        assert result.statistics.mean_cosine == pytest.approx(float(others.mean()), abs=1e-5)
        text_shown = " ".join(shown(render(result)).split())
        assert "random tokens" not in text_shown
        assert "Judge a cosine by that" in text_shown
    table = embed(smollm2, EmbedOptions(similarity=True), [], text)
    assert table.statistics.anisotropy is not None
    assert "two random tokens" in " ".join(shown(render(table)).split())


def test_the_lengths_of_many_vectors_are_drawn(smollm2: Model) -> None:
    text = "Alice gave Bob her book"
    few = shown(render(embed(smollm2, EmbedOptions(), [], prompt(smollm2, text))))
    many = shown(render(embed(smollm2, EmbedOptions(), [], prompt(smollm2, " ".join([text] * 5)))))
    assert "How long the vectors are" not in few
    assert "25 norms" in many


def test_what_is_the_same_stays_to_be_seen_where_a_text_is_folded(smollm2: Model) -> None:
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
    text = prompt(smollm2, " ".join(words * 8))
    text_shown = shown(render(embed(smollm2, EmbedOptions(similarity=True), [], text)), 80, "truecolor")
    assert "each shows the number furthest from 0 of" in text_shown


def test_a_massive_activation_is_warned_of(smollm2: Model) -> None:
    result = embed(smollm2, EmbedOptions(at="15", pool="mean"), [], prompt(smollm2, "A cat sat."))
    assert result.outlier is not None
    assert (result.outlier.index, result.outlier.times > 50) == (0, True)
    assert "Careful with token 0" in shown(render(result))


def test_the_rotary_code_turns_each_pair_at_its_own_speed(smollm2: Model) -> None:
    positions = embed(smollm2, EmbedOptions(positions=True), [], prompt(smollm2, "A")).positions
    assert positions is not None
    alone = shown(render(embed(smollm2, EmbedOptions(positions=True), [], prompt(smollm2, "A b"))))
    assert alone.startswith("The rotary position code")
    assert "Mean cosine" not in alone
    assert (positions.kind, positions.pairs, positions.code.shape) == ("rotary", "halves", (32, 32))
    place_T1 = np.arange(32)[:, None]
    np.testing.assert_allclose(positions.code[1, 0], 1, atol=1e-5)
    np.testing.assert_allclose(np.cos(positions.code), np.cos(place_T1 * positions.code[1]), atol=1e-3)
    speeds_P = positions.code[1]
    np.testing.assert_allclose(speeds_P[1:8] / speeds_P[:7], speeds_P[1] / speeds_P[0], rtol=1e-3)


def test_a_model_without_positions_says_so() -> None:
    with pytest.raises(UserError, match="adds nothing to a token for its position"):
        result_of("world", positions=True)


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize(
    "options",
    [{}, {"nearest": 8, "project": "pca"}, {"at": "15", "similarity": True}, {"positions": True}, {"at": "final"}],
)
def test_renderings_of_long_vectors_fit_their_width(smollm2: Model, options: dict[str, Any], columns: int) -> None:
    result = embed(smollm2, EmbedOptions(**options), [], prompt(smollm2, "Alice gave Bob her book"))
    assert max(map(len, lines(render(result), columns))) <= columns
    if not options:
        assert "576 dimensions folded to" in shown(render(result), columns)


def test_texts_can_stand_side_by_side(called: Program) -> None:
    """The same as with --with."""
    given = ("embed", "a man eats", "someone is eating", "--pool", "mean", "--at", "final", "--similarity")
    ran = called(*given, "--model", "minilm", "--json")
    assert ran.code == 0, ran.err
    assert [text["text"] for text in ran.json["texts"]] == ["a man eats", "someone is eating"]
    other = called("embed", "a man eats", "--with", "someone is eating", *given[3:], "--model", "minilm", "--json")
    assert other.json["similarity"] == ran.json["similarity"]


def test_an_encoder_decoder_s_vectors_are_its_encoder_s(called: Program) -> None:
    from tests.model.golden import Golden

    golden = Golden("t5")
    ids = ",".join(map(str, golden.expected["source_ids"]))
    ran = called("embed", "--ids", ids, "--at", "1", "--model", str(golden.folder), "--json")
    assert_close(ran.json["vectors"], golden.expected["encoder_hidden"][2])
