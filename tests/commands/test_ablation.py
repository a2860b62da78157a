"""`--ablate-with mean --corpus` and `--ablate-with resample`: against plain passes, head by head."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis.ablation import Instead, hash_of_weights
from llminspect.errors import UsageError, UserError
from llminspect.files.npz import write_npz
from tests.arguments.small_files import small_files
from tests.closeness import assert_close
from tests.commands.plain_llama import plain_forward
from tests.model.golden import FOLDER
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.opened import Model
    from tests.conftest import Program

TEXT, OTHER = "a b a H", "b b H a H"
PLACES = ["0.1", "1.feedforward", "1.attention"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("ablation"))


@pytest.fixture(scope="module")
def small(folder: Path) -> Model:
    return llminspect.open_model(str(folder / "small.gguf"))


def logits_of(model: Model, text: Any = TEXT, **options: Any) -> Any:
    found = llminspect.forward(text, model, top=1 << 20, **options)
    assert found.next is not None
    return np.array([token.logit for token in sorted(found.next, key=lambda token: token.id)])


class Plain:
    """What each part gives at each position of the plain passes so far; and what is put in its place."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, int], dict[str, Any]] = {}
        self.text = 0

    def keep(self, model: Model, ids: list[int]) -> None:
        def head(layer: int, head: int, position: int, vector: Any) -> Any:
            self.seen.setdefault((f"{layer}.{head}", position), {})[str(self.text)] = vector
            return vector

        def added(step: str, layer: int, position: int, vector: Any) -> Any:
            self.seen.setdefault((f"{layer}.{step}", position), {})[str(self.text)] = vector
            return vector

        plain_forward(model, ids, head=head, added=added)
        self.text += 1

    def logits(self, model: Model, ids: list[int], place: str, value: Any) -> Any:
        """With `value(position)` in the place of a part."""

        def head(layer: int, head: int, position: int, vector: Any) -> Any:
            return value(position) if f"{layer}.{head}" == place else vector

        def added(step: str, layer: int, position: int, vector: Any) -> Any:
            return value(position) if f"{layer}.{step}" == place else vector

        return plain_forward(model, ids, head=head, added=added)[0]


def ids_of(model: Model, text: str) -> list[int]:
    assert model.tokenizer is not None
    return [token.id for token in model.tokenizer.wrap(model.tokenizer.encode(text))]


@pytest.mark.parametrize("place", PLACES)
def test_the_mean_over_a_corpus_is_that_of_plain_passes(folder: Path, small: Model, place: str) -> None:
    tokenizer = small.tokenizer
    assert tokenizer is not None
    ids = tokenizer.encode_ids((folder / "corpus").read_text())
    front, plain, vectors = list(tokenizer.prefix_ids), Plain(), []
    room = 9 - len(front)
    pieces = [ids[at : at + room] for at in range(0, 30, room)]
    pieces[-1] = pieces[-1][: 30 - room * (len(pieces) - 1)]  # 30 tokens in all.
    for piece in pieces:
        plain.keep(small, [*front, *piece])
    for (part, position), seen in plain.seen.items():
        vectors += [*seen.values()] if part == place and position >= len(front) else []
    assert len(vectors) == 30
    mean = np.mean(vectors, axis=0)
    options: dict[str, Any] = {"ablate": place, "ablate_with": "mean"}
    found = logits_of(small, **options, corpus=folder / "corpus", most=30, length=9)
    assert_close(found, plain.logits(small, ids_of(small, TEXT), place, lambda position: mean))
    of_the_text = logits_of(small, **options)
    assert np.abs(found - of_the_text).max() > 1e-3 * np.abs(found).max(), "which is another mean"


