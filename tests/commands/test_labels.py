"""`forward` and `info` on classifiers and on bodies without an output matrix."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import llminspect
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_arrays import forward_arrays
from llminspect.analysis.forward_result import ForwardQuestion, ForwardResult
from llminspect.analysis.labels import answer_span
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.core.attention import softmax
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Token
from tests.closeness import assert_close

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"


def answered(name: str, **experiments: str) -> tuple[ForwardResult, Array]:
    """What `forward` says of the recorded ids, and what the reference gave for them."""
    model = open_model(str(GOLDEN / name))
    with np.load(GOLDEN / name / "expected.npz") as expected:
        ids, wanted = expected["ids"].tolist(), expected["labels"]
    prompt = Prompt(None, [Token(token_id, str(token_id).encode(), None, None) for token_id in ids])
    question = ForwardQuestion(experiments=ExperimentOptions(**experiments))  # type: ignore[arg-type]
    result = forward(model, question, prompt)
    assert_close(forward_arrays(model, question, result)["scores"], wanted) if not experiments else None
    assert result.next is None
    return result, wanted


@pytest.mark.parametrize(
    ("name", "probabilities"),
    [
        ("bert-sequence", softmax),
        ("llama-sequence", softmax),
        ("roberta-sequence", lambda logits: 1 / (1 + np.exp(-logits))),
        ("distilbert-sequence", lambda logits: np.full_like(logits, np.nan)),
    ],
)
def test_a_text_has_labels(name: str, probabilities: object) -> None:
    result, wanted = answered(name)
    assert result.labels is not None
    order = np.argsort(-wanted)
    assert [label.label for label in result.labels] == [f"kind {index}" for index in order]
    assert_close([label.logit for label in result.labels], wanted[order])
    expected = probabilities(wanted)[order]  # type: ignore[operator]
    np.testing.assert_allclose([label.prob for label in result.labels], expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["bert-token", "llama-token", "distilbert-token", "roberta-token"])
def test_a_token_has_a_label(name: str) -> None:
    result, wanted = answered(name)
    assert result.token_labels is not None
    names = "LABEL_{}" if name == "roberta-token" else "kind {}"
    best = wanted.argmax(axis=-1)
    found = [(label.index, label.label) for label in result.token_labels]
    assert found == [(index, names.format(label)) for index, label in enumerate(best)]
    np.testing.assert_allclose([label.prob for label in result.token_labels], softmax(wanted).max(axis=-1), rtol=1e-4)


@pytest.mark.parametrize("name", ["bert-question", "llama-question", "distilbert-question", "roberta-question"])
def test_a_question_has_a_span(name: str) -> None:
    result, wanted = answered(name)
    assert result.span is not None
    assert result.span_logits is not None
    assert_close([[each.start, each.end] for each in result.span_logits], wanted)
    sums = {(s, e): wanted[s, 0] + wanted[e, 1] for e in range(len(wanted)) for s in range(e + 1)}
    best = max(sums, key=lambda span: sums[span])
    assert (result.span.start, result.span.end) == best
    assert_close(result.span.logit, sums[best])
    chance = softmax(wanted[:, 0])[best[0]] * softmax(wanted[:, 1])[best[1]]
    assert result.span.prob == pytest.approx(chance, rel=1e-4)


def test_the_answer_is_of_the_second_text_and_not_a_special_token() -> None:
    """`[CLS] Who? [SEP] Ann did [SEP]`: the best numbers stand where no answer can be."""
    scores = np.array([[9, 9], [8, 8], [0, 0], [1, 2], [3, 1], [7, 7]], float)
    tokens: list[dict[str, object]] = [{"text": text} for text in "abcdef"]
    tokens[3]["second"] = tokens[4]["second"] = True
    for special in (0, 2, 5):
        tokens[special]["special"] = True
    span = answer_span(scores, None, tokens)
    # 4 to 4: 3 + 1; 3 to 3: 1 + 2; 3 to 4: 1 + 1; 4 to 3 would be 5, and ends before it starts.
    assert (span.start, span.end, span.text, span.logit) == (4, 4, "e", 4.0)
    starts, ends = softmax(np.array([1.0, 3.0])), softmax(np.array([2.0, 1.0]))
    assert span.prob == pytest.approx(starts[1] * ends[1])


def test_an_answer_is_written_as_the_text_has_it() -> None:
    tokens = [{"text": "ann", "start": 0, "end": 3}, {"text": "did", "start": 5, "end": 8}]
    assert answer_span(np.array([[5.0, 0], [0, 5]]), "Ann  did", tokens).text == "Ann  did"


def test_an_experiment_is_compared_with_the_labels_before() -> None:
    plain, _ = answered("llama-sequence")
    result, _ = answered("llama-sequence", ablate="0.attention")
    assert plain.baseline_labels is None
    assert result.baseline_labels == plain.labels
    assert result.labels != plain.labels


@pytest.mark.parametrize("name", ["bert-token", "llama-question"])
def test_an_experiment_is_compared_with_the_token_labels_and_the_answer_before(name: str, called: Program) -> None:
    plain, _ = answered(name)
    result, _ = answered(name, ablate="0.attention")
    for key in ("token_labels", "span", "span_logits"):
        assert getattr(plain, f"baseline_{key}") is None
        assert getattr(result, f"baseline_{key}") == getattr(plain, key)
    assert (result.token_labels, result.span_logits) != (plain.token_labels, plain.span_logits)
    ran = called("forward", "--ids", "5,6,7", "--ablate", "0.attention", "--model", str(GOLDEN / name), COLUMNS="60")
    words = r"token before prob after prob" if name == "bert-token" else r"answer before: .* answer after: "
    assert re.search(words, " ".join(ran.out.split()))
    ran = called("forward", "--ids", "5,6,7", "--ablate", "0.attention", "--model", str(GOLDEN / "llama-sequence"))
    assert ran.out.index("labels of the text, before") < ran.out.index("labels of the text, after")


def test_top_counts_labels(called: Program) -> None:
    model = str(GOLDEN / "bert-sequence")
    run = ("forward", "--ids", "5,6,7", "--model", model, "--json")
    every = called(*run).json["labels"]
    assert len(every) == 3
    for top in (0, 2, 9):
        assert called(*run, "--top", str(top)).json["labels"] == every[:top]
        assert (
            llminspect.forward([5, 6, 7], model, top=top, ablate="0.0").baseline_labels
            == list(llminspect.forward([5, 6, 7], model).labels or [])[:top]
        )
    assert called(*run[:-1], "--top", "0").code == 0
    assert [len(called("forward", "a", *top, "--json").json["next"]) for top in ((), ("--top", "3"))] == [10, 3]


def test_json_of_a_classifier(called: Program) -> None:
    document = called("forward", "--ids", "5,6,7", "--model", str(GOLDEN / "distilbert-sequence"), "--json").json
    (label,) = document["labels"]
    assert set(label) == {"label", "logit", "prob"}
    assert label["prob"] is None
    assert "next" not in document
    shown = called("forward", "--ids", "5,6,7", "--model", str(GOLDEN / "bert-token")).out
    assert "the label of each token, the most probable" in shown


@pytest.mark.parametrize("name", ["llama-sequence", "llama-body", "bert-question"])
def test_the_library_gives_the_same(name: str, called: Program) -> None:
    model = str(GOLDEN / name)
    result = llminspect.forward([5, 6, 7], model)
    document = called("forward", "--ids", "5,6,7", "--model", model, "--json").json
    keys = {key for key in ("labels", "span", "span_logits", "next") if key in document}
    assert keys == {key for key in ("labels", "span", "span_logits", "next") if getattr(result, key) is not None}
    if result.labels is not None:
        assert [label["label"] for label in document["labels"]] == [label.label for label in result.labels]


HEAD = "a head for sequence classification in place of an output matrix"
BODY = "no output matrix, and its configuration does not say that the embedding serves as one"


@pytest.mark.parametrize(("name", "why"), [("llama-sequence", HEAD), ("llama-body", BODY), ("bert-sequence", HEAD)])
@pytest.mark.parametrize(
    "words",
    [
        ("generate",),
        ("forward", "--lens"),
        ("forward", "--target", "#3"),
        ("forward", "--surprise"),
        ("forward", "--perplexity"),
        ("forward", "--attribution"),
    ],
)
def test_what_needs_a_next_token_says_why_there_is_none(
    name: str, why: str, words: tuple[str, ...], called: Program
) -> None:
    ran = called(*words, "--ids", "5,6,7", "--model", str(GOLDEN / name))
    assert ran.code == 2
    lines = ran.err.strip().splitlines()
    assert why in ran.err
    if words[0] == "forward":
        assert f"{words[1]}: " in ran.err
        assert ("labels of a text" if name.endswith("-sequence") else "gives vectors") in ran.err
    assert len(lines) <= 2
    assert "Traceback" not in ran.err


def test_a_body_embeds_attends_and_shows_its_stream(called: Program) -> None:
    name = str(GOLDEN / "llama-body")
    with np.load(GOLDEN / "llama-body" / "expected.npz") as expected:
        ids, normed, weights = expected["ids"].tolist(), expected["normed"], expected["attentions"]
    given = ",".join(map(str, ids))
    embedded = called("embed", "--ids", given, "--at", "final", "--model", name, "--json").json
    assert_close(embedded["vectors"], normed)
    head = called("attend", "--ids", given, "--layer", "1", "--head", "2", "--model", name, "--json").json["heads"][0]
    assert_close(head["weights"], weights[1, 2])
    result = llminspect.forward(ids, name)
    assert [trace.norm > 0 for trace in result.layers] == [True, True]
    assert result.next is None
    assert open_model(name).no_next_token() is not None


def test_an_encoder_without_its_decoder_embeds_and_attends(called: Program) -> None:
    name = str(GOLDEN / "t5-encoder")
    with np.load(GOLDEN / "t5-encoder" / "expected.npz") as expected:
        ids, normed, weights = expected["ids"].tolist(), expected["normed"], expected["attentions"]
    given = ",".join(map(str, ids))
    embedded = called("embed", "--ids", given, "--at", "final", "--model", name, "--json").json
    assert_close(embedded["vectors"], normed)
    head = called("attend", "--ids", given, "--layer", "1", "--head", "2", "--model", name, "--json").json["heads"][0]
    assert_close(head["weights"], weights[1, 2])
    assert llminspect.forward(ids, name).source is None
    assert "reads a text both ways" in called("generate", "--ids", given, "--model", name).err


@pytest.mark.parametrize("name", ["llama-both-ways", "mistral-both-ways"])
def test_the_final_vectors_of_a_decoder_that_sees_both_ways_are_normed(name: str, called: Program) -> None:
    model = open_model(str(GOLDEN / name))
    with np.load(GOLDEN / name / "expected.npz") as expected:
        ids, logits_TV = expected["ids"].tolist(), expected["logits"]
    given = ",".join(map(str, ids))
    found = called("embed", "--ids", given, "--at", "final", "--model", str(GOLDEN / name), "--json").json["vectors"]
    assert_close(np.array(found) @ model.params["unembedding.weight"].T, logits_TV)


@pytest.mark.parametrize("name", ["t5", "marian"])
def test_the_vectors_of_an_encoder_with_its_decoder_are_the_reference_s(name: str, called: Program) -> None:
    with np.load(GOLDEN / name / "expected.npz") as expected:
        ids, last = expected["source_ids"].tolist(), expected["encoder_hidden"][-1]
    given = ",".join(map(str, ids))
    document = called("embed", "--ids", given, "--at", "final", "--model", str(GOLDEN / name), "--json").json
    if name == "t5":  # Whose last norm is not of a layer.
        params = open_model(str(GOLDEN / name)).params
        last = last / np.sqrt(np.mean(last**2, axis=-1, keepdims=True) + 1e-6) * params["encoder.final.norm.weight"]
    assert_close(document["vectors"], last)


@pytest.mark.parametrize(
    ("name", "output", "shown"),
    [
        ("llama", "own", "the file's own"),
        ("llama-biased", "embedding", "the embedding, used again"),
        ("llama-body", "none", "none: it predicts no words"),
        ("bert-sequence", "none", "sequence classification: one of 3: kind 0, kind 1, kind 2"),
        ("roberta-sequence", "none", "sequence classification: any of 3: kind 0"),
        ("distilbert-sequence", "none", "a number for each of 1: kind 0"),
        ("distilbert-token", "none", "token classification: for each token one of 5: kind 0"),
        ("llama-question", "none", "question answering: the start and the end of the answer"),
    ],
)
def test_info_names_what_is_used(name: str, output: str, shown: str, called: Program) -> None:
    document = called("info", str(GOLDEN / name), "--json").json
    assert document["output"] == output
    assert document["tied"] is (output == "embedding")
    assert document["config"].get("tied", False) is (output == "embedding")
    assert ("head" in document) == (name.rpartition("-")[2] in ("sequence", "token", "question"))
    seen = called("info", str(GOLDEN / name), COLUMNS="200").out
    assert shown in seen
    assert "tied" not in seen.split("Tensors")[0]


def test_a_file_that_says_tied_and_has_an_output_matrix_uses_that(tmp_path: Path, called: Program) -> None:
    """So does the reference, and so did the numbers here; `info` said the other."""
    import json
    import shutil

    shutil.copy(GOLDEN / "llama" / "model.safetensors", tmp_path)
    settings = json.loads((GOLDEN / "llama" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"tie_word_embeddings": True}))
    document = called("info", str(tmp_path), "--json").json
    assert (document["output"], document["tied"], document["config"]["tied"]) == ("own", False, False)


@pytest.mark.parametrize(("name", "tokenizer"), [("bert-question", "bert"), ("roberta-question", "roberta")])
def test_the_answer_to_a_pair_is_a_part_of_the_second_text(
    name: str, tokenizer: str, called: Program, tmp_path: Path
) -> None:
    """Whether or not the segments tell the texts apart: those of RoBERTa do not."""
    shutil.copytree(GOLDEN / name, tmp_path / name)
    given = json.loads((GOLDEN / "pairs.json").read_text())
    made = json.loads(given["tokenizers"][tokenizer])
    rows = json.loads((GOLDEN / name / "config.json").read_text())["vocab_size"]
    made["model"]["vocab"] = {text: id_ for text, id_ in made["model"]["vocab"].items() if id_ < rows}
    (tmp_path / name / "tokenizer.json").write_text(json.dumps(made))
    first, second = "w3 w14 w15 w29", "w25 w35 w29 w19 w32"
    for question, context in ((first, second), (second, first)):
        run = ("forward", question, "--pair", context, "--model", str(tmp_path / name), "--json")
        document = called(*run).json
        span, tokens = document["span"], document["tokens"]
        inside = [token["index"] for token in tokens if token.get("second")]
        assert inside[0] <= span["start"] <= span["end"] <= inside[-1]
        assert span["text"] == context[tokens[span["start"]]["start"] : tokens[span["end"]]["end"]]
        logits = {each["index"]: each for each in document["span_logits"]}
        best = max(logits[s]["start"] + logits[e]["end"] for e in inside for s in inside if s <= e)
        assert span["logit"] == pytest.approx(best)
