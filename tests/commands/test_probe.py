"""`probe`: streams, splits and scores against the plain way, what it saves and `--steer` reads, and hostile files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis.probe_fit import Fitted, direction_of, fit_layer
from llminspect.analysis.probe_texts import LabelledTexts, fitting_folds, labelled_texts, parts_of, shuffled
from llminspect.analysis.prompt import text_prompt
from llminspect.analysis.text_streams import EMBEDDING, streams_of
from llminspect.arguments.shared import SourceOptions
from llminspect.core.intervals import of_share
from llminspect.core.regression import logistic, ridge
from llminspect.core.tap import Capture
from llminspect.errors import UserError
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

ANIMALS, FOOD = "cat dog horse cow sheep goat lion bear", "bread milk cheese rice soup salt egg jam"
RECORDS = [
    {"text": f"The {word}", "label": kind}
    for kind, words in (("animal", ANIMALS), ("food", FOOD))
    for word in words.split()
]


def written(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.mark.parametrize("model_name", ["smollm2", "minilm"])
def test_the_streams_are_those_of_each_text_alone(model_name: str) -> None:
    model = open_model(model_name)
    texts = ["A cat sat.", "A dog ran home.", "Yes", "A cow ate.", "No"]
    prompts = [text_prompt(text, SourceOptions(), model.tokenizer, None) for text in texts]
    layers = [EMBEDDING, 1, 4]
    steps: list[tuple[int, int]] = []
    found = {pool: streams_of(model, prompts, layers, pool, lambda *step: steps.append(step)) for pool in POOLS}
    assert steps[-1] == (5, 5)
    for at, prompt in enumerate(prompts):
        kept = Capture("layers.0.input", "layers.1.output", "layers.4.output")
        model.run(prompt.ids, kept)
        words = [index for index, token in enumerate(prompt.tokens) if not token.special]
        for place, name in enumerate(kept.patterns):
            stream_TD = kept[name]
            expected = {"last": stream_TD[-1], "first": stream_TD[0], "mean": stream_TD[words].mean(axis=0)}
            for pool in POOLS:
                assert_close(found[pool][place, at], expected[pool])


POOLS: Any = ("last", "first", "mean")


def labelled(classes: int | None, count: int = 46, width: int = 9, seed: int = 0) -> tuple[np.ndarray, LabelledTexts]:
    """Vectors, and texts whose labels are in them, but for noise."""
    draw = np.random.default_rng(seed)
    x_ND = draw.normal(size=(count, width)) * 10 ** draw.uniform(-2, 2, width) + draw.normal(size=width)
    if classes is None:
        numbers = (x_ND / x_ND.std(axis=0))[:, :1] * 50 + 1000 + 10 * draw.normal(size=(count, 1))
        return x_ND, LabelledTexts([None] * count, None, numbers, [])  # type: ignore[list-item]
    chosen = ((x_ND - x_ND.mean(axis=0)) / x_ND.std(axis=0))[:, :classes] + 0.5 * draw.normal(size=(count, classes))
    names = [str(index) for index in range(classes)]
    return x_ND, LabelledTexts([None] * count, names, np.eye(classes)[chosen.argmax(axis=1)], [])  # type: ignore


@pytest.mark.parametrize(("classes", "width"), [(2, 9), (3, 9), (3, 60), (None, 9), (None, 60)])
def test_scores_are_of_texts_that_were_not_learned_from(classes: int | None, width: int) -> None:
    """Against a plain loop: standardise by those learned from, fit in all numbers, say what was held out."""
    x_ND, texts = labelled(classes, width=width)
    part_N = parts_of(texts, 5, 0)
    regression: Any = "ridge" if classes is None else "logistic"
    fitted = Fitted(regression, 0.3, classes is None)
    controls = [shuffled(texts, part_N, seed) for seed in (0, 1)]
    found = fit_layer(fitted, x_ND.astype(np.float32), texts.target_NK, controls, part_N, 5)
    plain = []
    for target_NK in (texts.target_NK, *controls):
        predicted_N, right_N = np.zeros(len(x_ND)), target_NK.argmax(axis=1)
        known_N = np.zeros(len(x_ND))
        for part in range(5):
            learned = part_N != part
            mean, scale = x_ND[learned].mean(axis=0), x_ND[learned].std(axis=0) * np.sqrt(width)
            x, held = (x_ND[learned] - mean) / scale, (x_ND[~learned] - mean) / scale
            if classes is None:
                size, middle = target_NK[learned].std(), target_NK[learned].mean()
                predicted_N[~learned] = ridge(x, (target_NK[learned] - middle) / size, 0.3)(held)[:, 0]
                known_N[~learned] = (target_NK[~learned, 0] - middle) / size
            else:
                predicted_N[~learned] = logistic(x, target_NK[learned], 0.3)(held).argmax(axis=1)
        share = (predicted_N == right_N).mean()
        plain.append(share if classes else 1 - ((predicted_N - known_N) ** 2).sum() / (known_N**2).sum())
    assert_close(
        [found.score, found.control, found.selectivity],
        [plain[0], np.mean(plain[1:]), plain[0] - np.mean(plain[1:])],
        1e-5,
    )
    assert (found.control_low, found.control_high) == pytest.approx((min(plain[1:]), max(plain[1:])), abs=1e-5)
    assert found.converged and found.low <= found.score <= found.high
    assert found.score > (0.6 if width == 9 else 0.45) > found.control
    if classes is not None:
        assert (found.low, found.high) == of_share(round(found.score * len(x_ND)), len(x_ND))


def test_nothing_is_learned_from_what_is_held_out() -> None:
    """Labels that are in no vector, and more numbers than vectors: one that had seen a text would know its label."""
    x_ND = np.random.default_rng(1).normal(size=(200, 400))
    _, texts = labelled(2, 200)
    part_N = parts_of(texts, 5, 0)
    found = fit_layer(Fitted("logistic", 1e-3, False), x_ND, texts.target_NK, [texts.target_NK], part_N, 5)
    assert found.score == found.control and found.low < 0.5 < found.high


@pytest.mark.parametrize("classes", [2, 5, None])
def test_each_part_has_as_much_of_every_label(classes: int | None) -> None:
    _, texts = labelled(classes, 47)
    part_N, other_N = parts_of(texts, 4, 0), parts_of(texts, 4, 1)
    assert (part_N != other_N).any() and (parts_of(texts, 4, 0) == part_N).all()
    sizes = np.bincount(part_N)
    assert len(sizes) == 4 and sizes.max() - sizes.min() <= 1
    for row_N in texts.target_NK.T if classes else []:
        counts = [row_N[part_N == part].sum() for part in range(4)]
        assert max(counts) - min(counts) <= 1
    if classes is None:
        order = np.argsort(texts.target_NK[:, 0])
        assert all(set(part_N[order[start : start + 4]]) == {0, 1, 2, 3} for start in range(0, 44, 4))
    mixed_NK = shuffled(texts, part_N, 0)
    assert (mixed_NK != texts.target_NK).any()
    for part in range(4):
        some = part_N == part
        assert sorted(map(tuple, mixed_NK[some])) == sorted(map(tuple, texts.target_NK[some]))


def test_rare_classes_leave_fewer_parts() -> None:
    records = [{"text": f"{index}", "label": "rare" if index < 3 else "usual"} for index in range(20)]
    texts = labelled_texts(open_model("smollm2"), records, None)
    assert fitting_folds(texts, 5) == 3
    assert texts.classes == ["rare", "usual"] and texts.class_N.tolist() == [0] * 3 + [1] * 17


def test_directions_point_from_the_others_to_the_class() -> None:
    x_ND, texts = labelled(2, 300)
    direction_KD = direction_of(Fitted("logistic", 1, False), x_ND, texts.target_NK)
    assert_close(direction_KD[0], -direction_KD[1], 1e-5)
    unit_D = direction_KD[1] / np.linalg.norm(direction_KD[1])
    along_N = x_ND @ unit_D
    gap = along_N[texts.class_N == 1].mean() - along_N[texts.class_N == 0].mean()
    assert_close(np.linalg.norm(direction_KD[1]), gap, 1e-5)
    x_ND, texts = labelled(None, 300)
    (direction_D,) = direction_of(Fitted("ridge", 1, True), x_ND, texts.target_NK)
    along_N = x_ND @ (direction_D / np.linalg.norm(direction_D))
    assert_close(np.linalg.norm(direction_D), along_N.std(), 1e-5)
    assert np.corrcoef(along_N, texts.target_NK[:, 0])[0, 1] > 0.9


def test_the_command_finds_what_words_mean(called: Program, tmp_path: Path) -> None:
    path = written(tmp_path / "words.jsonl", [*RECORDS, RECORDS[0], {"text": "The cat", "label": "food"}])
    document = called("probe", path, "--json").json
    assert_fits(document, "probe")
    assert document["records"] == path and document["texts"] == document["held_out"] == 16
    assert document["classes"] == [{"label": "animal", "count": 8}, {"label": "food", "count": 8}]
    assert [place["layer"] for place in document["layers"]] == list(range(30))
    best = document["layers"][document["best"]]
    assert best["accuracy"] == max(place["accuracy"] for place in document["layers"]) >= 0.9 > best["control"]
    assert document["baseline"] == {"accuracy": 0.5, "label": "animal"}
    assert "2 records repeat a text, 1 of them with another label" in document["notes"][0]
    assert "layer" not in document["embedding"] and "directions" not in best
    chosen = called("probe", path, "--json", "--at", "3,5", "--seed", "4").json
    assert [place["layer"] for place in chosen["layers"]] == [3, 5] and "embedding" not in chosen


def test_numbers_are_read_by_ridge_regression(called: Program, tmp_path: Path) -> None:
    path = written(tmp_path / "n.jsonl", [{"text": f"{n} apples", "label": n} for n in range(2, 42)])
    found = called("probe", path, "--at", "2", "--pool", "mean", "--json").json
    assert found["regression"] == "ridge" and "classes" not in found and found["baseline"] == {"r2": 0.0}
    (place,) = found["layers"]
    assert (
        "accuracy" not in place and place["r2"] > 0.5 > place["control"] and place["low"] < place["r2"] < place["high"]
    )
    drawn = called("probe", path, "--at", "2", "--labels", "classes")
    assert drawn.code == 1 and "has one text" in drawn.err


@pytest.mark.parametrize("width", [60, 80, 160])
def test_it_is_drawn_at_every_width(called: Program, tmp_path: Path, width: int) -> None:
    path = written(tmp_path / "words.jsonl", RECORDS)
    ran = called("probe", path, "--at", "0-9", "--shuffles", "1", COLUMNS=str(width))
    assert ran.code == 0 and max(map(len, ran.out.splitlines())) <= width
    words = " ".join(ran.out.split())
    for part in (
        "Held-out accuracy",
        "animal 8 · food 8",
        "after layer",
        "○ shuffled labels",
        "always predicting “animal”",
    ):
        assert part in words, part
    assert "E embedding" not in words
    words = " ".join(called("probe", path, "--shuffles", "1", COLUMNS=str(width)).out.split())
    assert "└─" in words and "E embedding → after layer" in words
    if width == 80:
        assert "95% interval control control range" in words
        saved = tmp_path / "picture.svg"
        assert called("probe", path, "--at", "0-9", "--shuffles", "1", "--save", str(saved)).code == 0
        assert "shuffled" in saved.read_text()


def test_python_gives_what_the_command_does_and_the_directions(called: Program, tmp_path: Path) -> None:
    path = tmp_path / "words.jsonl"
    document = called("probe", written(path, RECORDS), "--at", "4,9", "--save", str(tmp_path / "d.npz"), "--json").json
    for records in (RECORDS, path):
        found = llminspect.probe(records, "smollm2", at=[4, 9])
        assert [place.accuracy for place in found.layers] == [place["accuracy"] for place in document["layers"]]
    saved = np.load(tmp_path / "d.npz")
    assert saved["layers"].tolist() == [4, 9] and json.loads(bytes(saved["classes"])) == ["animal", "food"]
    for place, directions_KD in zip(found.layers, saved["directions"], strict=True):
        assert place.directions is not None
        assert_close(place.directions, directions_KD)
    with pytest.raises(UserError, match="holds no records"):
        llminspect.probe([], "smollm2")
