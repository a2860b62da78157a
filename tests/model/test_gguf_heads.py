"""Heads in GGUF files as llama.cpp's converter makes them: classifiers, rerankers; against the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

import llminspect
from llminspect.core.attention import softmax
from llminspect.errors import ModelError, UsageError
from llminspect.opening import describe_model, open_model
from tests.closeness import SINGLE, assert_close
from tests.model import gguf_of
from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program


def with_tokenizer(writer: Any) -> None:
    writer.add_tokenizer_model("bert")
    writer.add_unk_token_id(1)


def ranking(writer: Any) -> None:
    with_tokenizer(writer)
    writer.add_pooling_type(gguf.PoolingType.RANK)


@pytest.mark.parametrize(
    ("name", "more"),
    [("roberta-sequence", with_tokenizer), ("roberta-sequence", ranking), ("modernbert-sequence", with_tokenizer)],
)
def test_an_encoder_s_labels_are_the_reference_s(tmp_path: Path, called: Program, name: str, more: Any) -> None:
    golden, path = Golden(name), tmp_path / "m.gguf"
    gguf_of.write(golden, path, more)
    ids, wanted = golden.expected["ids"].tolist(), golden.expected["labels"]
    model = open_model(str(path))
    assert_close(model.label_scores(ids, model.run(ids).stream_TD), wanted, SINGLE)
    found = llminspect.forward(ids, model).labels
    assert found is not None
    order = np.argsort(-wanted)
    assert [label.label for label in found] == [f"kind {index}" for index in order]
    # A GGUF file does not say that several may fit at once, as this model's own does.
    np.testing.assert_allclose([label.prob for label in found], softmax(wanted)[order], rtol=1e-4)
    shown = called("info", str(path), COLUMNS="200").out
    assert "sequence classification: one of 3: kind 0, kind 1, kind 2" in shown
    assert called("forward", "--ids", "5,6", "--model", str(path), "--json").json["labels"][0]["label"][:4] == "kind"


def test_a_head_without_its_first_layer_is_refused_and_its_body_opens(tmp_path: Path, called: Program) -> None:
    """The converter leaves out BERT's pooler; what llama.cpp then gives is not what the model gives."""
    golden, path = Golden("bert-sequence"), str(tmp_path / "m.gguf")
    gguf_of.write(golden, tmp_path / "m.gguf", with_tokenizer)
    with pytest.raises(ModelError, match=r"cls\.weight was left out") as refused:
        open_model(path)
    assert "--ignore-setting cls opens" in str(refused.value.hint)
    ids = golden.expected["ids"].tolist()
    found = llminspect.embed(ids, model=llminspect.open_model(path, ignore_settings="cls"), at="final")
    assert_close(found.vectors, golden.expected["hidden"][-1], SINGLE)
    assert found.notes is not None
    assert found.notes[0].endswith(": cls")
    ran = called("forward", "--ids", "5,6", "--model", path, "--ignore-setting", "cls")
    assert ran.code == 0
    assert "through the layers" in ran.out


def test_a_decoder_that_ranks_reads_its_last_token(tmp_path: Path) -> None:
    """As Qwen 3's rerankers: two rows of the output matrix, "yes" and "no"."""
    golden, path = Golden("qwen3"), tmp_path / "m.gguf"
    plain = open_model(str(golden.folder))
    rows = np.asarray(plain.params["embedding.weight"])[[9, 4]]

    def as_ranker(writer: Any) -> None:
        writer.add_pooling_type(gguf.PoolingType.RANK)
        writer.add_classifier_output_labels(["yes", "no"])
        writer.add_tensor("cls.output.weight", rows)

    gguf_of.write(golden, path, as_ranker)
    ids = golden.expected["ids"].tolist()
    found = {label.label: label for label in llminspect.forward(ids, str(path)).labels or []}
    logits_V = golden.expected["logits"][-1]
    assert_close([found["yes"].logit, found["no"].logit], logits_V[[9, 4]], SINGLE)
    assert found["yes"].prob == pytest.approx(softmax(logits_V[[9, 4]])[0], rel=1e-4)
    assert describe_model(str(path)).capabilities == {"classify"}


def test_labels_have_to_be_as_many_as_the_numbers(tmp_path: Path) -> None:
    def another(writer: Any) -> None:
        with_tokenizer(writer)
        writer.kv_data[-1].pop("bert.classifier.output_labels")
        writer.add_classifier_output_labels(["a", "b"])

    gguf_of.write(Golden("roberta-sequence"), tmp_path / "m.gguf", another)
    with pytest.raises(
        ModelError, match=r"names 2 labels \(classifier.output_labels\), and the head .* gives 3 numbers"
    ):
        describe_model(str(tmp_path / "m.gguf"))


def test_a_head_that_is_known_or_not_there_is_not_passed_over(tmp_path: Path) -> None:
    gguf_of.write(Golden("roberta-sequence"), tmp_path / "m.gguf", with_tokenizer)
    with pytest.raises(UsageError, match="--ignore-setting cls: this head is understood"):
        describe_model(str(tmp_path / "m.gguf"), ignore_settings=["cls"])
    with pytest.raises(UsageError, match="--ignore-setting architectures: the model has no head"):
        describe_model(str(Golden("llama").folder), ignore_settings=["architectures"])
