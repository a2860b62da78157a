"""`--over`: means over many texts against each text alone, batches against single passes, stopped runs."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis import over as over_module
from llminspect.analysis.gathering import goes_together, side_by_side
from llminspect.analysis.over import Sums, over_texts
from llminspect.core.intervals import of_mean, of_share
from llminspect.core.intervention import Place, scaled
from llminspect.core.tap import Capture, Chain
from llminspect.errors import UserError
from llminspect.files.cache_folder import entries
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.fuzz.samples import llama, vocabulary
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
FAMILIES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
TEXTS = ["a b a H", "b b a H", "a H a b", "a H", "b a", "H H b a", "a b"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A llama of two layers with random weights."""
    folder = tmp_path_factory.mktemp("over")
    tokenizer = vocabulary("llama", ["▁b", "▁H"])
    model = llama(tokenizer, len(dict(tokenizer)["tokenizer.ggml.tokens"]), layers=2)
    draw = np.random.default_rng(3)
    model.tensors = [
        replace(tensor, data=draw.normal(0, 0.6, len(tensor.data) // 4).astype("<f4").tobytes())
        for tensor in model.tensors
    ]
    (folder / "small.gguf").write_bytes(model.build())
    return str(folder / "small.gguf")


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "home"))


def records(**given: Any) -> list[dict[str, Any]]:
    return [{"text": text, **given} for text in TEXTS]


def means(found: Any, measure: str) -> dict[tuple[Any, ...], Any]:
    return {(at.layer, at.head, at.position): at for at in found.places if at.measure == measure}


def assert_sums(at: Any, values: list[float], least: float = 1e-6) -> None:
    """A place against numpy on the numbers of the texts, which are compared by their size, or `least`."""
    there = np.array([value for value in values if np.isfinite(value)], np.float64)
    assert at.count == len(there)
    std = float(there.std(ddof=1))
    size = max(np.abs(there).max(), least)
    assert abs(at.mean - there.mean()) <= 1e-4 * size and abs(at.std - std) <= 1e-4 * size
    low, high = of_mean(float(there.mean()), std, len(there))
    assert abs(at.low - low) <= 1e-3 * size and abs(at.high - high) <= 1e-3 * size


def test_attribution_lens_and_target_are_those_of_each_text(small: str) -> None:
    model = llminspect.open_model(small)
    found = llminspect.over("forward", records(target="#267", versus="#266"), model, attribution=True, lens=True)
    single = [
        llminspect.forward(text, model, attribution=True, lens=True, target="#267", versus="#266") for text in TEXTS
    ]
    assert found.over.count == len(TEXTS) and found.over.file is None
    for (layer, head, _), at in means(found, "head").items():
        assert_sums(at, [each.attribution.layers[layer].heads[head] for each in single])  # type: ignore[union-attr]
    for (layer, _, _), at in means(found, "feedforward").items():
        assert_sums(at, [each.attribution.layers[layer].feedforward for each in single])  # type: ignore[union-attr]
    for (layer, _, _), at in means(found, "lens: target probability").items():
        assert_sums(at, [each.lens[layer].target.prob for each in single])  # type: ignore[index]
    assert len(means(found, "head")) == 2 * model.config.sizes.H and len(means(found, "lens: target rank")) == 2
    first = means(found, "target is first")[None, None, None]
    assert (first.low, first.high) == of_share(round(first.mean * len(TEXTS)), len(TEXTS))
    rows = found.rows("places")
    assert len(rows) == len(found.places) and {"measure", "layer", "mean", "low"} <= rows[-1].keys()


