"""`features`: the toy by hand, random dictionaries against plain passes, changes against taps, a corpus, pictures."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import llminspect
from llminspect.arguments.features import parse_features
from llminspect.arguments.words import WORD_STARTS
from llminspect.commands.features.view import render
from llminspect.core.dictionary import decode, encode
from llminspect.core.numbers import number
from llminspect.core.tap import Capture, Edit
from llminspect.errors import ModelError, UsageError
from llminspect.files.dictionaries import read_dictionary
from llminspect.model.dictionary_files import dictionary_of
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.render.samples import shown
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
TOY = str(GOLDEN / "dictionaries" / "toy")
IDS = [1, 4, 2, 7, 3]
FEATURES = 20


def test_the_toy_by_hand() -> None:
    """`world` leaves layer 0 as (2.0, 2.7): feature 0 reads the first number, 1 the second, 2 their sum from 10 on."""
    found = llminspect.features(TOY, "hello world !", "toy", top=3)
    of_world = [(feature.index, feature.activation) for feature in found.features or () if feature.token == 1]
    assert [index for index, _ in of_world] == [1, 0]
    assert_close([activation for _, activation in of_world], [2.7, 2.0])
    # Feature 1 adds (0, 1) · E to the logits, 0.2, 0.4 and 0.6; their mean is 0.4.
    writes = next(feature.writes for feature in found.features or () if feature.index == 1)
    assert [token.text for token in writes] == ["!", "world", "hello"]
    assert_close([token.logit for token in writes], [0.2, 0.0, -0.2])
    assert found.active == [2, 2, 2]
    assert found.explained_variance == pytest.approx(1) and found.loss is not None
    assert found.loss.rebuilt == pytest.approx(found.loss.model) and found.loss.recovered == pytest.approx(1)
    assert found.loss.zero == pytest.approx(np.log2(3))
    assert llminspect.features(TOY, "world", "toy").explained_variance is None


def random_dictionary(tmp_path: Path, width: int, kind: str, hook: str) -> str:
    """A folder with random numbers, as sparsify saves them: `hook` is its name."""
    rng = np.random.default_rng(3)
    arrays = {
        "encoder.weight": rng.normal(size=(FEATURES, width)), "encoder.bias": rng.normal(size=FEATURES),
        "W_dec": rng.normal(size=(FEATURES, width)) / 9, "b_dec": rng.normal(size=width) / 9,
    }  # fmt: skip
    if "skip" in kind:
        arrays["W_skip"] = rng.normal(size=(width, width)) / 9
    folder = tmp_path / hook
    folder.mkdir(parents=True)
    save_file({name: array.astype(np.float32) for name, array in arrays.items()}, folder / "sae.safetensors")
    config = {"activation": "topk", "k": 4, "d_in": width, "transcode": "transcode" in kind,
              "skip_connection": "skip" in kind, "num_latents": FEATURES}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))
    return str(folder)


def bits(model: Any, tap: Edit | None = None) -> float:
    stream_TD = (model.run(IDS) if tap is None else model.run(IDS, tap)).stream_TD
    logits_TV = model.logits(stream_TD).astype(np.float64)
    logprobs_TV = logits_TV - np.log(np.exp(logits_TV).sum(axis=1, keepdims=True))
    return float(-np.mean([logprobs_TV[at, IDS[at + 1]] for at in range(len(IDS) - 1)]) / np.log(2))


@pytest.mark.parametrize(("family", "kind", "hook", "read", "write"), [
    ("llama", "plain", "layers.1", "layers.1.output", "layers.1.output"),
    ("gpt2", "plain", "h.1.mlp", "layers.1.feedforward.output", "layers.1.feedforward.output"),
    ("gemma2", "plain", "layers.1.mlp", "layers.1.feedforward.unnormed", "layers.1.feedforward.unnormed"),
    ("llama", "transcode skip", "layers.1.mlp", "layers.1.feedforward.norm", "layers.1.feedforward.output"),
    ("gpt2", "transcode", "layers.1", "layers.1.input", "layers.1.output"),
])  # fmt: skip
def test_a_random_dictionary_against_plain_passes(
    family: str, kind: str, hook: str, read: str, write: str, tmp_path: Path
) -> None:
    model = open_model(str(GOLDEN / family))
    path = random_dictionary(tmp_path, model.config.sizes.D, kind, hook)
    found = llminspect.features(path, IDS, model, top=2)
    assert (found.dictionary.reads, found.dictionary.writes) == (read, write)
    made, kept = dictionary_of(read_dictionary(path)).dictionary, Capture(read, write)
    model.run(IDS, kept)
    activation_TF = encode(made, kept[read])
    assert found.active == (activation_TF > 0).sum(axis=1).tolist()
    for feature in found.features or ():
        row_F = activation_TF[feature.token]
        assert feature.activation == pytest.approx(row_F[feature.index]) and row_F.max() > 0
        assert (row_F > feature.activation).sum() < 2
    rebuilt_TD = decode(made, activation_TF, kept[read])
    left, whole = kept[write] - rebuilt_TD, kept[write] - kept[write].mean(axis=0)
    assert found.explained_variance == pytest.approx(1 - (left**2).sum() / (whole**2).sum(), rel=1e-4)
    left, whole = left[1:], kept[write][1:] - kept[write][1:].mean(axis=0)
    assert found.explained_variance_without_first == pytest.approx(1 - (left**2).sum() / (whole**2).sum(), rel=1e-4)
    loss = found.loss
    assert loss is not None
    alone, rebuilt, zero = (bits(model, tap) for tap in (
        None, Edit(write, lambda _: rebuilt_TD), Edit(write, lambda array: array * 0)
    ))  # fmt: skip
    assert_close([loss.model, loss.rebuilt, loss.zero], [alone, rebuilt, zero])
    expected = (zero - rebuilt) / (zero - alone) if zero > alone else None
    assert loss.recovered == (expected if expected is None else pytest.approx(expected, rel=1e-2))
    without = number(found.explained_variance_without_first or 0.0)
    assert f" of the variance explained ({without} without the first token)\n" in shown(render(found), 100)


@pytest.mark.parametrize(("changes", "factors"), [
    ({"ablate": "feature.3"}, {3: (0.0, 0.0)}),
    ({"scale": "feature.3*2.5"}, {3: (2.5, 0.0)}),
    ({"steer": "feature.3*-4"}, {3: (1.0, -4.0)}),
    ({"ablate": ["feature.3,feature.5"], "steer": ["feature.5*2", "feature.7*1"]},
     {3: (0.0, 0.0), 5: (0.0, 2.0), 7: (1.0, 1.0)}),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["plain", "transcode"])
def test_a_change_moves_the_stream_by_what_the_feature_writes(
    changes: dict[str, Any], factors: dict[int, tuple[float, float]], kind: str, tmp_path: Path
) -> None:
    model = open_model(str(GOLDEN / "llama"))
    path = random_dictionary(tmp_path, model.config.sizes.D, kind, "layers.1.mlp")
    found = llminspect.features(path, IDS, model, **changes)
    made = dictionary_of(read_dictionary(path)).dictionary
    read, write = found.dictionary.reads, found.dictionary.writes
    kept = Capture(read)
    model.run(IDS, kept)
    before_TF = encode(made, kept[read])
    after_TF = before_TF.copy()
    for feature, (factor, more) in factors.items():
        after_TF[:, feature] = after_TF[:, feature] * factor + more
    delta_TD = decode(made, after_TF, kept[read]) - decode(made, before_TF, kept[read])
    expected_V = model.logits(model.run(IDS, Edit(write, lambda array: array + delta_TD)).stream_TD)[-1]
    assert found.next is not None and found.change is not None and found.baseline is not None
    assert_close([token.logit for token in found.next], [expected_V[token.id] for token in found.next])
    assert [token.id for token in found.next] == np.argsort(-expected_V)[: len(found.next)].tolist()
    alone_V = model.logits(model.run(IDS).stream_TD)[-1]
    assert_close([token.logit for token in found.baseline.next], np.sort(alone_V)[::-1][: len(found.next)])


def test_what_is_scaled_is_moved_in_its_own_scale(tmp_path: Path) -> None:
    """constant_norm_rescale: the delta is as much longer as the vector is than √D."""
    folder = tmp_path / "toy"
    shutil.copytree(TOY, folder)
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**config, "normalize_activations": "constant_norm_rescale"}))
    model, kept = open_model("toy"), Capture("layers.0.output")
    model.run([1], kept)
    size = np.linalg.norm(kept["layers.0.output"]) / np.sqrt(2)
    found = llminspect.features(folder, "world", model, steer="feature.0*2")
    expected_V = model.logits(kept["layers.0.output"] + np.array([2 * size, 0], np.float32))[0]
    assert_close([token.logit for token in found.next or ()], np.sort(expected_V)[::-1])


def test_the_highest_places_of_a_corpus_are_found(tmp_path: Path) -> None:
    model = open_model("smollm2")
    path = random_dictionary(tmp_path, model.config.sizes.D, "plain", "layers.2")
    corpus = tmp_path / "text.txt"
    corpus.write_text(
        "The cat sat on the mat. A dog barked at the moon, and the cat ran up the tree in the garden. " * 3
    )
    found = llminspect.features(path, model=model, feature=["1,4"], corpus=corpus, length=16, examples=3, most=60)
    made, tokenizer = dictionary_of(read_dictionary(path)).dictionary, model.tokenizer
    assert tokenizer is not None
    ids = tokenizer.encode_ids(corpus.read_text())[:60]
    for chosen, index in zip(found.chosen or (), (1, 4), strict=True):
        highest = []
        for start in range(0, 60, 16):
            kept = Capture("layers.2.output")
            model.run(ids[start : start + 16], kept)
            highest.append(encode(made, kept["layers.2.output"])[:, index])
        assert chosen.index == index and chosen.firing is not None
        whole = np.concatenate(highest)
        assert chosen.firing.count == 60 and chosen.firing.mean == pytest.approx(whole.mean(), rel=1e-4)
        best = sorted((float(piece.max()) for piece in highest if piece.max() > 0), reverse=True)[:3]
        assert_close([place.activation for place in chosen.examples or ()], best)


def test_what_is_never_below_0_has_no_colours_for_it(called: Program, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello world ! " * 5)
    drawn = called("features", TOY, "--model", "toy", "--feature", "0", "--corpus", str(tmp_path), "--length", "4")
    assert drawn.code == 0, drawn.err
    assert re.search(r"^activation +0(\.0)? to [\d.]+$", drawn.out, re.MULTILINE), drawn.out
    assert " at “!” in " in " ".join(drawn.out.split())


def test_single_features_without_a_text() -> None:
    found = llminspect.features(TOY, model="toy", feature=["2"])
    assert found.features is None and found.chosen is not None
    assert found.chosen[0].length == pytest.approx(np.sqrt(0.5))
    assert_close([token.logit for token in found.chosen[0].writes], [0.2, 0.0, -0.2])
    facts = llminspect.features(TOY, model="toy").dictionary
    assert (facts.features, facts.width, facts.layer, facts.trained_on) == (3, 2, 0, "toy")


@pytest.mark.parametrize(("options", "message"), [
    ({"feature": "3"}, "there is no feature 3"),
    ({"feature": "a"}, "names no feature"),
    ({"ablate": "-1"}, "names no feature"),
    ({"ablate": "feature.-1"}, "does not say feature.NUMBER"),
    ({"ablate": "feature.3"}, "there is no feature 3"),
    ({"scale": "feature.1"}, "does not say feature.NUMBER*number"),
    ({"steer": "feature.1*x"}, "does not say feature.NUMBER*number"),
    ({"steer": "1*2"}, "for example --steer feature.5*2"),
    ({"at": "blocks.0.hook_resid_pre"}, "says itself"),
    ({"corpus": "README.md"}, "name them"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        llminspect.features(TOY, "world", "toy", **options)
    assert message in f"{raised.value.message} {raised.value.hint}"


def test_a_change_takes_a_text_and_a_dictionary_its_model() -> None:
    with pytest.raises(UsageError, match="what follows a text"):
        llminspect.features(TOY, model="toy", ablate="feature.1")
    with pytest.raises(UsageError, match=r"vectors of 2 numbers, and layers\.0\.output of smollm2 has 576"):
        llminspect.features(TOY, "world", "smollm2")
    with pytest.raises(UsageError, match="encoder–decoder"):
        llminspect.features(TOY, "a", str(GOLDEN / "t5"))
    with pytest.raises(ModelError, match="there is no file or folder"):
        llminspect.features("nowhere", "world", "toy")


def test_each_feature_is_shown_once_as_they_were_given() -> None:
    assert parse_features(["7,5", "5", "7"], 9, "--feature") == [7, 5]


def test_an_archive_whose_folders_say_nothing_is_told_where(tmp_path: Path, called: Program) -> None:
    rng, model = np.random.default_rng(4), GOLDEN / "llama"
    arrays = {"W_enc": (36, 9), "W_dec": (9, 36), "b_enc": (9,), "b_dec": (36,), "threshold": (9,)}
    drawn: dict[str, Any] = {name: rng.random(size) for name, size in arrays.items()}
    np.savez(tmp_path / "params.npz", **drawn)
    call = ("features", str(tmp_path), "--ids", "1,4,2", "--model", str(model), "--json")
    failed = called(*call)
    assert failed.code == 2 and "--at blocks.20.hook_resid_post" in failed.out
    for other in ("blocks.١.hook_resid_post", "layers.١"):  # Digits, but not those of a place.
        failed = called(*call, "--at", other)
        assert failed.code == 2 and "which is not read" in failed.out
    for hook, writes in {
        "blocks.1.hook_resid_post": "layers.1.output", "blocks.1.ln2.hook_normalized": "layers.1.feedforward.output",
    }.items():  # fmt: skip
        document = json.loads(called(*call, "--at", hook).out)
        assert_fits(document, "features")
        assert document["dictionary"]["writes"] == writes
        assert set(document["features"][0]) == {"index", "token", "activation", "writes"}
        assert document["provenance"]["dictionary"]["sha256"]


@pytest.mark.parametrize("columns", ["60", "80", "160"])
def test_the_picture_fits(columns: str, called: Program) -> None:
    call = ("features", TOY, "hello world !", "--model", "toy", "--feature", "1", "--steer", "feature.1*3")
    shown = called(*call, COLUMNS=columns).out
    for part in ("3 features of layers.0.output", "world", "the loss recovered", "Feature 1", "steer feature.1 (+ 3)"):
        assert part in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= int(columns)
    assert "head 1 of" not in shown
    assert "SAELens" in called("features", TOY, "--model", "toy", "--feature", "0").out


def test_a_sentence_about_lists_stands_below_lists_only(called: Program) -> None:
    call = ("features", TOY, "hello world !", "--model", "toy")
    found = llminspect.features(TOY, "hello world !", "toy")
    assert "The lists hold" in called(*call).out and "The lists hold" in shown(render(found), 80)
    assert "The lists hold" not in shown(render(replace(found, features=[])), 80)
    numbers = replace(found, folded=["the gain"])
    assert "In the numbers: the gain." in shown(render(numbers), 80)
    assert "In the numbers" not in shown(render(replace(numbers, features=[])), 80)
    begun = shown(render(replace(found, words=True)), 80)
    assert f"The lists hold only {WORD_STARTS} (--no-words: all)." in " ".join(begun.split())