def test_a_mean_that_was_saved_serves_again(called: Program, folder: Path, small: Model, tmp_path: Path) -> None:
    saved, model = tmp_path / "means.npz", str(folder / "small.gguf")
    given = ["--ablate", "0.1,1.feedforward.3", "--ablate-with", "mean", "--model", model]
    corpus = ["--corpus", str(folder / "corpus"), "--most", "40"]
    first = called("forward", TEXT, *given, *corpus, "--json").json
    called("forward", TEXT, *given, *corpus, "--save", str(saved))
    second = called("forward", TEXT, *given, "--corpus", str(saved), "--json").json
    assert first["next"] == second["next"] and first["change"] == second["change"]
    assert_fits(first, "forward")
    assert [made["read"] for made in first["change"]["experiments"]] == [
        {"path": corpus[1], "files": 1, "pieces": 1, "tokens": 40, "whole": False, "skipped": 0}
    ] * 2
    drawn = called("forward", TEXT, *given, *corpus).out
    assert "every position gives the mean over 1 piece of 1 file; there is more (--most)" in drawn
    other = tmp_path / "other.gguf"  # With the same shapes.
    other.write_bytes((folder / "small.gguf").read_bytes() + bytes(32))
    refused = called("forward", TEXT, *given[:-1], str(other), "--corpus", str(saved))
    assert refused.code == 1 and "holds the means of another model" in refused.err
    refused = called("forward", TEXT, *given, "--corpus", str(saved), "--most", "9")
    assert refused.code == 2 and "--corpus names its means" in refused.err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ablate_0.2": np.zeros(4, np.float32)}, "has no mean of 0.1"),
        ({"ablate_0.1": np.zeros(3, np.float32)}, "its mean of 0.1 is not"),
        ({"ablate_0.1": np.full(8, np.nan, np.float32)}, "its mean of 0.1 is not"),
        ({"ablate_read": np.frombuffer(b"{}", np.uint8)}, "does not say what its means are of"),
        ({"ablate_read": np.frombuffer(b"[1", np.uint8)}, ""),
        ({"ablate_read": None}, "does not say what its means are of"),
        ({"ablate_model": None}, "does not say which model its means are of"),
        ({"ablate_model": np.frombuffer(b"0" * 64, np.uint8)}, "holds the means of another model"),
    ],
)
def test_a_file_that_holds_no_such_means_is_refused(small: Model, tmp_path: Path, arrays: Any, message: str) -> None:
    path = tmp_path / "means.npz"
    read = {"path": "c", "files": 1, "pieces": 1, "tokens": 9, "whole": True, "skipped": 0}
    of = np.frombuffer(hash_of_weights(small).encode(), np.uint8)
    good = {"ablate_0.1": np.zeros(small.config.sizes.E, np.float32), "ablate_read": _bytes(read), "ablate_model": of}
    whole = {name: array for name, array in {**good, **arrays}.items() if array is not None}
    if "ablate_0.2" in arrays:
        whole.pop("ablate_0.1")
    with path.open("wb") as file:
        write_npz(file, whole)
    with pytest.raises(UserError) as refused:
        llminspect.forward(TEXT, small, ablate="0.1", ablate_with="mean", corpus=path)
    assert message in str(refused.value)


def _bytes(document: Any) -> Any:
    return np.frombuffer(json.dumps(document).encode(), np.uint8)


@pytest.mark.parametrize("place", PLACES)
def test_resampling_takes_from_the_same_positions_of_another_text(small: Model, place: str) -> None:
    plain, ids, other = Plain(), ids_of(small, TEXT), ids_of(small, OTHER)
    assert len(other) > len(ids)
    plain.keep(small, other[: len(ids)])
    expected = plain.logits(small, ids, place, lambda position: plain.seen[place, position]["0"])
    found = logits_of(small, ablate=place, ablate_with="resample", ablate_from=OTHER)
    assert_close(found, expected)
    assert np.abs(found - logits_of(small)).max() > 1e-3 * np.abs(found).max()


