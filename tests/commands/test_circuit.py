"""`circuit`: the graph that is found keeps what it says, its JSON has it, and what cannot be done is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis.circuit_scores import Contrasts, contrast
from llminspect.analysis.circuit_search import Graphs, curve, planned, smallest
from llminspect.errors import UserError
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from tests.conftest import Program

LLAMA = str(Path(__file__).parent.parent / "golden" / "llama")
CLEAN, CORRUPT = "3,1,4,1,5,2", "3,1,6,1,5,2"
WORDS = ("circuit", CLEAN, CORRUPT, "--ids", "--model", LLAMA, "--target", "#5", "--versus", "#9")


def ids(text: str) -> list[int]:
    return [int(token_id) for token_id in text.split(",")]


def pair() -> Contrasts:
    return Contrasts((contrast(open_model(LLAMA), ids(CLEAN), ids(CORRUPT), (5, 9)),))


def found(**options: Any) -> Any:
    return llminspect.circuit(ids(CLEAN), ids(CORRUPT), LLAMA, **{"controls": 4, "target": 5, "versus": 9, **options})


def test_the_graph_keeps_what_it_says_and_no_smaller_one_that_was_tried_does() -> None:
    result = found(keep=0.7)
    between = pair()
    wiring, score_RU = between.wiring, np.abs(result.scores)
    kept_RU = np.zeros(wiring.possible_RU.shape, bool)
    for edge in result.edges:
        place = result.readers.index(edge["to"]), result.writers.index(edge["from"])
        kept_RU[place] = True
        assert edge["score"] == result.scores[place]
    assert (
        between.faithfulness(kept_RU)[0] == pytest.approx(result.faithfulness, abs=1e-6) and result.faithfulness >= 0.7
    )
    assert (wiring.connected(kept_RU) == kept_RU).all()
    lost = 1 - between.faithfulness(wiring.possible_RU & ~kept_RU)[0]
    assert result.completeness == pytest.approx(lost, abs=1e-6)
    sizes = [abs(edge["score"]) for edge in result.edges]
    assert sizes == sorted(sizes, reverse=True)
    count = sum(score >= sizes[-1] for score in score_RU[wiring.possible_RU])
    assert (wiring.connected(wiring.strongest(score_RU, count)) == kept_RU).all()
    assert between.faithfulness(wiring.strongest(score_RU, count - 1))[0] < 0.7


@pytest.mark.parametrize(("method", "steps"), [("EAP", 1), ("EAP-IG", 5)])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_scores_are_those_of_pytorch_s_autograd(name: str, method: str, steps: int) -> None:
    folder = Path(LLAMA).parent
    result = llminspect.circuit(
        ids(CLEAN), ids(CORRUPT), str(folder / name), target=5, versus=9, steps=steps, controls=1
    )
    with np.load(folder / "circuits.npz") as recorded:
        assert_close([result.difference, result.corrupt_difference], recorded[f"{name}/difference"])
        assert result.scores is not None
        assert_close(result.scores.ravel(), recorded[f"{name}/{method}"].ravel())


def test_a_node_has_the_sum_of_the_scores_of_its_edges() -> None:
    result = found()
    nodes = {node.name: node.score for node in result.nodes}
    ends = {end for edge in result.edges for end in (edge["from"], edge["to"])}
    assert set(nodes) == {end if end in nodes else end.rpartition(".")[0] for end in ends}
    for name, score in nodes.items():
        of = result.scores[-1] if name == "logits" else result.scores[:, result.writers.index(name)]
        assert score == pytest.approx(of.sum(), rel=1e-4, abs=1e-6)


def test_all_of_the_effect_is_kept_by_the_whole_model_at_the_latest() -> None:
    result = found(keep=1.0)
    assert result.faithfulness >= 1 and len(result.edges) <= result.of_edges
    assert [point.faithfulness for point in result.curve][-1] == 1


def test_random_graphs_have_as_many_edges_and_a_seed() -> None:
    first, same, other = found(seed=3), found(seed=3), found(seed=4)
    assert first.control == same.control and first.control.mean != other.control.mean
    assert first.control.graphs == 4 and first.control.low <= first.control.mean <= first.control.high


def test_areas_are_those_of_the_curve() -> None:
    result = found()
    shares, values = zip(*((point.share, point.faithfulness) for point in result.curve), strict=True)
    between = sum(
        (shares[at + 1] - shares[at]) * (abs(1 - values[at]) + abs(1 - values[at + 1])) / 2
        for at in range(len(shares) - 1)
    )
    assert result.methods[0].cmd == pytest.approx(between)
    assert [method.name for method in result.methods] == ["EAP-IG", "EAP"]
    plain = found(steps=1)
    assert plain.method == "EAP" and [method.name for method in plain.methods] == ["EAP", "EAP-IG"]
    assert plain.methods[0].cmd == pytest.approx(result.methods[1].cmd)


def test_no_more_graphs_are_measured_than_was_said() -> None:
    between = pair()
    edges, measured = int(between.wiring.possible_RU.sum()), list[int]()
    score_RU = between.wiring.possible_RU * np.random.default_rng(0).random(between.wiring.possible_RU.shape)
    for keep in (0.1, 0.5, 1.0):
        measured.clear()
        graphs = Graphs(between, score_RU, lambda: measured.append(1))
        smallest([graphs], keep)
        curve(graphs)
        assert len(measured) == len(graphs.measured) - 1 and 2 * len(measured) < planned(edges, 0)


def test_its_json_fits_its_schema_and_its_arrays_are_saved(called: Program, tmp_path: Path) -> None:
    shown = called(*WORDS, "--json", "--controls", "2", "--save", str(tmp_path / "scores.npz"))
    document = shown.json
    assert_fits(document, "circuit")
    assert document["nodes"] and {"from", "to", "score"} == set(document["edges"][0])
    assert "edges: 6 gradients and at most " in shown.err
    with np.load(tmp_path / "scores.npz") as file:
        readers, writers = (json.loads(file[name].tobytes()) for name in ("readers", "writers"))
        edge = document["edges"][0]
        score = file["scores"][readers.index(edge["to"]), writers.index(edge["from"])]
    assert score == pytest.approx(edge["score"])


def test_the_picture_says_what_is_kept(called: Program) -> None:
    ran = called(*WORDS, "--controls", "2")
    assert "passes over 6 tokens, about " in ran.err and "about 0 s" not in ran.err
    shown = ran.out
    for words in ("Why “#5” and not “#9”", "faithfulness", "completeness", "control", "EAP-IG", "logits"):
        assert words in shown
    # The two areas are of two orders of the edges, so no sum joins them.
    for words in ("the highest scores first", "the largest scores of either sign first"):
        assert words in " ".join(shown.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("circuit",), "circuit compares two texts"),
        (("circuit", "1,2", "1,2,3", "--ids", "-m", LLAMA), "the texts have 2 and 3 tokens"),
        (("circuit", "1,2", "1,2", "--ids", "-m", LLAMA), "target and versus are the same token"),
        (("circuit", "1,2", "1,3", "--ids", "-m", LLAMA, "--target", "#5", "--versus", "#5"), "the same token, '#5'"),
        (("circuit", "1,2", "1,9999", "--ids", "-m", LLAMA), "outside the vocabulary"),
        (("circuit", "1,2", "1,3", "--ids", "-m", LLAMA, "--keep", "1.5"), "not a number from 0.01 to 1"),
        (("circuit", "hello", "world", "-m", "toy"), "toy is a toy with steps of its own"),
        (("circuit", "1,2", "1,3", "--ids", "-m", LLAMA.replace("llama", "gemma2")), "'attention.norm_after'"),
        (("circuit", "1,2", "1,3", "--ids", "-m", LLAMA.replace("llama", "mamba")), "carries a state"),
        (("circuit", "1,2", "1,3", "--ids", "-m", LLAMA.replace("llama", "bert")), "circuit"),
        (("circuit", "1,2", "1,3", "--ids", "-m", LLAMA.replace("llama", "deepseek-v3")), "one shorter vector"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(called: Program, arguments: tuple[str, ...], message: str) -> None:
    ran = called(*arguments)
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1


def test_texts_whose_parts_would_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llminspect.analysis.circuit_scores.MOST", 10_000)
    with pytest.raises(UserError, match=r"what the parts of .* write in 6 tokens takes"):
        found()
