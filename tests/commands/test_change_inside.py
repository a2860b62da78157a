"""`--ablate`, `--scale`, `--steer` at what a head works with and at the attention to a source: against plain passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.arguments.experiments import parse_place
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.commands.patched import Acts, values_at
from tests.commands.plain_llama import plain_forward
from tests.commands.test_ablation import ids_of, logits_of
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from llminspect.model.opened import Model

IDS = [5, 6, 7, 8, 9]
PARTS = ["query", "key", "value", "query.projected", "key.projected"]


def plain(model: Model, part: str, head: int, change: Any) -> Any:
    """The logits of a plain pass in which `change` acts on one head's vectors in layer 0."""
    shared = model.config.sizes.H // model.config.sizes.K
    number = head // shared if part.split(".")[0] in ("key", "value") else head

    def act(name: str, layer: int, at: int, position: int, vector: Any) -> Any:
        return change(vector) if (name, layer, at) == (part, 0, number) else vector

    return plain_forward(model, IDS, inside=act)[0]


@pytest.mark.parametrize("part", [*PARTS, "pattern"])
def test_what_a_head_works_with_is_silenced_and_scaled_as_in_a_plain_pass(part: str) -> None:
    model = open_model(str(FOLDER / "llama"))
    untouched = plain(model, part, 1, lambda vector: vector)
    for options, factor in (({"ablate": f"0.1.{part}"}, 0.0), ({"scale": f"0.1.{part}*-1.5"}, -1.5)):
        expected = plain(model, part, 1, lambda vector, factor=factor: factor * vector)
        assert_close(logits_of(model, IDS, **options), expected)
        assert np.abs(expected - untouched).max() > 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("part", PARTS)
def test_the_mean_and_another_text_s_vectors_stand_in_its_place(part: str) -> None:
    model, other = open_model(str(FOLDER / "llama")), [9, 10, 11, 12, 13]
    place = parse_place(model, f"0.1.{part}", "--ablate")
    ours, its = (np.asarray(values_at(model, ids, place.tap)) for ids in (IDS, other))
    for options, values in (
        ({"ablate_with": "mean"}, np.broadcast_to(ours.mean(axis=-2, keepdims=True), ours.shape)),
        ({"ablate_with": "resample", "ablate_from": other}, its),
    ):
        for name in (f"0.1.{part}", f"0.{part}"):
            index = (1 // place.sharing) if name.startswith("0.1") else slice(None)

            def act(array: Any, index: Any = index, values: Any = values) -> Any:
                changed = array.copy()
                changed[index] = values[index]
                return changed

            stream_TD = model.run(IDS, Acts({place.tap: act})).stream_TD
            assert_close(logits_of(model, IDS, ablate=name, **options), model.logits(stream_TD)[-1])


def test_a_mean_over_a_corpus_of_all_heads_is_each_head_s(tmp_path: Any) -> None:
    from tests.arguments.small_files import small_files

    folder = small_files(tmp_path)
    model = open_model(str(folder / "small.gguf"))
    given: dict[str, Any] = {"ablate_with": "mean", "corpus": folder / "corpus", "most": 30}
    heads = [f"0.{head}.query" for head in range(model.config.sizes.H)]
    found = logits_of(model, ids_of(model, "a b a H"), ablate="0.query", **given)
    assert_close(found, logits_of(model, ids_of(model, "a b a H"), ablate=heads, **given))


@pytest.mark.parametrize("place", ["3.2.value", "3.2.query.projected", "3.2", "3.attention"])
def test_a_direction_is_what_words_give_where_it_is_added(smollm2: Model, place: str) -> None:
    assert smollm2.tokenizer is not None and smollm2.tokenizer.bos_id is not None
    where = parse_place(smollm2, place, "--steer")
    front = [*smollm2.tokenizer.prefix_ids] or [smollm2.tokenizer.bos_id]
    ids = [[*front, *smollm2.tokenizer.encode_ids(word)] for word in (" love", " hate")]
    index = () if where.head is None else (where.head // where.sharing,)
    love, hate = (values_at(smollm2, each, where.tap)[*index][-1] for each in ids)

    def act(array: Any) -> Any:
        changed = array.copy()
        changed[*index] += 2 * (love - hate)
        return changed

    text = ids_of(smollm2, "The capital of France is")
    stream_TD = smollm2.run(text, Acts({where.tap: act})).stream_TD
    found = llminspect.forward("The capital of France is", smollm2, steer=f"love - hate@{place}*2", top=5)
    expected_V = smollm2.logits(stream_TD)[-1]
    assert found.next is not None and found.change is not None
    assert_close([token.logit for token in found.next], [expected_V[token.id] for token in found.next])
    usual = np.median(np.linalg.norm(values_at(smollm2, text, where.tap)[*index], axis=-1))
    made = found.change.experiments[0]
    assert made.length == pytest.approx(np.linalg.norm(2 * (love - hate)) / usual, rel=1e-4)
    assert made.heads == ([0, 1, 2] if place.endswith("value") else None)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("llama", {"ablate": "0.1.pattern", "ablate_with": "mean"}, "in a mean of patterns a query would look at"),
        ("llama", {"ablate": "0.1.values"}, "is not a part of the model"),
        ("llama", {"ablate": "0.stream"}, "is not a part of the model"),
        ("llama", {"scale": "0.1.cross*2"}, "has no attention to a source"),
        ("llama", {"steer": "a@0.1.query*2"}, "turned by its position"),
        ("llama", {"steer": "a@0.1.pattern*2"}, "no vector there"),
        ("llama", {"steer": "a@0.feedforward.2*2"}, "no vector there"),
        ("llama", {"steer": "a@0.value*2"}, "name the head"),
        ("t5", {"ablate": "0.1.cross.key"}, "made when it is read, before this pass"),
        ("t5", {"ablate": "0.1.cross.gate"}, "is not a part of the model"),
    ],
)
def test_what_cannot_be_changed_is_refused_by_name(name: str, options: dict[str, Any], words: str) -> None:
    target = [5, 6] if name == "t5" else None
    with pytest.raises(UsageError) as refused:
        llminspect.forward([5, 6, 7], str(FOLDER / name), target_ids=target, **options)
    assert words in str(refused.value)