def test_a_text_that_is_drawn_stands_in_the_corpus_and_serves_as_one_that_is_given(folder: Path, small: Model) -> None:
    tokenizer = small.tokenizer
    assert tokenizer is not None
    corpus, drawn = tokenizer.encode_ids((folder / "corpus").read_text()), set()
    for seed in range(6):
        options: dict[str, Any] = {"ablate": "0.1", "ablate_with": "resample"}
        from_corpus = {"corpus": folder / "corpus", "ablate_seed": seed}
        change = llminspect.forward(TEXT, small, **options, **from_corpus).change
        assert change is not None
        taken = change.experiments[0].taken_from
        assert taken is not None and taken.start is not None and taken.path == str(folder / "corpus")
        front = len(tokenizer.prefix_ids)
        assert taken.ids == [*tokenizer.prefix_ids, *corpus[taken.start : taken.start + len(taken.ids) - front]]
        assert len(taken.ids) == len(ids_of(small, TEXT))
        given = logits_of(small, **options, ablate_from=taken.ids)
        np.testing.assert_array_equal(logits_of(small, **options, **from_corpus), given)
        drawn.add(taken.start)
    assert len(drawn) > 2


def test_every_stretch_of_a_corpus_is_as_probable_as_any_other() -> None:
    """Two of 3 tokens in the one file, three in the other; none in a third, which is too short."""
    instead = Instead({}, texts=[("a", [1, 2, 3, 4]), ("c", [9]), ("b", [5, 6, 7, 8, 9])], front=[0], back=[99])
    found = Counter(tuple(instead.other_text([0, 1, 2, draw, 99]).ids) for draw in range(1000))
    stretches = [(1, 2, 3), (2, 3, 4), (5, 6, 7), (6, 7, 8), (7, 8, 9)]
    assert found.keys() == {(0, *stretch, 99) for stretch in stretches}
    assert all(150 < count < 250 for count in found.values())
    assert len(instead.other_text([5, 1, 2, 3]).ids) == 4, "what is not around the text is not put around the other"
    with pytest.raises(UsageError, match="has no file of 6 tokens"):
        instead.other_text([1, 2, 3, 4, 5, 6])


def test_each_of_many_texts_has_a_draw_of_its_own_and_the_same_numbers_as_alone(folder: Path, small: Model) -> None:
    records = [{"text": text} for text in (TEXT, "b b a H", "H a b H")]
    for options in ({"ablate_with": "resample"}, {"ablate_with": "mean", "most": 40}):
        given: dict[str, Any] = {"ablate": "0.1", "corpus": folder / "corpus", **options}
        alone = [llminspect.forward(record["text"], small, **given).change for record in records]
        over = next(place for place in llminspect.over("forward", records, small, **given).places)
        assert over.measure == "KL in bits"
        assert_close(over.mean, np.mean([change.kl for change in alone if change is not None]), 1e-4)
        taken = [change.experiments[0].taken_from for change in alone if change is not None]
        assert len({draw.start for draw in taken if draw is not None}) == (0 if options["ablate_with"] == "mean" else 3)


def test_what_a_changed_model_attends_to(folder: Path, small: Model) -> None:
    """A head of layer 1 without one of layer 0: as in a pass that is changed by hand."""
    for options in ({"ablate_with": "mean", "most": 40}, {"ablate_with": "resample"}):
        given: dict[str, Any] = {"ablate": "0.1", "corpus": folder / "corpus", **options}
        found = llminspect.attend(TEXT, small, layer=1, head=0, **given)
        kept = llminspect.forward(TEXT, small, **given).change
        assert found.experiments == (None if kept is None else kept.experiments)
        plain = llminspect.attend(TEXT, small, layer=1, head=0)
        assert np.abs(found.heads[0].weights - plain.heads[0].weights).max() > 1e-4
        query = llminspect.attend(TEXT, small, layer=1, head=0, query=3, **given).query
        assert query is not None
        assert_close(query.weights, found.heads[0].weights[3])