def test_changes_patches_and_surprise_are_those_of_each_text(small: str) -> None:
    model = llminspect.open_model(small)
    found = llminspect.over("forward", records(target="#267"), model, ablate=["0.1"], scale="1.feedforward*2")
    single = [llminspect.forward(text, model, ablate=["0.1"], scale="1.feedforward*2", target="#267") for text in TEXTS]
    assert_sums(means(found, "KL in bits")[None, None, None], [each.change.kl for each in single])  # type: ignore[union-attr]
    moved = [each.change.target.logit_change for each in single]  # type: ignore[union-attr]
    assert_sums(means(found, "target logit change")[None, None, None], moved)
    four = [text for text in TEXTS if len(text) == 7]
    of_four = [{"text": text, "patch": "H b H a"} for text in four]
    for sweep, axis in (("stream", 2), ("head", 1)):
        found = llminspect.over("forward", of_four, model, sweep=sweep)
        patched = [llminspect.forward(text, model, patch="H b H a", sweep=sweep) for text in four]
        places = means(found, "restored")
        assert len(places) == patched[0].sweep.restored.size  # type: ignore[union-attr]
        for where, at in places.items():
            shares = [each.sweep.restored[where[0], where[axis]] for each in patched]  # type: ignore[union-attr]
            assert_sums(at, shares, 1.0)
    found = llminspect.over("forward", records(), model, surprise=True)
    alone = [llminspect.surprise(text, model) for text in TEXTS]
    assert_sums(means(found, "perplexity")[None, None, None], [each.perplexity or 0.0 for each in alone])  # type: ignore[union-attr]
    assert not means(found, "bits")


def test_habits_and_found_heads_are_those_of_each_text(small: str) -> None:
    model = llminspect.open_model(small)
    found = llminspect.over("attend", records(), model)
    single = [llminspect.attend(text, model) for text in TEXTS]
    for name, values_LH in single[0].overview.measures.items():  # type: ignore[union-attr]
        places = means(found, name)
        assert len(places) == values_LH.size
        for (layer, head, _), at in places.items():
            values = [float(each.overview.measures[name][layer, head]) for each in single]  # type: ignore[union-attr]
            if np.isfinite(values).sum() > 1:
                assert_sums(at, values)
    only = llminspect.over("attend", records(), model, measure="sink")
    assert {at.measure for at in only.places} == {"sink"}
    some = [{"text": "a b a H", "find": "3->1"}, {"text": "a H a b", "find": "2->1"}]
    measured = llminspect.over("attend", some, model, measure="sink")
    assert {at.measure for at in measured.places} == {"sink"} and any(at.count for at in measured.places)
    found = llminspect.over("attend", some, model)
    both = [llminspect.attend(record["text"], model, find=record["find"]).find for record in some]
    for (layer, head, _), at in means(found, "weight").items():
        heads = [next(one for one in each.heads if (one.layer, one.head) == (layer, head)) for each in both]  # type: ignore[union-attr]
        assert_sums(at, [one.weight for one in heads])


