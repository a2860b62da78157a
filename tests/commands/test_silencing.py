"""`--ablate each`, and sweeps of patches the other way, between texts of different lengths and of the attention to a
source: against loops of single passes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis import swept
from llminspect.analysis.experiments import divergence
from llminspect.analysis.patching import Other, other_text
from llminspect.analysis.prompt import with_source
from llminspect.analysis.sweeping import sweep
from llminspect.core.intervention import Place, replaced
from llminspect.core.tap import Capture, Chain
from llminspect.core.unembed import log_softmax
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.arguments.small_files import small_files
from tests.model.golden import FOLDER
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model
    from tests.conftest import Program

IDS, OTHER = [3, 14, 15, 92, 65, 35], [9, 14, 77, 8, 65, 12]


def logits_of(model: Model, ids: list[int], *taps: Tap) -> Array:
    logits_V: Array = model.logits(model.run(ids, Chain(taps)).stream_TD[-1:])[0].astype(np.float64)
    return logits_V


def arrays_of(model: Model, ids: list[int], place: Place) -> Array:
    seen = Capture(place.tap)
    model.run(ids, seen)
    return seen[place.tap]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, part) for name in ("llama", "gpt2", "bert", "mixtral") for part in ("head-position", "feedforward")),
        *(("llama", part) for part in ("attention", "stream")),
    ],
)
@pytest.mark.parametrize("given", [{}, {"ablate_with": "mean"}, {"ablate_with": "resample", "ablate_from": OTHER}])
def test_each_place_is_what_a_pass_of_its_own_gives(name: str, given: dict[str, Any], part: Any) -> None:
    model = open_model(str(FOLDER / name))
    found = llminspect.forward(IDS, model, ablate="each", sweep=part, target=7, versus=9, **given).silencing
    assert found is not None and found.of == "difference"
    plain_V = logits_of(model, IDS)
    changes, divergences = [], []
    heads = range(model.config.sizes.H) if part == "head-position" else [None]
    positions = [*([[at] for at in range(len(IDS))]), list(range(len(IDS)))]
    for layer in range(model.config.sizes.L):
        whole = Place(layer, "head" if part == "head-position" else part)
        ours, theirs = arrays_of(model, IDS, whole), arrays_of(model, OTHER, whole)
        means = np.broadcast_to(ours.mean(axis=-2, keepdims=True), ours.shape)
        values = {"mean": means, "resample": theirs}.get(given.get("ablate_with", ""), np.zeros_like(ours))
        for head in heads:
            for at in positions:
                place = Place(layer, whole.part, head)
                after_V = logits_of(model, IDS, replaced(place, values[place.index(at)], at))
                changes.append((after_V[7] - after_V[9]) - (plain_V[7] - plain_V[9]))
                divergences.append(float(divergence(log_softmax(plain_V), log_softmax(after_V))))
    shape = (model.config.sizes.L, len(heads), len(positions))
    change_LHT, kl_LHT = (np.reshape(values, shape) for values in (changes, divergences))
    if part == "head-position":
        ours_each, ours_whole = (found.heads, found.heads_kl), (found.change, found.kl)
    else:
        change_LHT, kl_LHT = change_LHT[:, 0], kl_LHT[:, 0]
        ours_each, ours_whole = (found.change, found.kl), (np.array(found.together), np.array(found.together_kl))
    assert found.before == pytest.approx(plain_V[7] - plain_V[9], rel=1e-4)
    for mine, its in zip(
        (*ours_each, *ours_whole),
        (change_LHT[..., :-1], kl_LHT[..., :-1], change_LHT[..., -1], kl_LHT[..., -1]),
        strict=True,
    ):
        np.testing.assert_allclose(np.asarray(mine), its, rtol=0, atol=2e-4 * np.abs(its).max())


def test_without_versus_it_is_the_log_probability_and_other_changes_act_in_every_pass() -> None:
    model = open_model(str(FOLDER / "llama"))
    found = llminspect.forward(IDS, model, ablate=["0.1", "each"], scale="1.0*2").silencing
    assert found is not None and found.of == "logprob" and found.versus is None
    standing = [replaced(Place(0, "head", 1), 0.0), llminspect.scaled(Place(1, "head", 0), 2)]
    plain_V = log_softmax(logits_of(model, IDS, *standing))
    assert found.target.id == int(np.argmax(plain_V)) and found.before == pytest.approx(plain_V.max(), rel=1e-4)
    for layer, head in np.ndindex(*found.change.shape):
        after_V = log_softmax(logits_of(model, IDS, *standing, replaced(Place(layer, "head", head), 0.0)))
        assert abs(found.change[layer, head] - (after_V - plain_V)[found.target.id]) < 2e-4 * np.abs(found.change).max()
    assert abs(found.change[0, 1]) < 1e-5 * np.abs(found.change).max(), "which was silent before"


def test_to_first_order_it_is_the_slope_of_a_little_less(smollm2: Model) -> None:
    """A head a thousandth quieter changes the number by a thousandth of what the gradient says."""
    text = "The capital of France is"
    found = llminspect.forward(text, smollm2, ablate="each", target=" Paris", versus=" Rome", gradient=True).silencing
    assert found is not None and found.by == "gradient" and found.kl is None and found.heads is not None
    np.testing.assert_allclose(found.change, found.heads.sum(axis=-1), rtol=1e-5, atol=1e-6)
    assert smollm2.tokenizer is not None
    ids = [token.id for token in smollm2.tokenizer.wrap(smollm2.tokenizer.encode(text))]
    paris, rome = (smollm2.tokenizer.encode_ids(word)[0] for word in (" Paris", " Rome"))
    for layer, head in ((23, 4), (11, 5)):
        ends = [logits_of(smollm2, ids, llminspect.scaled(Place(layer, "head", head), by)) for by in (1.02, 0.98)]
        louder, quieter = (end_V[paris] - end_V[rome] for end_V in ends)
        assert found.change[layer, head] == pytest.approx((quieter - louder) / 0.04, rel=0.02)


def test_both_ways_agree_as_numpy_says_and_the_document_fits(called: Program) -> None:
    given = ["forward", "--ids", ",".join(map(str, IDS)), "--model", str(FOLDER / "llama"), "--ablate", "each"]
    document = called(*given, "--gradient", "--exact", "--json").json
    assert_fits(document, "forward")
    found = document["silencing"]
    exact, gradient = np.array(found["change"]), np.array(found["first_order"])
    assert found["agreement"]["correlation"] == pytest.approx(
        np.corrcoef(exact.ravel(), gradient.ravel())[0, 1], abs=1e-4
    )
    worst = found["agreement"]["worst"]
    assert abs(exact - gradient).max() == pytest.approx(abs(worst["exact"] - worst["gradient"]), rel=1e-3)
    drawn = called(*given, "--sweep", "head-position", "--layer", "1")
    assert "silencing each head at all positions (zero)" in drawn.out and "each head of layer 1 at each" in drawn.out
    assert "heads at single positions: what changes most" in drawn.out


def test_the_mean_over_a_corpus_stands_in_each_place_in_turn_and_is_kept(called: Program, tmp_path: Path) -> None:
    folder = small_files(tmp_path)
    given = ["forward", "a b a H", "--model", str(folder / "small.gguf"), "--ablate-with", "mean"]
    corpus = ["--corpus", str(folder / "corpus"), "--most", "40"]
    change = called(*given, *corpus, "--ablate", "each", "--target", "#5", "--json").json["silencing"]["change"]
    alone = called(*given, *corpus, "--ablate", "1.1", "--target", "#5", "--json").json["change"]["target"]
    assert change[1][1] == pytest.approx(np.log(alone["prob_after"] / alone["prob_before"]), abs=1e-3)
    saved = str(tmp_path / "means.npz")
    called(*given, *corpus, "--ablate", "each", "--save", saved)
    second = called(*given, "--corpus", saved, "--ablate", "each", "--target", "#5", "--json").json["silencing"]
    np.testing.assert_allclose(second["change"], change, atol=1e-6)


def test_over_texts_each_place_has_its_mean(called: Program, tmp_path: Path) -> None:
    file, given = tmp_path / "records", ["--model", "toy-induction", "--ablate", "each"]
    texts = ["Mr Toad met Mrs Hen. Mr", "Mr Hen met Mrs Toad. Mr"]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    places = called("forward", "--over", str(file), *given, "--json").json["places"]
    single = [called("forward", text, *given, "--json").json["silencing"] for text in texts]
    for measure, key in (("change of log p", "change"), ("KL in bits", "kl")):
        mean_LH = np.mean([one[key] for one in single], axis=0)
        found = {(at["layer"], at["head"]): at["mean"] for at in places if at["measure"] == measure}
        assert found.keys() == set(np.ndindex(*mean_LH.shape))
        for place, value in found.items():
            assert value == pytest.approx(mean_LH[place], abs=1e-4 * np.abs(mean_LH).max())


def test_over_texts_by_gradients_too(called: Program, tmp_path: Path) -> None:
    """Texts of one length, each of which goes back over its own pass."""
    file, given = tmp_path / "records", ["--model", "toy-induction", "--gradient"]
    texts = {
        "Mr Toad met Mrs Hen. Mr": "Mrs Toad met Mr Hen. Mr",
        "Mr Hen met Mrs Toad. Mr": "Mrs Hen met Mr Toad. Mr",
    }
    for key, part, measure in (("silencing", "change", "change of log p"), ("sweep", "restored", "restored")):
        more = ["--sweep", "head"] if key == "sweep" else ["--ablate", "each"]
        ways = {text: {"patch": other} if key == "sweep" else {} for text, other in texts.items()}
        file.write_text("".join(json.dumps({"text": text, **way}) + "\n" for text, way in ways.items()))
        places = called("forward", "--over", str(file), *given, *more, "--json").json["places"]
        single = [
            called("forward", text, *given, *more, *(["--patch", *way.values()] if way else []), "--json").json[key]
            for text, way in ways.items()
        ]
        mean_LH = np.mean([one[part] for one in single], axis=0)
        found = {(at["layer"], at["head"]): at["mean"] for at in places if at["measure"] == measure}
        for place in np.ndindex(*mean_LH.shape):
            assert found[place] == pytest.approx(mean_LH[place], abs=1e-4 * np.abs(mean_LH).max())


@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("part", ["stream", "head-position"])
def test_noising_is_a_pass_over_the_other_text_with_this_one_s_vectors(name: str, part: Any) -> None:
    model = open_model(str(FOLDER / name))
    found = sweep(model, IDS, Other(model, OTHER), 5, part, (7, 9), [], noising=True)
    ends = [logits_of(model, ids) for ids in (OTHER, IDS)]
    after, before = (end_V[7] - end_V[9] for end_V in ends)
    assert found.direction == "noising"
    assert (found.before, found.after) == pytest.approx((before, after), abs=1e-4)
    each = found.restored if part == "stream" else found.heads
    assert each is not None
    lost = np.zeros(np.shape(each))
    for layer, *where in np.ndindex(*lost.shape):
        place = Place(layer, "stream") if part == "stream" else Place(layer, "head", where[0])
        values = arrays_of(model, IDS, place)[place.index([where[-1]])]
        patched_V = logits_of(model, OTHER, replaced(place, values, [where[-1]]))
        lost[(layer, *where)] = (patched_V[7] - patched_V[9] - after) / (before - after)
    np.testing.assert_allclose(each, lost, rtol=0, atol=1e-3 * np.abs(lost).max())
    back = sweep(model, OTHER, Other(model, IDS), 5, part, (9, 7), [])
    np.testing.assert_allclose(back.restored, found.restored, rtol=0, atol=1e-4 * np.abs(lost).max())
    both = sweep(model, IDS, Other(model, OTHER), 5, part, (7, 9), [], noising=True, gradient=True)
    its = sweep(model, OTHER, Other(model, IDS), 5, part, (9, 7), [], gradient=True)
    np.testing.assert_allclose(both.restored, its.restored, rtol=0, atol=1e-4 * np.abs(its.restored).max())


@pytest.mark.parametrize("noising", [False, True])
@pytest.mark.parametrize("name", ["llama", "bert"])
def test_texts_of_different_lengths_are_swept_where_they_are_aligned(name: str, noising: bool) -> None:
    """Two positions of the one text stand for none of the other."""
    model, longer = open_model(str(FOLDER / name)), [3, 14, 15, 50, 51, 8, 35]
    other = other_text(model, IDS, longer, ["0=0", "3=3-4", "5=6"])
    assert other.aligned is not None and other.aligned.pairs == [(0, 0), (1, 1), (2, 2), (3, 4), (4, 5), (5, 6)]
    other = other_text(model, IDS, longer, ["0=0", "1=1", "3=4", "5=6"])
    assert other.aligned is not None and other.aligned.left_out == [2] and other.aligned.left_out_there == [2, 3]
    pairs = dict(other.aligned.pairs)
    found = sweep(model, IDS, other, 5, "head-position", (7, 9), [], noising=noising)
    run, source = (longer, IDS) if noising else (IDS, longer)
    start, end = (float(np.subtract(*logits_of(model, ids)[[7, 9]])) for ids in (run, source))
    assert found.heads is not None
    for layer, head, at in np.ndindex(*found.heads.shape):
        if at not in pairs:
            assert np.isnan(found.heads[layer, head, at])
            continue
        of, to = (at, pairs[at]) if noising else (pairs[at], at)
        place = Place(layer, "head", head)
        patched = logits_of(model, run, replaced(place, arrays_of(model, source, place)[place.index([of])], [to]))
        assert found.heads[layer, head, at] == pytest.approx(
            (patched[7] - patched[9] - start) / (end - start), abs=2e-3
        )
    both = sweep(model, IDS, other, 5, "head-position", (7, 9), [], noising=noising, gradient=True, exact=True)
    assert both.agreement is not None and both.agreement.cells == int(np.isfinite(found.heads).sum())


def test_an_aligned_sweep_says_what_stands_for_what(called: Program) -> None:
    given = ["forward", "The capital of France is", "--patch", "The capital of New Zealand is", "--quiet"]
    ran = called(*given, "--align", "France=New Zealand", "--gradient")
    assert ran.code == 0 and "position = position of the other text: 0-2 = 0-2, 3-4 = 4-5" in ran.out
    assert "left out: 3 in the other text" in " ".join(ran.out.split())
    refused = called(*given)
    assert refused.code == 2 and "say with --align which stand for which" in refused.err
    refused = called(*given, "--align", "France=Zealand", "--at", "1")
    assert refused.code == 2 and "--at 1 stands for no token of the other text" in refused.err


@pytest.mark.parametrize("family", ["t5", "marian"])
@pytest.mark.parametrize("part", ["cross", "cross-head"])
def test_the_attention_to_a_source_is_swept(family: str, part: Any) -> None:
    model = open_model(str(FOLDER / family))
    here, there = with_source(model, [5, 6, 7, 4]), with_source(model, [9, 10, 11, 12, 1])
    target = [model.config.start_id, 9, 10]  # type: ignore[attr-defined]
    found = sweep(here, target, Other(there, target), 2, part, (7, 9), [])
    ends = [logits_of(each, target) for each in (here, there)]
    before, after = (end_V[7] - end_V[9] for end_V in ends)
    for layer, at in np.ndindex(*found.restored.shape):
        place = Place(layer, "cross") if part == "cross" else Place(layer, "cross.head", at)
        positions = [at] if part == "cross" else list(range(3))
        values = arrays_of(there, target, place)[place.index(positions)]
        patched_V = logits_of(here, target, replaced(place, values, positions))
        share = (patched_V[7] - patched_V[9] - before) / (after - before)
        assert found.restored[layer, at] == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("part", ["stream", "attention", "head", "head-position"])
def test_what_every_sweep_costs_is_said_before_and_how_far_it_is(
    called: Program, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(swept, "WORTH_SAYING", 0.0)
    drawn: list[tuple[str, int, int]] = []
    monkeypatch.setattr("llminspect.cli.opening.ProgressBars._step", lambda self, *given: drawn.append(given))
    other = ["--patch", "Mrs Toad met Mr Hen. Mr"]
    for given, cells in ((other, {"stream": 16}), (["--ablate", "each"], {"stream": 16})):
        drawn.clear()
        ran = called("forward", "Mr Toad met Mrs Hen. Mr", *given, "--model", "toy-induction", "--sweep", part)
        assert ran.code == 0
        (line,) = ran.err.splitlines()
        assert "cells (" in line and "one pass each: at most about " in line and "about 0 s" not in line
        cells_named = int(line.split()[1])
        assert drawn[-1] == (f"sweeping {part}", cells_named, cells_named)
        assert cells_named == {"head": 4, "head-position": 32}.get(part, cells.get(part, 14 if given is other else 16))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--ablate", "each", "--patch", "b b a H"], "tries every place by itself"),
        (["--ablate", "each", "--surprise"], "tries every place by itself"),
        (["--sweep", "head"], "--sweep has no effect without --patch or --ablate each"),
        (["--noising"], "--noising has no effect without --patch"),
        (["--noising", "--patch", "b b a H", "--into", "0.stream"], "--noising tries every place, and --into is one"),
        (["--align", "1=1"], "--align has no effect without --patch"),
        (["--ablate", "each", "--sweep", "cross"], "has no attention to a source"),
        (["--ablate", "each", "--ablate-with", "resample"], "needs a text to take from"),
    ],
)
def test_what_does_not_go_together_is_refused(called: Program, tmp_path: Path, given: list[str], words: str) -> None:
    ran = called("forward", "a b a H", "--model", str(small_files(tmp_path) / "small.gguf"), *given)
    assert ran.code == 2 and words in ran.err and len(ran.err.splitlines()) == 1


def test_a_place_at_a_time_is_forward_s_alone(tmp_path: Path) -> None:
    model = open_model(str(FOLDER / "llama"))
    for ask in (llminspect.attend, llminspect.generate):
        with pytest.raises(UsageError, match="is not a part of the model"):
            ask(IDS, model, ablate="each")
    with pytest.raises(UsageError, match="--ablate each"):
        llminspect.forward([5, 6], str(FOLDER / "llama-sequence"), ablate="each")
