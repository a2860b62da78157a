"""Heads for labels and spans: what a file says of them, what of it changes the numbers, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import llminspect
from llminspect.errors import ModelError, UsageError
from llminspect.model.heads import last_token
from llminspect.opening import describe_model, open_model
from tests.closeness import assert_close
from tests.model.golden import NAMES, Golden, assert_as_expected, computed

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.heads import OutputHead
    from llminspect.model.opened import Model
    from tests.model.conftest import Opened

WITH_HEADS = [name for name in NAMES if "labels" in Golden(name).expected]
BOUND = 1e-5


def head_of(model: Model) -> OutputHead:
    assert model.architecture.head is not None
    return model.architecture.head


def with_head(model: Model, **changed: Any) -> Model:
    return replace(model, architecture=replace(model.architecture, head=replace(head_of(model), **changed)))


def changed_folder(name: str, folder: Path, **changed: Any) -> str:
    """A golden model with other settings; those that are ... are left out."""
    shutil.copy(Golden(name).folder / "model.safetensors", folder)
    settings = Golden(name).config() | changed
    (folder / "config.json").write_text(json.dumps({key: value for key, value in settings.items() if value is not ...}))
    return str(folder)


@pytest.mark.parametrize("name", WITH_HEADS)
def test_what_the_head_gives_is_the_reference_s(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    ids = golden.expected["ids"]
    assert_close(model.label_scores(ids, model.run(ids).stream_TD), golden.expected["labels"], BOUND)
    kind = head_of(model).kind
    assert name.endswith({"sequence classification": "sequence", "token classification": "token"}.get(kind, "question"))
    assert not model.can("generate")
    assert not model.can("fill")
    assert model.can({"sequence classification": "classify", "token classification": "tag"}.get(kind, "answer"))
    assert model.can("encode") == (not name.startswith("llama"))


@pytest.mark.parametrize("name", ["bert-sequence", "roberta-sequence", "distilbert-sequence"])
def test_the_function_of_the_layer_before_the_labels_counts(name: str, opened: Opened) -> None:
    golden, model = opened(name)
    files = head_of(model).files
    assert files.dense is not None
    other = {"tanh": "relu", "relu": "tanh"}[files.dense[2]]
    wrong = with_head(model, files=replace(files, dense=(*files.dense[:2], other)))
    with pytest.raises(AssertionError, match="labels"):
        assert_as_expected(computed(wrong, golden), golden)


def test_a_decoder_reads_the_last_token_that_is_not_padding(opened: Opened) -> None:
    golden, model = opened("llama-sequence")
    assert golden.expected["ids"][-2:].tolist() == [3, 3]
    with pytest.raises(AssertionError, match="labels"):
        assert_as_expected(computed(with_head(model, padding_id=None), golden), golden)


@pytest.mark.parametrize(
    ("ids", "padding_id", "place"),
    [([5, 6, 3, 3], 3, 1), ([3, 5, 6], 3, 2), ([5, 3, 6, 3], 3, 2), ([3, 3], 3, 0), ([5, 3], None, 1)],
)
def test_the_last_token_is_as_in_the_reference(ids: list[int], padding_id: int | None, place: int) -> None:
    assert last_token(np.array(ids), padding_id) == place


@pytest.mark.parametrize(
    ("family", "padding_id"), [("gemma", 0), ("phi3", 32_000), ("olmo2", 1), ("smollm3", 128_004), ("llama", None)]
)
def test_where_the_file_says_no_padding_the_reference_s_counts(family: str, padding_id: int | None) -> None:
    from llminspect.model.head_files import with_head
    from llminspect.model.registry import architecture_for

    settings = {"architectures": ["XForSequenceClassification"]}
    architecture = with_head(architecture_for(family, "huggingface"), settings, {})
    assert architecture.head is not None
    assert architecture.head.padding_id == padding_id
    nothing = with_head(architecture_for(family, "huggingface"), settings | {"pad_token_id": None}, {})
    assert nothing.head is not None
    assert nothing.head.padding_id is None


def test_labels_and_what_they_are(opened: Opened) -> None:
    heads = {name: head_of(opened(name)[1]) for name in WITH_HEADS}
    assert heads["bert-sequence"].labels == ("kind 0", "kind 1", "kind 2")
    assert heads["roberta-token"].labels == ("LABEL_0", "LABEL_1")  # Which the file leaves out.
    assert heads["bert-sequence"].problem == "single_label_classification"
    assert heads["roberta-sequence"].problem == "multi_label_classification"
    assert heads["distilbert-sequence"].problem == "regression"


def test_labels_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = {"2": "c", "0": "a", "1": "b"}
    head = describe_model(changed_folder("bert-sequence", tmp_path, id2label=names)).architecture.head
    assert head is not None
    assert head.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id2label": {"0": "a", "2": "b"}}, "does not number the labels"),
        ({"id2label": {"0": "a", "1": "b"}}, r"names 2 labels \(id2label\), and the head .* gives 3 numbers"),
        ({"id2label": ..., "num_labels": "three"}, "num_labels"),
        ({"problem_type": "ranking"}, "problem_type"),
        ({"architectures": ...}, "config.json names no head"),
        ({"architectures": ["BertForTheBestOfTwo"]}, "the head of BertForTheBestOfTwo is not known"),
        ({"architectures": ["BertForMultipleChoice"]}, r"classifier\.weight has the shape \(3, 18\)"),
        ({"architectures": ["BertForTokenClassification"], "id2label": {"0": "a"}}, "1 label "),
        ({"architectures": ["BertForQuestionAnswering"]}, "qa_outputs"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        describe_model(changed_folder("bert-sequence", tmp_path, **changed))


@pytest.mark.parametrize("shape", [(), (3,), (3, 18, 1), (0, 18), (100_000, 1)])
def test_a_matrix_of_labels_of_another_shape_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    folder = changed_folder("bert-sequence", tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    save_file(arrays | {"classifier.weight": np.zeros(shape, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"classifier\.weight"):
        describe_model(folder)


def test_a_head_that_the_family_does_not_have_is_refused(tmp_path: Path) -> None:
    for family, name in (("bart", "BartForTokenClassification"), ("t5", "T5ForMultipleChoice")):
        with pytest.raises(ModelError, match=rf"of the family {family} are not known \({name}\)"):
            describe_model(changed_folder(family, tmp_path, architectures=[name]))


@pytest.mark.parametrize(
    ("name", "head"), [("bert-sequence", "BertForTheBestOfTwo"), ("llama-sequence", "LlamaForTheBestOfTwo")]
)
def test_a_model_opens_without_a_head_that_is_not_known(name: str, head: str, tmp_path: Path) -> None:
    model = changed_folder(name, tmp_path, architectures=[head], tie_word_embeddings=True)
    with pytest.raises(ModelError, match=f"the head of {head} is not known") as refused:
        describe_model(model)
    assert "--ignore-setting architectures opens the model without its head" in str(refused.value.hint)
    found = llminspect.embed([5, 6], model=open_model(model, ignore_settings=["architectures"]), at="final")
    assert found.notes is not None
    assert found.notes[0].endswith(": architectures")
    shown = llminspect.info(model, ignore_settings="architectures")
    assert (shown.output, shown.capabilities) == ("none", ["encode"] if name.startswith("bert") else [])
    result = llminspect.forward([5, 6], open_model(model, ignore_settings=["architectures"]))
    assert (result.next, result.labels, len(result.layers)) == (None, None, 2)
    with_it = llminspect.embed([5, 6], model=str(Golden(name).folder), at="final")
    np.testing.assert_array_equal(found.vectors, with_it.vectors)
    with pytest.raises(UsageError, match="this head is understood"):
        describe_model(str(Golden(name).folder), ignore_settings=["architectures"])


def test_the_numbers_of_a_head_may_be_streamed(opened: Opened) -> None:
    golden, model = opened("roberta-sequence")
    streamed = open_model(str(golden.folder), streamed=True)
    ids = golden.expected["ids"]
    found = streamed.label_scores(ids, streamed.run(ids).stream_TD)
    np.testing.assert_array_equal(found, model.label_scores(ids, model.run(ids).stream_TD))
    assert {"final.dense", "final.labels"} <= set(model.names())


@pytest.mark.parametrize(
    ("name", "biased", "message"),
    [
        ("modernbert-token", False, "does not have: head.dense.bias"),
        ("modernbert-sequence", True, "missing: head.dense.bias"),
    ],
)
def test_a_bias_in_front_of_labels_is_there_where_the_configuration_says_so(
    name: str, biased: bool, message: str, tmp_path: Path
) -> None:
    shutil.copytree(Golden(name).folder, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({**Golden(name).config(), "classifier_bias": biased}))
    with pytest.raises(ModelError, match=message):
        open_model(str(tmp_path / "model"))