def test_texts_of_one_length_are_one_pass(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = llminspect.open_model(small)
    passes: list[tuple[int, ...]] = []
    plain = model.architecture.forward

    def counted(params: Any, config: Any, ids_T: Any, tap: Any, cache: Any = None, hidden_S: Any = None) -> Any:
        passes.append(ids_T.shape)
        return plain(params, config, ids_T, tap, cache, hidden_S)

    model = replace(model, architecture=replace(model.architecture, forward=counted))
    llminspect.over("forward", [{"text": text} for text in TEXTS], model, attribution=True)
    tokens = [len(llminspect.encode(text, model).ids) for text in TEXTS]
    assert sorted(passes) == sorted((tokens.count(length), length) for length in set(tokens))


@pytest.mark.parametrize("family", FAMILIES)
def test_side_by_side_each_text_sees_its_arrays(family: str) -> None:
    """Every array of a pass and of the logits, and a change in one text that the other does not see."""
    model = open_model(str(GOLDEN / family))
    if not goes_together(model) or model.no_next_token() is not None:
        return
    texts = [[1, 4, 2, 7], [3, 1, 1, 5]]
    change = scaled(Place(0, "feedforward" if model.config.sizes.F else "stream"), 3.0)

    def look(ids: list[int], changed: bool, model: Model) -> Capture:
        kept, logits = Capture("*"), Capture("*")
        stream_TD = model.run(ids, Chain([change, kept] if changed else [kept])).stream_TD
        model.logits(stream_TD[-1:], logits)
        kept.arrays |= {**logits.arrays, "stream": stream_TD}
        return kept

    works = [partial(look, texts[0], True), partial(look, texts[1], False), partial(look, texts[0], False)]
    for found, work in zip(side_by_side(model, works), works, strict=True):
        assert isinstance(found, Capture)
        expected = work(model)
        assert found.arrays.keys() == expected.arrays.keys()
        for name, array in expected.arrays.items():
            assert found[name].shape == array.shape, name
            if array.dtype.kind == "f":
                seen = np.isfinite(array)
                assert (seen == np.isfinite(found[name])).all(), name
                assert_close(np.where(seen, found[name], 0), np.where(seen, array, 0), 1e-4)


def test_one_text_that_fails_leaves_the_others(small: str) -> None:
    model = open_model(small)

    def work(ids: list[int], model: Model) -> float:
        if ids[0] == 3:
            raise UserError("not this one")
        return float(model.run(ids, Capture("layers.0.output" if ids[0] < 5 else "nowhere")).stream_TD[0, 0])

    found = side_by_side(model, [partial(work, ids) for ids in ([1, 2], [3, 2], [4, 2], [6, 2])])
    assert [type(each) for each in found] == [float, UserError, float, UserError]
    assert_close([found[0], found[2]], [work([1, 2], model), work([4, 2], model)])  # type: ignore[arg-type]

    def broken(model: Model) -> float:
        raise ZeroDivisionError

    for at in range(3):
        works = [partial(work, [1, 2]), partial(work, [4, 2])]
        with pytest.raises(ZeroDivisionError):
            side_by_side(model, [*works[:at], partial(broken), *works[at:]])


def test_a_run_that_was_stopped_goes_on(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(small)
    tried: list[int] = []

    def texts() -> list[over_module.TextWork]:
        def numbers(record: int, model: Model) -> dict[Any, float]:
            tried.append(record)
            return {("m", None, None, None): float(record**2)}

        return [over_module.TextWork(record, 1 + record // 2, partial(numbers, record)) for record in range(10)]

    whole = over_texts(model, "forward", texts(), ["x"])
    assert not [entry for entry in entries() if entry.kind == "unfinished"] and whole.notes is None

    def stop(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        over_texts(model, "forward", texts(), ["x"], stop)
    (kept,) = [entry for entry in entries() if entry.kind == "unfinished"]
    assert json.loads(kept.path.read_bytes())["sums"][0] == [6]
    tried.clear()
    assert over_texts(model, "forward", texts(), ["another"]).places == whole.places and len(tried) == 10
    tried.clear()
    found = over_texts(model, "forward", texts(), ["x"])
    assert sorted(tried) == [6, 7, 8, 9]
    assert found.places == whole.places and "an earlier run" in (found.notes or [""])[0]
    assert not kept.path.exists()
    of_another = {"key": "of another", "done": 4, "places": [["m", None, None, None]], "sums": [[4], [9], [9]]}
    for damaged in (b"{", b"[]", kept.name.encode(), json.dumps(of_another).encode()):
        kept.path.write_bytes(damaged)
        assert over_texts(model, "forward", texts(), ["x"]).notes is None
    monkeypatch.setattr(over_module, "SECONDS", -1.0)
    with pytest.raises(UserError, match="record 8"):
        over_texts(model, "forward", [*texts()[:8], over_module.TextWork(8, 9, failing)], ["y"])
    (kept,) = [entry for entry in entries() if entry.kind == "unfinished"]
    assert json.loads(kept.path.read_bytes())["done"] == 8


def test_what_is_kept_is_of_whole_batches(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add, added = Sums.add, 0

    def add_three(sums: Sums, numbers: Any) -> None:
        nonlocal added
        added += 1
        if added == 4:
            raise KeyboardInterrupt
        add(sums, numbers)

    monkeypatch.setattr(Sums, "add", add_three)
    works = [
        over_module.TextWork(record, 1 + record // 2, lambda model: {("m", None, None, None): 1.0})
        for record in range(6)
    ]
    with pytest.raises(KeyboardInterrupt):
        over_texts(open_model(small), "forward", works, ["x"])
    (kept,) = [entry for entry in entries() if entry.kind == "unfinished"]
    state = json.loads(kept.path.read_bytes())
    assert state["done"] == 2 and state["sums"][0] == [2]


def failing(model: Model) -> dict[Any, float]:
    raise UserError("cannot be done")


def written(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.mark.parametrize(("width", "count"), [(60, len(TEXTS)), (100, 1)])
def test_it_is_drawn_and_written(called: Program, small: str, tmp_path: Path, width: int, count: int) -> None:
    file = written(tmp_path / "r.jsonl", records(target="#267")[:count])
    for command, *options in (["forward", "--attribution", "--lens"], ["attend"], ["attend", "--measure", "sink"]):
        base = (command, "--over", file, *options, "--model", small)
        drawn = called(*base, COLUMNS=str(width))
        assert drawn.code == 0 and f"Over {count} text" in drawn.out, drawn.err
        assert max(map(len, drawn.out.splitlines())) <= width and ("95% interval  " in drawn.out) == (count > 1)
        document = called(*base, "--json").json
        assert_fits(document, command)
        assert document["over"] == {"count": count, "file": file}
        assert {"mean", "std", "low", "high", "layer", "count"} <= document["places"][-1].keys()


@pytest.mark.parametrize(
    ("lines", "arguments", "message"),
    [
        ([{"text": "a b"}], ("forward",), "--over gives the means of what an option measures"),
        ([{"text": "a b"}], ("forward", "a b", "--lens"), "--over takes the place of TEXT"),
        ([{"text": "a b"}], ("forward", "--lens"), "record 0 has no target for --lens"),
        ([{"text": "a b"}], ("forward", "--trace"), "does not go with --trace"),
        ([{"text": "a b"}], ("forward", "--attribution", "--save", "x.npz"), "does not go with --save FILE.npz"),
        ([{"label": 1}], ("forward", "--lens"), "record 0 has no text"),
        ([{"text": 1}], ("forward", "--lens"), "record 0: its text is not a text"),
        ([{"text": "a", "at": "x"}], ("forward", "--surprise", "--lens"), "does not go with"),
        ([{"text": "a", "target": [1]}], ("forward",), "its target is not a text or a whole number"),
        ([{"text": "a b", "patch": "a b a"}], ("forward",), "record 0: --patch replaces position by position"),
        ([{"text": "a b"}, {"text": "a b a"}], ("forward", "--patch", "b b"), "record 1: --patch replaces position"),
        ([{"text": "a b"}], ("forward", "--into", "0.stream"), "record 0 has no patch for --into"),
        ([{"text": "a b"}], ("forward", "--noising", "--ablate", "each"), "record 0 has no patch for --noising"),
        ([{"text": "a b"}], ("forward", "--gradient"), "record 0 has no patch for --gradient"),
        ([{"text": "a b"}], ("forward", "--sweep", "head", "--ablate", "0.0"), "record 0 has no patch for --sweep"),
        ([{"text": "a b"}], ("attend", "--find", "x->y"), "record 0: "),
        ([{"text": "a b"}], ("attend", "--rollout"), "does not go with --rollout"),
        ([], ("attend",), "holds no records"),
    ],
)
def test_what_cannot_be_summed_up_is_refused_in_a_line(
    called: Program, small: str, tmp_path: Path, lines: list[Any], arguments: tuple[str, ...], message: str
) -> None:
    ran = called(*arguments, "--over", written(tmp_path / "r.jsonl", lines), "--model", small)
    assert ran.code in (1, 2) and message in ran.err, ran.err
    assert len(ran.err.splitlines()) == 1
