"""`diff` of two models: their weights against numpy on the files' own arrays, tokens and heads against plain passes."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import llminspect
from llminspect.analysis import head_changes, token_changes, weight_changes
from llminspect.analysis.diff import diff
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.core.attention_measures import habit, measure_all
from llminspect.core.tap import Capture
from llminspect.errors import ModelError, UsageError
from llminspect.opening import open_model
from tests.arguments.small_files import small_files
from tests.closeness import assert_close
from tests.model import gguf_of
from tests.model.golden import FOLDER, Golden
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.conftest import Program

LLAMA, ADAPTER = str(FOLDER / "llama"), str(FOLDER / "adapters" / "llama")
IDS = [5, 6, 7, 8, 9, 5, 6, 7, 30, 31, 5, 6]


@pytest.fixture(scope="module")
def tuned() -> Model:
    return open_model(LLAMA, adapter=ADAPTER)


def weights_of(a: Any, b: Any) -> weight_changes.WeightChanges:
    found = llminspect.diff_models(a, b, weights=True).weights
    assert found is not None
    return found


def by_hand(a: Array, b: Array) -> float:
    return float(np.sqrt(((b.astype(float) - a) ** 2).sum() / (a.astype(float) ** 2).sum()))


def test_weights_are_compared_as_numpy_does_on_the_merged_arrays(tuned: Model) -> None:
    base = open_model(LLAMA)
    found = weights_of(base, tuned)
    assert not found.left_out and [tensor.name for tensor in found.tensors] == list(base.params.arrays)
    before, change = dict[Any, float](), dict[Any, float]()
    for tensor in found.tensors:
        a, b = (np.asarray(model.params[tensor.name]) for model in (base, tuned))
        assert tensor.relative == pytest.approx(by_hand(a, b), rel=1e-6, abs=1e-12), tensor.name
        for key in ("all", tensor.part, tensor.layer):
            before[key] = before.get(key, 0) + float((a.astype(float) ** 2).sum())
            change[key] = change.get(key, 0) + float(((b.astype(float) - a) ** 2).sum())
    assert found.relative == pytest.approx(math.sqrt(change["all"] / before["all"]))
    for part in found.parts:
        assert part.relative == pytest.approx(math.sqrt(change[part.part] / before[part.part]))
    for layer in found.layers:
        assert layer.relative == pytest.approx(math.sqrt(change[layer.layer] / before[layer.layer]))
    assert found.same == sum(tensor.relative == 0 for tensor in found.tensors) > 0


@pytest.mark.parametrize("rows", [1, 7, 1 << 20])
def test_some_rows_at_a_time_are_the_same(rows: int, tuned: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = weights_of(LLAMA, tuned)
    monkeypatch.setattr(weight_changes, "NUMBERS", rows)
    parts = weights_of(LLAMA, tuned)
    assert_close([tensor.relative for tensor in parts.tensors], [tensor.relative for tensor in whole.tensors], 1e-12)


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3", "gemma2", "mixtral"])
def test_a_gguf_file_of_the_same_weights_is_the_same_model(name: str, tmp_path: Path) -> None:
    """Fused tensors, turned rows, norms with another origin: compared by the parts of the model."""
    gguf_of.write(Golden(name), tmp_path / "m.gguf")
    found = weights_of(str(FOLDER / name), str(tmp_path / "m.gguf"))
    assert not found.left_out and found.relative < 1e-6
    assert max(tensor.relative for tensor in found.tensors) < 1e-6


def changed_copy(folder: Path, **more: Any) -> str:
    """The golden llama in another folder, with other settings and without what `change` takes away."""
    change = more.pop("change", lambda arrays: arrays)
    folder.mkdir()
    config = json.loads((FOLDER / "llama" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **more}))
    save_file(change(load_file(FOLDER / "llama" / "model.safetensors")), folder / "model.safetensors")
    return str(folder)


def test_a_tied_head_is_compared_with_an_output_matrix(tmp_path: Path) -> None:
    tied = changed_copy(
        tmp_path / "tied",
        tie_word_embeddings=True,
        change=lambda arrays: {k: v for k, v in arrays.items() if k != "lm_head.weight"},
    )
    found = weights_of(LLAMA, tied)
    assert not found.left_out
    arrays = load_file(FOLDER / "llama" / "model.safetensors")
    expected = by_hand(arrays["lm_head.weight"], arrays["model.embed_tokens.weight"])
    moved = {tensor.name: tensor.relative for tensor in found.tensors if tensor.relative}
    assert moved == {"unembedding.weight": pytest.approx(expected, rel=1e-6)}


def test_other_shapes_are_named_and_the_rest_is_compared(tmp_path: Path, called: Program) -> None:
    longer = changed_copy(
        tmp_path / "longer",
        vocab_size=133,
        change=lambda arrays: {
            name: np.concatenate([array, array[:2]]) if array.shape[0] == 131 and array.ndim == 2 else array
            for name, array in arrays.items()
        },
    )
    document = called("diff", "--model", LLAMA, "--against-model", longer, "--weights", "--json").json
    left = {array["name"]: (array["shape_a"], array["shape_b"]) for array in document["weights"]["left_out"]}
    assert set(left) == {"embedding.weight", "unembedding.weight"} and left["embedding.weight"][1][0] == 133
    assert document["weights"]["relative"] == 0
    drawn = called("diff", "--model", LLAMA, "--against-model", longer, "--weights", COLUMNS="100").out
    assert "Not compared, of different shapes: embedding.weight (131 × " in drawn
    assert "‖ = 0 over" in drawn and f"; {document['weights']['same']} tensors the same to the last" in drawn


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    def broken(arrays: dict[str, Array]) -> dict[str, Array]:
        arrays["model.layers.1.mlp.up_proj.weight"][3, 4] = np.nan
        return arrays

    with pytest.raises(ModelError, match=r"layers\.1\.feedforward\.up\.weight"):
        llminspect.diff_models(LLAMA, changed_copy(tmp_path / "nan", change=broken), weights=True)


def logs_of(model: Model, ids: list[int]) -> Array:
    """ln p in float64, straight from the definition."""
    logits = model.logits(model.run(ids).stream_TD).astype(float)
    shifted = logits - logits.max(-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs


def test_a_text_token_by_token_as_by_the_definition(tuned: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_changes, "ROWS_AT_ONCE", 5)
    base = open_model(LLAMA)
    found = diff(base, tuned, None, 4, prompt_of_ids(IDS, None, None)).token_changes
    a, b = logs_of(base, IDS), logs_of(tuned, IDS)
    kl = [
        sum(math.exp(p) * (p - q) for p, q in zip(x, y, strict=True)) / math.log(2) for x, y in zip(a, b, strict=True)
    ]
    back = [
        sum(math.exp(q) * (q - p) for p, q in zip(x, y, strict=True)) / math.log(2) for x, y in zip(a, b, strict=True)
    ]
    assert found is not None and found.kls is not None
    assert_close(found.kls, kl)
    assert_close(
        [found.mean, found.std, found.median, found.largest, found.reverse],
        [np.mean(kl), np.std(kl, ddof=1), np.median(kl), max(kl), np.mean(back)],
    )
    assert math.isnan(found.low) and math.isnan(found.high)
    assert found.same_first == np.mean(a.argmax(-1) == b.argmax(-1))
    for bits, logs in ((found.bits_a, a), (found.bits_b, b)):
        assert bits == pytest.approx(
            -np.mean([logs[at, IDS[at + 1]] for at in range(len(IDS) - 1)]) / math.log(2), rel=1e-5
        )
    order = sorted(range(len(IDS)), key=lambda at: -kl[at])[:4]
    assert [place.index for place in found.places] == order
    best, at = found.places[0], order[0]
    assert (best.expected_a.id, best.expected_b.id) == (a[at].argmax(), b[at].argmax())
    assert_close([best.expected_a.prob_a, best.expected_a.prob_b], np.exp([a[at].max(), b[at][a[at].argmax()]]))


@pytest.mark.parametrize("largest", [1, 1 << 26])
def test_heads_as_by_the_definition(largest: int, tuned: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_changes, "LARGEST", largest)
    base = open_model(LLAMA)
    found = diff(base, tuned, None, 99, prompt_of_ids(IDS, None, None)).head_changes
    assert found is not None
    patterns = [Capture("layers.*.attention.weights") for _ in "ab"]
    for model, capture in zip((base, tuned), patterns, strict=True):
        model.run(IDS, capture)
    for head in found.heads:
        a, b = (capture[f"layers.{head.layer}.attention.weights"][head.head].astype(float) for capture in patterns)
        rows = [sum(abs(x - y) for x, y in zip(a[t], b[t], strict=True)) / 2 for t in range(1, len(IDS))]
        assert head.moved == pytest.approx(np.mean(rows), rel=1e-5)
        assert found.moved[head.layer, head.head] == head.moved
        measured = [{k: float(v) for k, v in measure_all(w, np.array(IDS), True).items()} for w in (a, b)]
        assert [habit(values) for values in measured] == [head.habit_a, head.habit_b]
        assert [found.habits_a[head.layer][head.head], found.habits_b[head.layer][head.head]] == [
            head.habit_a,
            head.habit_b,
        ]
        for entry in head.measures:
            x, y = (values[entry.measure] for values in measured)
            assert_close([entry.a, entry.b, entry.change], [x, y, y - x], 1e-4)
    assert len(found.heads) == found.moved.size and [h.moved for h in found.heads] == sorted(
        (h.moved for h in found.heads), reverse=True
    )
    assert found.changed == sum(head.habit_a != head.habit_b for head in found.heads)


@pytest.fixture
def small(tmp_path: Path) -> tuple[str, str, str]:
    """Two small models with one tokenizer, and a corpus."""
    folder = small_files(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    data = bytearray((folder / "small.gguf").read_bytes())
    shutil.copy(folder / "small.gguf", other / "small.gguf")
    tail = np.frombuffer(bytes(data[-4000:]), "<f4") * np.float32(1.3)
    data[-4000:] = tail.astype("<f4").tobytes()
    (other / "small.gguf").write_bytes(bytes(data))
    return str(folder / "small.gguf"), str(other / "small.gguf"), str(folder / "corpus")


def test_a_corpus_is_the_sum_of_its_pieces(small: tuple[str, str, str]) -> None:
    a, b = (open_model(name) for name in small[:2])
    found = llminspect.diff_models(a, b, corpus=small[2], length=8, most=40, top=3)
    tokens, heads = found.token_changes, found.head_changes
    assert found.read is not None and tokens is not None and heads is not None and tokens.kls is None
    assert a.tokenizer is not None
    ids = a.tokenizer.encode_ids(Path(small[2]).read_text())
    front = list(a.tokenizer.prefix_ids)
    room = 8 - len(front)
    pieces = [[*front, *ids[start : start + room]] for start in range(0, 40, room)]
    pieces[-1] = pieces[-1][: len(front) + 40 - room * (len(pieces) - 1)]
    alone = [diff(a, b, None, 3, prompt_of_ids(piece, a.tokenizer, None)) for piece in pieces]
    kls = [piece.token_changes.kls[len(front) :] for piece in alone]  # type: ignore[union-attr, index]
    assert tokens.count == sum(map(len, kls)) == 40 and found.read.pieces == len(pieces)
    every = [kl for piece in kls for kl in piece]
    assert_close([tokens.mean, tokens.largest], [np.mean(every), max(every)])
    assert [place.kl for place in tokens.places] == pytest.approx(sorted(every, reverse=True)[:3], rel=1e-5)
    assert tokens.low < tokens.mean < tokens.high
    moved = np.stack([piece.head_changes.moved for piece in alone])  # type: ignore[union-attr]
    assert_close(heads.moved, moved.mean(axis=0))
    best = heads.heads[0]
    assert best.std == pytest.approx(moved[:, best.layer, best.head].std(ddof=1), rel=1e-5)


def test_a_model_beside_itself_moves_nowhere(called: Program, small: tuple[str, str, str]) -> None:
    given = (
        "diff",
        "--model",
        small[0],
        "--against-model",
        small[0],
        "--weights",
        "--corpus",
        small[2],
        "--length",
        "8",
    )
    document = called(*given, "--json").json
    assert_fits(document, "diff")
    assert document["weights"]["relative"] == document["token_changes"]["largest"] == 0
    assert document["token_changes"]["same_first"] == 1 and document["head_changes"]["changed"] == 0
    assert not np.any(document["head_changes"]["moved"])
    assert called(*given, COLUMNS="80").code == 0


@pytest.mark.parametrize("width", ["60", "80", "160"])
def test_two_models_are_drawn(called: Program, small: tuple[str, str, str], width: str) -> None:
    given = ("diff", "--model", small[0], "--against-model", small[1], "--top", "2")
    ran = called(*given, "--weights", "--corpus", small[2], "--length", "8", COLUMNS=width)
    assert ran.code == 0 and max(map(len, ran.out.splitlines())) <= int(width)
    for words in (
        "Where the weights are apart",
        "‖ ‖: the root of the sum of the squares",
        "KL(a ‖ b)",
        "95%",
        "Where they are furthest apart",
        "Which heads look",
    ):
        assert words in ran.out
    text = called(*given, "a b a H b", COLUMNS=width)
    assert text.code == 0 and "KL(a ‖ b) after the token" in " ".join(text.out.split())


def test_an_adapter_makes_the_second_model(called: Program) -> None:
    given = ("diff", "--model", LLAMA, "--ids", "5,6,7", "--against-adapter", ADAPTER, "--json")
    document = called(*given).json
    assert document["token_changes"]["mean"] > 0.1 and document["head_changes"]["heads"]
    assert document["provenance"]["against"]["adapter"]["name"] == ADAPTER and "adapter" not in document["provenance"]
    turned = called(
        "diff", "--model", LLAMA, "--ids", "5,6,7", "--adapter", ADAPTER, "--against-model", LLAMA, "--json"
    ).json
    assert turned["token_changes"]["reverse"] == pytest.approx(document["token_changes"]["mean"], rel=1e-4)
    sides = called("diff", "--model", LLAMA, "--against-adapter", ADAPTER, "--weights", "--json").json
    assert sides["a"] == {"model": LLAMA} and sides["b"] == {"model": LLAMA, "adapter": ADAPTER}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights"], "nothing to compare with"),
        (["--weights", "--against", "b"], "--weights has no effect without --against-model or --against-adapter"),
        (["b", "--weights", "--against-model", "toy"], "--weights and TEXT do not go together"),
        (["--ids", "1", "--corpus", "README.md", "--against-model", "toy"], "--corpus and --ids do not go together"),
        (["b", "--against-model", "toy", "--most", "5"], "--most has no effect without --corpus"),
        (["--corpus", "README.md", "--against-model", "toy"], "have other vocabularies"),
        (["--corpus", "README.md", "--against-model", "minilm"], "does not say after each token"),
        (["--weights", "--model", "toy", "--against-model", "smollm2"], "has the same name and shape"),
    ],
    ids=str,
)
def test_what_says_nothing_is_refused_in_a_line(called: Program, arguments: list[str], message: str) -> None:
    ran = called("diff", *arguments, "--quiet")
    assert ran.code == 2 and message in ran.err and len(ran.err.splitlines()) == 1


def test_python_wants_something_to_compare() -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        llminspect.diff_models("toy", "toy")
