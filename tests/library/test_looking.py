"""`run_with_cache`, `run_with_taps`, `gradients`, and `generate(taps=…)`: against a plain pass and the experiments of
the command line; on compiled products and on JAX."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect import Capture, Edit, Place
from llminspect.errors import UserError
from tests.closeness import assert_close
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.core.array import Array
    from llminspect.library.looking import OpenModel
    from llminspect.model.opened import Model

GOLDEN = ROOT / "tests" / "golden"
TEXT, OTHER = "The capital of France is", "The capital of Italy is"


@pytest.fixture(scope="module")
def smollm2() -> OpenModel:
    return llminspect.open_model("smollm2")


def doubled(array: Array) -> Array:
    return array * 2


def test_what_is_kept_is_what_a_plain_pass_hands_on(smollm2: OpenModel) -> None:
    names = "layers.*.attention.weights", Place(3, "stream")
    seen, kept = smollm2.run_with_cache(TEXT, *names), Capture("layers.*.attention.weights", "layers.3.output")
    done = smollm2.run(llminspect.encode(TEXT).ids, kept)
    assert list(seen.arrays) == list(kept.arrays) and len(seen.arrays) == 31
    assert all(np.array_equal(seen[name], kept[name]) and type(seen[name]) is np.ndarray for name in kept.arrays)
    assert seen.logits is not None
    assert_close(seen.logits, smollm2.logits(done.stream_TD)[-1])
    assert [token["text"] for token in seen.tokens][1] == " capital"
    whole = smollm2.run_with_cache(TEXT, "final.logits")
    assert whole["final.logits"].shape == (5, smollm2.config.sizes.V)
    assert np.array_equal(whole["final.logits"][-1], whole.logits)  # type: ignore[arg-type]


def test_texts_go_in_batches_and_keep_their_order(smollm2: OpenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llminspect.analysis.batches.TOKENS_AT_ONCE", 12)
    texts = ["A cat sat on the mat", "A", "A cat", "A dog ran away"]
    passes: list[tuple[int, ...]] = []
    run = type(smollm2).run

    def counted(model: Any, ids: Any, *given: Any, **options: Any) -> Any:
        passes.append(np.shape(ids))
        return run(model, ids, *given, **options)

    monkeypatch.setattr(type(smollm2), "run", counted)
    found = smollm2.run_with_cache(texts, "layers.29.output")
    assert passes == [(3, 4), (6,)]
    assert [result.text for result in found] == texts  # type: ignore[attr-defined]
    assert [len(result["layers.29.output"]) for result in found] == [6, 1, 2, 4]  # type: ignore[attr-defined]


def test_functions_change_what_experiments_change(smollm2: OpenModel) -> None:
    silenced = llminspect.forward(TEXT, smollm2, top=1, ablate=["3.2", "20.attention"]).next
    assert silenced is not None

    def without_head_2(mixed_HTE: Array) -> Array:
        mixed_HTE[2] = 0  # A copy: the model's own array stays.
        return mixed_HTE

    taps = {Place(3, "head", 2): without_head_2, "layers.20.attention.output": np.zeros_like}
    seen = smollm2.run_with_taps(TEXT, taps)
    assert seen.logits is not None and int(seen.logits.argmax()) == silenced[0].id
    assert seen.logits.max() == pytest.approx(silenced[0].logit, rel=1e-6)
    edits = [llminspect.replaced(Place(3, "head", 2), 0.0), llminspect.replaced(Place(20, "attention"), 0.0)]
    assert np.array_equal(smollm2.run_with_taps(TEXT, edits).logits, seen.logits)  # type: ignore[arg-type]


def test_a_patch_by_a_function_is_the_patch_of_the_command_line(smollm2: OpenModel) -> None:
    other = smollm2.run_with_cache(OTHER, "layers.10.output")["layers.10.output"]
    patched = llminspect.forward(TEXT, smollm2, patch=OTHER, into="10.stream", top=1).next
    seen = smollm2.run_with_taps(TEXT, {"layers.10.output": lambda stream_TD: other})
    assert patched is not None and seen.logits is not None and int(seen.logits.argmax()) == patched[0].id
    assert seen.logits.max() == pytest.approx(patched[0].logit, rel=1e-6)


def test_a_pattern_changes_each_array_that_it_names_and_no_other(smollm2: OpenModel) -> None:
    called: list[tuple[int, ...]] = []

    def look(array: Array) -> Array:
        called.append(array.shape)
        return array

    smollm2.run_with_taps(TEXT, {"layers.*.output": look})
    assert called == [(5, 576)] * 30


def test_generate_takes_taps(smollm2: OpenModel) -> None:
    scaled = llminspect.generate(TEXT, smollm2, max_tokens=4, scale="10.attention*9")
    taps = {"layers.10.attention.output": lambda array: array * 9}
    tapped = llminspect.generate(TEXT, smollm2, max_tokens=4, taps=taps)
    assert tapped.ids == scaled.ids != llminspect.generate(TEXT, smollm2, max_tokens=4).ids

    def never(logits_TV: Array) -> Array:
        logits_TV[:, tapped.ids[0]] = -np.inf
        return logits_TV

    assert tapped.ids[0] not in llminspect.generate(TEXT, smollm2, max_tokens=4, taps={"final.logits": never}).ids
    with pytest.raises(UserError, match=r"waits for 'layers\.0\.ouput'"):
        llminspect.generate(TEXT, smollm2, max_tokens=2, taps={"layers.0.ouput": doubled})


def test_gradients_of_tokens_and_of_functions(smollm2: OpenModel) -> None:
    at = "layers.3.attention.weights", "layers.2.output"
    for of in (" Paris", 7042, (" Paris", " London"), lambda seen: seen["final.logits"].mean()):
        found = smollm2.gradients(TEXT, of=of, at=at)
        assert set(found.gradients) == set(at)
        assert all(found[name].shape == found.arrays[name].shape for name in at)
    found = smollm2.gradients(TEXT, of=" Paris", at="layers.29.output")
    prob = llminspect.forward(TEXT, smollm2, target=" Paris").target
    assert prob is not None and found.value == pytest.approx(np.log(prob.prob), abs=1e-5)


def test_gradients_with_taps_are_those_of_the_changed_pass(smollm2: OpenModel) -> None:
    """Twice as large an array downstream: twice the slope upstream, of a number that is linear in it."""

    def first(seen: Any) -> Any:
        return seen["layers.4.attention.output"][-1, 0]

    plain, changed = (
        smollm2.gradients(TEXT, of=first, at="layers.4.attention.mixed", taps=taps)
        for taps in (None, {"layers.4.attention.output": doubled})
    )
    name = "layers.4.attention.mixed"
    assert changed.value == pytest.approx(2 * plain.value, rel=1e-5)
    assert_close(changed[name], 2 * plain[name])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_gradients_on_compiled_products(smollm2: OpenModel, precision: str) -> None:
    model = llminspect.open_model("smollm2", kernels="compiled", precision=precision)
    found, plain = (each.gradients(TEXT, of=(" Paris", " London"), at="layers.20.output") for each in (model, smollm2))
    size = np.linalg.norm(plain["layers.20.output"])
    distance = np.linalg.norm(found["layers.20.output"] - plain["layers.20.output"]) / size
    assert distance < (1e-4 if precision == "float32" else 0.2)


def test_the_same_on_jax(smollm2: OpenModel) -> None:
    plain, model = (llminspect.open_model(str(GOLDEN / "llama"), engine=engine) for engine in ("numpy", "jax"))
    ids, names = [3, 1, 4, 1, 5], ("layers.*.attention.weights", "layers.*.output")
    for taps in (
        None,
        {"layers.*.attention.mixed": np.negative},
        llminspect.scaled(Place(1, "stream"), 0.5),
        {"final.logits": doubled, "layers.0.output": lambda array: np.flip(array, axis=-1)},
    ):
        expected, found = (each.run_with_taps(ids, taps, *names) for each in (plain, model))
        assert_close(found.logits, expected.logits)  # type: ignore[arg-type]
        for name, array in expected.arrays.items():
            assert type(found[name]) is np.ndarray
            assert_close(found[name], array)
    slopes = [each.gradients(ids, of=(5, 6), at="layers.0.input")["layers.0.input"] for each in (plain, model)]
    assert_close(slopes[1], slopes[0])


def test_what_a_function_raises_goes_on_from_jax() -> None:
    model = llminspect.open_model(str(GOLDEN / "llama"), engine="jax")

    def wrong(array: Array) -> Array:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model.run_with_taps([1, 2], {"layers.*.output": wrong})
    with pytest.raises(UserError, match="another shape"):
        model.run_with_taps([1, 2], {"layers.1.output": lambda array: array[:1]})


def test_an_encoder_decoder_reads_its_source_and_its_target() -> None:
    model = llminspect.open_model(str(GOLDEN / "t5"))
    names = "encoder.layers.*.attention.weights", "layers.*.cross_attention.weights", "final.logits"
    seen = model.run_with_cache([3, 1, 4, 1, 5], *names, target=[7, 8])
    assert seen["layers.0.cross_attention.weights"].shape[-2:] == (3, 5)
    assert [token["id"] for token in seen.target_tokens or ()] == [0, 7, 8]
    halved = model.run_with_taps([3, 1, 4, 1, 5], {"encoder.layers.0.output": lambda array: array * 0.5})
    assert not np.allclose(halved.logits, model.run_with_cache([3, 1, 4, 1, 5]).logits)  # type: ignore[arg-type]
    found = model.gradients([3, 1, 4, 1, 5], of=(5, 6), at=["encoder.layers.0.input", "layers.0.input"], target=[7])
    assert found["encoder.layers.0.input"].shape[0] == 5 and found["layers.0.input"].shape[0] == 2


def test_a_classifier_gives_its_labels() -> None:
    model = llminspect.open_model(str(GOLDEN / "bert-sequence"))
    seen = model.run_with_cache([2, 5, 6, 3], "final.labels", "layers.*.output")
    found = llminspect.forward([2, 5, 6, 3], model).labels
    assert seen.logits is None and found is not None
    assert sorted(seen["final.labels"].tolist()) == pytest.approx(sorted(label.logit for label in found), rel=1e-5)
    slope = model.gradients([2, 5, 6, 3], of=lambda seen: seen["final.labels"][0], at="layers.0.input")
    assert slope["layers.0.input"].shape[0] == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.run_with_cache("a b", "layers.*.wieghts"), "no step of the pass has that name"),
        (lambda model: model.run_with_cache("a b", 3), "not a name of an array: int"),
        (lambda model: model.run_with_cache("a b", "layers.0.input", target="c"), "reads one text"),
        (lambda model: model.run_with_cache(["a", "b c"], "layers.77.output"), "no step of the pass has that name"),
        (lambda model: model.run_with_cache(7, "layers.0.input"), "not a text"),
        (lambda model: model.run_with_taps("a b", {"layers.0.output": lambda array: None}), "gave back None"),
        (lambda model: model.run_with_taps("a b", {"layers.0.output": lambda array: array[0]}), "another shape"),
        (lambda model: model.run_with_taps("a b", {"layers.0.output": 3}), "is no function"),
        (lambda model: model.run_with_taps("a b", {"layers.0.ouput": doubled}), "no step of the pass"),
        (lambda model: model.run_with_taps("a b", doubled), "not a tap: function"),
        (lambda model: model.run_with_taps("a b", Edit("layers.0.ouput", doubled)), "no step of the pass"),
        (lambda model: model.gradients("a b", of=" Paris London", at="layers.0.input"), "of takes one token"),
        (lambda model: model.gradients("a b", of=(1, 2, 3), at="layers.0.input"), "one token or two, not 3"),
        (lambda model: model.gradients("a b", of=1.5, at="layers.0.input"), "of takes a token"),
        (lambda model: model.gradients("a b", of=1, at=[]), "at names no array"),
        (lambda model: model.gradients("a b", of=lambda seen: 3.0, at="layers.0.input"), "does not depend on"),
        (
            lambda model: model.gradients("a b", of=lambda seen: seen["layers.1.input"], at="layers.0.input"),
            "one number",
        ),
    ],
)
def test_mistakes_are_said_in_a_line(smollm2: OpenModel, call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        call(smollm2)


def test_a_model_keeps_its_methods_when_it_is_replaced(smollm2: Model) -> None:
    assert type(replace(smollm2, name="another")).__name__ == "OpenModel"


def test_a_function_that_writes_into_its_array_leaves_the_model_as_it_was() -> None:
    """What goes by there is a row of the model's own weights."""
    model = llminspect.open_model(str(GOLDEN / "bert"))
    before = model.params["segment.weight"].copy()

    def written_into(segment_D: Array) -> Array:
        segment_D[...] = 0
        return segment_D

    model.run_with_taps([2, 5, 3], {"embedding.segment": written_into})
    assert np.array_equal(model.params["segment.weight"], before)