SOURCE, OTHER, TARGET = [5, 6, 7, 4], [9, 10, 11, 12], [8, 9]
CROSSED = {
    "0.cross": ("layers.0.cross_attention.output", slice(None)),
    "0.1.cross": ("layers.0.cross_attention.mixed", 1),
    "1.0.cross.query": ("layers.1.cross_attention.query", 0),
    "0.1.cross.pattern": ("layers.0.cross_attention.weights", 1),
}


@pytest.mark.parametrize("family", ["t5", "marian"])
@pytest.mark.parametrize("place", CROSSED)
def test_the_attention_to_a_source_is_patched_and_silenced(family: str, place: str) -> None:
    from llminspect.analysis.prompt import with_source

    model, (tap, index) = open_model(str(FOLDER / family)), CROSSED[place]
    here, there = (with_source(model, ids) for ids in (SOURCE, OTHER))
    target = [model.config.start_id, *TARGET]  # type: ignore[attr-defined]
    values = values_at(there, target, tap)
    for options, put in (({"patch": OTHER, "into": place}, values), ({"ablate": place}, np.zeros_like(values))):

        def act(array: Any, put: Any = put) -> Any:
            changed = array.copy()
            changed[index] = put[index]
            return changed

        expected_V = here.logits(here.run(target, Acts({tap: act})).stream_TD)[-1]
        assert_close(logits_of(model, SOURCE, target_ids=TARGET, **options), expected_V)


def test_a_pattern_of_another_number_of_columns_is_refused() -> None:
    with pytest.raises(UsageError, match="a column for each token of the source"):
        llminspect.forward(SOURCE, str(FOLDER / "t5"), target_ids=TARGET, patch=[*OTHER, 13], into="0.1.cross.pattern")
