"""`attend` on encoder–decoders: three attentions, each that of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.closeness import SINGLE, assert_close
from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program


def test_one_target_token_shows_where_each_head_looks(called: Program) -> None:
    folder = str(Golden("bart").folder)
    ran = called("attend", "--model", folder, "--ids", "5,6,7", "--color", "never")
    assert "“2” is the only token there, so every head looks at it; --target TEXT" in " ".join(ran.out.split())
    assert "Where each head looks from “2”" in ran.out and "mixed" not in ran.out.split("in the encoder")[0]
    cross = called("attend", "--model", folder, "--ids", "5,6,7", "--json").json["cross"]["heads"]
    rows = [line.split()[1:] for line in ran.out.splitlines() if line[:1].isdigit() and line[1:2] == "."][:6]
    assert rows == [[f"{weight:.2f}" for weight in head["weights"][0]] for head in cross]


FAMILIES = ["t5", "t5-gated", "marian"]


def given(golden: Golden) -> list[str]:
    """The golden source and target on the command line, which puts the start token in front itself."""
    source, target = golden.expected["source_ids"], golden.expected["ids"]
    return [
        *("--model", str(golden.folder), "--ids", ",".join(map(str, source))),
        *("--target-ids", ",".join(map(str, target))),
    ]


def test_the_weights_of_all_three_are_the_reference_s(called: Program, tmp_path: Path) -> None:
    """The target of the golden data starts without the start token: the encoder's attention can be compared at once,
    the decoder's with a pass of the reference's own tokens in `test_golden.py`."""
    for name in FAMILIES:
        golden = Golden(name)
        ran = called("attend", *given(golden), "--json", "--save", str(tmp_path / "weights.npz"))
        assert ran.code == 0, ran.err
        document = ran.json
        assert [token["id"] for token in document["source"]] == golden.expected["source_ids"].tolist()
        expected_LHSS = golden.expected["encoder_attentions"]
        for head in document["encoder"]["heads"]:
            assert_close(head["weights"], expected_LHSS[head["layer"], head["head"]])
        assert len(document["encoder"]["heads"]) == expected_LHSS.shape[0] * expected_LHSS.shape[1]
        with np.load(tmp_path / "weights.npz") as saved:
            assert_close(saved["encoder_weights"], expected_LHSS)
            tokens, source = len(document["tokens"]), len(document["source"])
            layers, heads = document["n_layers"], document["n_heads"]
            assert saved["weights"].shape == (layers, heads, tokens, tokens)
            assert saved["cross_weights"].shape == (layers, heads, tokens, source)
            for head in document["cross"]["heads"]:
                np.testing.assert_allclose(head["weights"], saved["cross_weights"][head["layer"], head["head"]])
            assert_close(document["cross"]["mean"], saved["cross_weights"].mean((0, 1)))
            np.testing.assert_allclose(saved["cross_weights"].sum(-1), 1, rtol=SINGLE)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_cross_weights_are_the_reference_s(name: str) -> None:
    from llminspect.analysis.cross_attention import watch_cross
    from llminspect.analysis.prompt import with_source
    from llminspect.opening import open_model

    golden = Golden(name)
    model = open_model(str(golden.folder))
    expected_LHTS = golden.expected["cross_attentions"]
    every = [(layer, head) for layer in range(expected_LHTS.shape[0]) for head in range(expected_LHTS.shape[1])]
    cross = watch_cross(
        with_source(model, golden.expected["source_ids"].tolist()), golden.expected["ids"].tolist(), every
    )
    for head in cross.heads:
        assert_close(head.weights, expected_LHTS[head.layer, head.head])
    assert [(head.layer, head.head) for head in cross.heads] == every
    assert_close(cross.mean, expected_LHTS.mean((0, 1)))
    assert cross.entropy.shape == expected_LHTS.shape[:2]


@pytest.mark.parametrize("width", ["80", "160"])
def test_the_three_pictures(called: Program, width: str) -> None:
    one = called("attend", *given(Golden("t5")), "--layer", "1", "--head", "1", COLUMNS=width)
    assert one.code == 0
    for title in ("Layer 1 · head 1 · weights", "Layer 1 · head 1 · cross", "The encoder: who looks at whom"):
        assert title in one.out
    overview = called("attend", *given(Golden("t5")), COLUMNS=width)
    for title in ("in the decoder: the target so far", "Who looks at the source", "in the encoder: the source"):
        assert title in overview.out
    assert max(map(len, overview.out.splitlines())) <= int(width)


def test_questions_are_about_one_part(called: Program) -> None:
    model = ["--model", str(Golden("t5").folder), "--ids", "5,6,7,8"]
    found = called("attend", *model, "--part", "encoder", "--find", "1->3", "--json").json
    assert found["part"] == "encoder"
    assert [token["id"] for token in found["tokens"]] == [5, 6, 7, 8]
    assert found["find"]["heads"]
    query = called("attend", *model, "--target-ids", "9", "--query", "1", "--json").json
    assert query["part"] == "decoder"
    assert "encoder" not in query
    summed = called("attend", *model, "--part", "encoder", "--query", "2", "--layer", "1", "--head", "5", "--json")
    assert sum(summed.json["query"]["weights"]) == pytest.approx(1, abs=1e-5)
    save = called("attend", *model, "--part", "encoder", "--layer", "0", "--show", "added,values", "--json")
    assert save.code == 0, save.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "toy-attention", "--target-ids", "1"], "is not an encoder–decoder"),
        (["--model", "toy-attention", "--part", "encoder"], "is not an encoder–decoder"),
        (["--model", str(Golden("t5").folder), "--layer", "3"], "there is no layer 3"),
        (["--model", str(Golden("t5").folder), "--part", "encoder", "--layer", "2"], "there is no layer 2"),
        (["--model", str(Golden("t5").folder), "--target", "a"], "without a tokenizer"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], words: str) -> None:
    ran = called("attend", "--ids", "1,2", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