def test_what_is_written_with_a_mean_is_what_passes_without_a_cache_give(folder: Path, small: Model) -> None:
    given: dict[str, Any] = {"ablate": "0.feedforward", "ablate_with": "mean", "corpus": folder / "corpus", "most": 40}
    written = llminspect.generate(TEXT, small, max_tokens=3, ignore_eos=True, **given)
    ids = ids_of(small, TEXT)
    for token in written.ids:
        assert token == int(np.argmax(logits_of(small, ids, **given)))
        ids.append(token)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ablate_with": "resample"}, "needs a text to take from"),
        ({"ablate_with": "mean", "ablate_from": "b"}, "--ablate-from has no effect without --ablate-with resample"),
        ({"corpus": "CORPUS"}, "--corpus has no effect without --ablate-with mean or --ablate-with resample"),
        ({"ablate_with": "mean", "most": 3}, "--most has no effect without --corpus"),
        ({"ablate_with": "mean", "corpus": "CORPUS", "ablate_seed": 3}, "--ablate-seed has no effect without"),
        ({"ablate_with": "resample", "corpus": "CORPUS", "length": 9}, "--length and --ablate-with resample do not go"),
        ({"ablate_with": "resample", "corpus": "CORPUS", "ablate_from": "b"}, "--ablate-from and --corpus do not go"),
        ({"ablate_with": "resample", "ablate_from": "b"}, "--ablate-from has 2 tokens, and the text 5"),
        ({"ablate_with": "resample", "ablate_from": "b", "surprise": True}, "takes the positions of one text"),
        ({"ablate_with": "resample", "ablate_from": "b", "score": ["b"]}, "takes the positions of one text"),
        ({"ablate_with": "resample", "corpus": "CORPUS", "most": 2}, "--corpus has no file of 4 tokens"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, small: Model, options: dict[str, Any], message: str) -> None:
    given = {name: folder / "corpus" if value == "CORPUS" else value for name, value in options.items()}
    with pytest.raises(UsageError) as refused:
        llminspect.forward(TEXT, small, ablate="0.1", **given)
    assert message in str(refused.value)


def test_what_reads_two_texts_or_none_is_refused(folder: Path, small: Model) -> None:
    given: dict[str, Any] = {"ablate": "0.1", "ablate_with": "mean", "corpus": folder / "corpus"}
    with pytest.raises(UsageError, match="reads a source and a target"):
        llminspect.forward([5, 6], str(FOLDER / "t5"), target_ids=[5], **given)
    with pytest.raises(UsageError, match="comes without a tokenizer"):
        llminspect.forward([5, 6], str(FOLDER / "llama"), **given)
    with pytest.raises(UsageError, match="generate writes on"):
        llminspect.generate(TEXT, small, ablate="0.1", ablate_with="resample", ablate_from=OTHER)


@pytest.mark.parametrize("options", [{"engine": "jax"}, {"kernels": "none"}])
def test_whatever_computes_it_it_is_the_same(folder: Path, small: Model, options: dict[str, Any]) -> None:
    if "engine" in options:
        pytest.importorskip("jax")
    other = llminspect.open_model(str(folder / "small.gguf"), **options)
    corpus: dict[str, Any] = {"ablate": "0.1,1.feedforward", "corpus": folder / "corpus"}
    for given in (
        {**corpus, "ablate_with": "mean", "most": 40, "length": 9},
        {**corpus, "ablate_with": "resample"},
        {"patch": OTHER, "into": ["0.1.key", "1.query.projected"], "align": "end"},
        {"patch": "b b H a", "into": "0.pattern"},
    ):
        assert_close(logits_of(other, **given), logits_of(small, **given))


def test_the_picture_says_where_what_stands_there_comes_from(called: Program, folder: Path) -> None:
    given = ("forward", TEXT, "--ablate", "0.1", "--ablate-with", "resample", "--model", str(folder / "small.gguf"))
    ran = called(*given, "--corpus", str(folder / "corpus"), "--ablate-seed", "1")
    assert "each position gives what the same position of that text gives" in ran.out and "from its token" in ran.out
    document = called(*given, "--ablate-from", OTHER, "--json").json
    assert_fits(document, "forward")
    (made,) = document["change"]["experiments"]
    assert made["what"] == "resample: “<s>b b H a”" and len(made["taken_from"]["ids"]) == 5
