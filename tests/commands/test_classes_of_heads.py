"""Heads by the name of their class: `forward` gives what the reference gives, of ids: labels, spans, choices."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import llminspect
from llminspect.analysis.attend import attend
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_arrays import forward_arrays
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions
from llminspect.core.attention import softmax
from llminspect.errors import ModelError, UsageError
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.model.golden import FOLDER
from tests.model.heads_of import BESIDE as BESIDE_WORDS
from tests.model.heads_of import CASES, ids_of, model_with

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt
    from tests.conftest import Program

with np.load(FOLDER / "heads.npz") as file:
    RECORDED: dict[str, Array] = dict(file)
CHOOSING = [name for name in CASES if name.endswith(("Choice", "DoubleHeadsModel"))]
BESIDE = [name for name in CASES if name.endswith(BESIDE_WORDS)]
LABELLING = [name for name in CASES if "Sequence" in name or "Next" in name]
READING_TWICE = [name for name in CASES if "5" in name or "Bart" in name]


def prompt_of(ids: Array) -> Prompt:
    """With several texts the choices between them, named by their number."""
    if ids.ndim == 1:
        return prompt_of_ids(ids.tolist(), None, None)
    prompts = [replace(prompt_of_ids(row.tolist(), None, None), pair=f"text {n}") for n, row in enumerate(ids)]
    return replace(prompts[0], choices=prompts)


def opened(name: str, folder: Path) -> tuple[Model, Prompt, Array]:
    return open_model(model_with(name, folder)), prompt_of(ids_of(name)), RECORDED[name]


@pytest.mark.parametrize("name", LABELLING)
def test_labels_of_a_text(name: str, tmp_path: Path) -> None:
    model, prompt, wanted = opened(name, tmp_path)
    result = forward(model, question := ForwardQuestion(), prompt)
    assert result.labels is not None and result.next is None
    order = np.argsort(-wanted)
    names = ["IsNext", "NotNext"] if "Next" in name else [f"kind {index}" for index in range(3)]
    assert [label.label for label in result.labels] == [names[index] for index in order]
    assert_close([label.logit for label in result.labels], wanted[order])
    assert_close([label.prob for label in result.labels], softmax(wanted)[order])
    assert_close(forward_arrays(model, question, result)["scores"], wanted)
    found = llminspect.info(str(tmp_path))
    assert found.head is not None and found.head.kind == "sequence classification"
    assert ("source" in (found.capabilities or [])) == (name in READING_TWICE)


@pytest.mark.parametrize("name", [name for name in CASES if "Question" in name])
def test_spans_of_the_source(name: str, tmp_path: Path) -> None:
    model, prompt, wanted = opened(name, tmp_path)
    result = forward(model, ForwardQuestion(), prompt)
    assert result.span is not None and result.span_logits is not None
    assert (result.source is not None) == (name in READING_TWICE)
    assert_close([[each.start, each.end] for each in result.span_logits], wanted)
    ids = prompt.ids[result.span.start : result.span.end + 1]
    assert result.span.text == "".join(map(str, ids))  # Of the source: its token, not what the decoder reads there.


def test_labels_of_tokens(tmp_path: Path) -> None:
    model, prompt, wanted = opened("FlaubertForTokenClassification", tmp_path)
    result = forward(model, ForwardQuestion(), prompt)
    assert result.token_labels is not None
    assert [label.label for label in result.token_labels] == [f"kind {index}" for index in wanted.argmax(-1)]
    assert_close([label.logit for label in result.token_labels], wanted.max(-1))


@pytest.mark.parametrize(
    ("kind", "at"), [("first", 0), ("last", -1), ("cls_index", -1), ("mean", None), ("attn", ...), (["first"], ...)]
)
def test_a_summary_is_of_what_the_file_says(kind: Any, at: Any, tmp_path: Path) -> None:
    path = model_with("FlaubertForSequenceClassification", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"summary_type": kind}))
    if at is ...:
        with pytest.raises(ModelError, match="summary_type = "):
            open_model(path)
        return
    model, ids = open_model(path), [5, 6, 7, 8]
    stream_TD = model.run(ids).stream_TD
    read_D = stream_TD.mean(axis=0) if at is None else stream_TD[at]
    wanted = model.params["labels.weight"] @ read_D + model.params["labels.bias"]
    assert_close(model.label_scores(ids, stream_TD), wanted)


@pytest.mark.parametrize(
    ("key", "value"), [("summary_activation", "tanh"), ("summary_use_proj", False), ("summary_proj_to_labels", 0)]
)
def test_a_summary_that_is_not_known_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    path = model_with("FlaubertForSequenceClassification", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ModelError, match=f"{key} = "):
        open_model(path)


@pytest.mark.parametrize("name", BESIDE)
def test_a_head_beside_the_words(name: str, tmp_path: Path) -> None:
    """Both answer, each as if it were alone."""
    model, prompt, wanted = opened(name, tmp_path)
    words, plain = open_model(str(FOLDER / CASES[name][0])), prompt.choices[0] if prompt.choices else prompt
    result, alone = (forward(each, question := ForwardQuestion(), plain) for each in (model, words))
    assert (result.next, result.masked) == (alone.next, alone.masked)
    assert alone.labels is None and result.labels is not None
    arrays = forward_arrays(model, question, result)
    assert_close(arrays["scores"], wanted[:1] if prompt.choices else wanted)
    np.testing.assert_array_equal(arrays["logits"], forward_arrays(words, question, alone)["logits"])
    details = llminspect.info(str(tmp_path))
    assert details.head is not None and details.output != "none"
    assert set(details.capabilities or ()) == {
        *(("generate", "choose") if prompt.choices else ("encode", "fill", "classify"))
    }
    if not prompt.choices:
        names = ["IsNext", "NotNext"] if "Bert" in name[:4] else ["in order", "swapped"]
        assert [label.label for label in result.labels] == [names[index] for index in np.argsort(-wanted)]
        with pytest.raises(UsageError, match="sees the tokens that come after"):
            forward(model, ForwardQuestion(ForwardOptions(surprise=True)), plain)
    changed = forward(model, ForwardQuestion(experiments=ExperimentOptions(ablate="1.attention")), plain)
    assert changed.baseline_labels == result.labels != changed.labels


@pytest.mark.parametrize("left_out", ["bert.pooler.dense.bias", "cls.seq_relationship.weight"])
def test_a_head_beside_the_words_may_be_missing(left_out: str, tmp_path: Path) -> None:
    """As in files of a later class, whose `architectures` was kept."""
    path = model_with("BertForPreTraining", tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    front = left_out.rpartition(".")[0]
    save_file({key: array for key, array in arrays.items() if not key.startswith(front)}, f"{path}/model.safetensors")
    assert open_model(path).architecture.head is None


@pytest.mark.parametrize("name", CHOOSING)
def test_choices_between_texts(name: str, tmp_path: Path) -> None:
    model, prompt, wanted = opened(name, tmp_path)
    result = forward(model, ForwardQuestion(), prompt)
    assert result.labels is not None and result.choices is not None
    order = np.argsort(-wanted)
    assert [label.label for label in result.labels] == [f"text {index}" for index in order] and result.pair == (
        f"text {order[0]}"
    )
    assert_close([label.logit for label in result.labels], wanted[order])
    assert_close([label.prob for label in result.labels], softmax(wanted)[order])
    assert [[token["id"] for token in tokens] for tokens in result.choices] == ids_of(name).tolist()
    assert (result.next is not None) == name.endswith(BESIDE_WORDS)
    alone = forward(model, ForwardQuestion(), prompt.choices[1])
    assert alone.labels is not None and alone.labels[0].prob != alone.labels[0].prob
    assert_close([alone.labels[0].logit], wanted[1:2])


def test_choices_with_an_experiment_and_the_best_alone(tmp_path: Path) -> None:
    model, prompt, wanted = opened("BertForMultipleChoice", tmp_path)
    look, experiments = ForwardOptions(top=1), ExperimentOptions(ablate="1.attention")
    result = forward(model, ForwardQuestion(look, experiments=experiments), prompt)
    assert result.labels is not None and result.baseline_labels is not None and len(result.labels) == 1
    assert_close([result.baseline_labels[0].logit], [wanted.max()])
    assert abs(result.labels[0].logit - wanted.max()) > 1e-3


def test_what_reads_its_text_twice(tmp_path: Path) -> None:
    model, prompt, _ = opened("MBartForSequenceClassification", tmp_path)
    result = forward(model, ForwardQuestion(), prompt)
    assert result.source is not None and result.position == 7  # Its last end, though padding comes after.
    read = [token["id"] for token in result.tokens]
    assert read == [prompt.ids[7], *prompt.ids[:-1]]
    assert "final.labels" in model.names()
    looked_at = attend(model, AttendOptions(), prompt)
    assert [token["id"] for token in looked_at.tokens] == read and looked_at.cross is not None
    with pytest.raises(UsageError, match=r"--target-ids: .* reads the text itself once more"):
        forward(model, ForwardQuestion(ForwardOptions(target_ids=[5])), prompt)
    with pytest.raises(UsageError, match=r"the text has no end \(id 2\)"):
        forward(model, ForwardQuestion(), prompt_of_ids([5, 6], None, None))


def test_what_is_refused(tmp_path: Path) -> None:
    model, _, _ = opened("BertForNextSentencePrediction", tmp_path)
    with pytest.raises(UsageError, match=r"3 --pair were given, and .* does not choose between texts"):
        forward(model, ForwardQuestion(), prompt_of(ids_of("BertForMultipleChoice")))
    path = model_with("ElectraForMultipleChoice", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"summary_type": "mean"}))
    with pytest.raises(ModelError, match="summary_type"):
        open_model(path)


def test_a_head_that_searches_with_beams_is_refused_by_its_name(tmp_path: Path) -> None:
    path = model_with("FlaubertForQuestionAnsweringSimple", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["FlaubertForQuestionAnswering"]}))
    arrays = load_file(tmp_path / "model.safetensors")
    arrays["qa_outputs.start_logits.dense.weight"] = arrays.pop("qa_outputs.weight")
    save_file(arrays, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"FlaubertForQuestionAnswering searches .* is not built in"):
        open_model(path)
    assert open_model(path, ignore_settings=["architectures"]).architecture.head is None


def test_a_pair_for_each_choice(called: Program, tmp_path: Path) -> None:
    path = model_with("BertForMultipleChoice", tmp_path)
    tokenizers = json.loads((FOLDER / "pairs.json").read_text())["tokenizers"]
    (tmp_path / "tokenizer.json").write_text(tokenizers["bert"])
    given, choices = ("forward", "w3 w14", "--model", path), ["w4", "w5 w6", "w7"]
    ran = called(*given, *(word for choice in choices for word in ("--pair", choice)), "--json")
    assert ran.code == 0, ran.err
    alone = [called(*given, "--pair", choice, "--json").json["labels"][0] for choice in choices]
    assert [label["prob"] for label in alone] == [None] * 3
    logits = {label["label"]: label["logit"] for label in ran.json["labels"]}
    assert logits == {label["label"]: label["logit"] for label in alone} and set(logits) == set(choices)
    assert sum(label["prob"] for label in ran.json["labels"]) == pytest.approx(1)
    second = [[token["text"] for token in tokens if token.get("second")] for tokens in ran.json["choices"]]
    assert second == [["w4"], ["w5", "w6"], ["w7"]] and "ids" not in ran.json["provenance"]
    python = llminspect.forward("w3 w14", path, pair=choices).labels
    assert python is not None and python[0].label == ran.json["labels"][0]["label"]
    shown = called(*given, "--pair", "w4", "--pair", "w7", "--color", "never").out
    assert "choices of the text: logit and probability" in shown
    refused = called("attend", *given[1:], "--pair", "w4", "--pair", "w7")
    assert refused.code == 2 and "--pair was given twice" in refused.err
