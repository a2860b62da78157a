"""Directions and labelled texts from files: what `--steer` and `--steer-from` add, and hostile files in one line."""

from __future__ import annotations

import io
import json
import random
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis import directions
from llminspect.analysis.directions import difference_of_texts, saved_direction
from llminspect.analysis.experiments import experiment_taps
from llminspect.analysis.text_streams import streams_of
from llminspect.arguments.directions import parse_examples, parse_saved
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.core.tap import Capture, Chain
from llminspect.errors import UserError
from llminspect.files.npz import write_npz
from llminspect.files.source import read_records
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.commands.test_probe import RECORDS, written

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.opened import Model
    from tests.conftest import Program


def test_steering_adds_the_saved_direction(called: Program, tmp_path: Path) -> None:
    model, file = open_model("smollm2"), str(tmp_path / "d.npz")
    directions_LKD = np.random.default_rng(0).normal(size=(2, 2, 576)).astype(np.float32)
    save(tmp_path / "d.npz", layers=np.array([4, 9]), directions=directions_LKD, classes=names("a", "b:c@1"))
    for text, expected in (
        ("@9*3", 3 * directions_LKD[1, 1]),
        (":a@4*-1", -directions_LKD[0, 0]),
        (":b:c@1@4", directions_LKD[0, 1]),
    ):
        parsed = parse_saved(file + text)
        assert parsed is not None
        assert_close(saved_direction(model, parsed), expected)
        taps, (done,) = experiment_taps(model, ExperimentOptions(steer=[file + text]), [504, 3575])
        before, after = Capture(f"layers.{parsed.layer}.output"), Capture(f"layers.{parsed.layer}.output")
        model.run([504, 3575], Chain([before, *taps, after]))
        name = f"layers.{parsed.layer}.output"
        assert_close(after[name] - before[name], np.tile(expected, (2, 1)), 1e-4)
        assert done.where == f"{parsed.layer}.stream"
    document = called("forward", "A cat", "--steer", f"{file}:a@4*2", "--json").json
    assert document["change"]["experiments"][0]["what"] == f"2 × {file}:a"


def test_steering_from_examples_adds_the_difference_of_the_means(called: Program, tmp_path: Path) -> None:
    model, texts = open_model("smollm2"), (["I love it.", "How good!"], ["I hate it.", "Bad", "How sad"])
    paths = [tmp_path / "good.txt", tmp_path / "bad.txt"]
    means = []
    for path, some in zip(paths, texts, strict=True):
        path.write_text("\n".join([*some, "", ""]))
        rows = []
        for text in some:
            kept = Capture("layers.7.output")
            model.run(model.tokenizer.encode_ids(text), kept)  # type: ignore[union-attr]
            rows.append(kept["layers.7.output"][-1])
        means.append(np.mean(rows, axis=0))
    given = (str(paths[0]), f"{paths[1]}@7*1.5")
    assert_close(difference_of_texts(model, parse_examples(given)), 1.5 * (means[0] - means[1]))
    both = called("forward", "It was", "--steer-from", *given, "--steer", "London@3*1", "--json").json
    kinds = [(done["where"], done["what"]) for done in both["change"]["experiments"]]
    assert kinds == [("3.stream", "London"), ("7.stream", f"1.5 × ({paths[0]} - {paths[1]})")]
    result = llminspect.forward("It was", model, steer_from=given)
    assert result.change is not None and result.change.kl > 0


def test_of_examples_the_direction_is_computed_once_for_all_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, texts, computed = open_model("smollm2"), ("It was", "She", "A film that is"), list[int]()
    (tmp_path / "good.txt").write_text("I love it.\nGood\n")
    (tmp_path / "bad.txt").write_text("Bad\n")
    given = (str(tmp_path / "good.txt"), f"{tmp_path / 'bad.txt'}@7*2")
    single = [llminspect.forward(text, model, steer_from=given).change for text in texts]

    def counted(model: Model, prompts: Any, *more: Any) -> Any:
        computed.append(len(prompts))
        return streams_of(model, prompts, *more)

    monkeypatch.setattr(directions, "streams_of", counted)
    found = llminspect.over("forward", [{"text": text} for text in texts], model, steer_from=given)
    assert computed == [2, 1]
    (kl,) = [place for place in found.places if place.measure == "KL in bits"]
    assert kl.mean == pytest.approx(np.mean([change.kl for change in single if change is not None]), rel=1e-3)


def names(*classes: str) -> np.ndarray:
    return np.frombuffer(json.dumps(classes).encode(), np.uint8)


def save(path: Path, **arrays: Any) -> Path:
    with path.open("wb") as file:
        write_npz(file, arrays)
    return path


WHOLE: Any = {"layers": np.array([4, 9]), "directions": np.ones((2, 2, 576), np.float32), "classes": names("a", "b")}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"directions": None}, "@4", "holds no directions"),
    ({"layers": np.array([4.0, 9.0])}, "@4", "do not belong together"),
    ({"layers": np.array([4])}, "@4", "do not belong together"),
    ({"directions": np.ones((2, 2, 64), np.float32)}, "@4", "directions of 64 numbers"),
    ({"directions": np.full((2, 2, 576), np.nan)}, "@4", "that is not finite"),
    ({"directions": np.ones((2, 2, 576), np.int64)}, "@4", "do not belong together"),
    ({"classes": names("a")}, "@4", "for other classes"),
    ({"classes": np.frombuffer(b'{"a": 1}', np.uint8)}, "@4", "no list of names"),
    ({"classes": np.frombuffer(b"[[[[", np.uint8)}, "@4", "is not understood"),
    ({"classes": None}, "@4", "for other classes"),
    ({"classes": names("a", "b", "c"), "directions": np.ones((2, 3, 576))}, "@4", "has 3 classes"),
    ({}, "@5", "no direction after layer 5"),
    ({}, "@30", "there is no layer 30"),
    ({}, ":c@4", "has no class 'c'"),
    ({}, "", "does not say @layer*factor"),
    ({}, "@4*x", "does not say @layer*factor"),
]


@pytest.mark.parametrize(("changed", "place", "message"), WRONG)
def test_a_file_of_directions_that_does_not_fit_is_refused_in_a_line(
    called: Program, tmp_path: Path, changed: dict[str, Any], place: str, message: str
) -> None:
    arrays = {name: array for name, array in {**WHOLE, **changed}.items() if array is not None}
    path = save(tmp_path / "d.npz", **arrays)
    ran = called("forward", "a", "--steer", f"{path}{place}")
    assert ran.code in (1, 2) and message in ran.err, ran.err
    assert len(ran.err.splitlines()) == 1


def test_nothing_is_unpickled_and_damage_is_one_line(tmp_path: Path) -> None:
    model, path = open_model("smollm2"), tmp_path / "d.npz"
    np.savez(path, layers=np.array([{}], dtype=object), directions=WHOLE["directions"])
    parsed = parse_saved(f"{path}@4")
    assert parsed is not None
    with pytest.raises(UserError, match="not an archive of arrays"):
        saved_direction(model, parsed)
    whole, draw = save(path, **WHOLE).read_bytes(), random.Random(3)
    for _ in range(300):
        data = bytearray(whole[: draw.choice([len(whole), draw.randrange(len(whole))])])
        for _ in range(draw.randrange(4)):
            if data:
                data[draw.choice([draw.randrange(len(data)), len(data) - 1 - draw.randrange(min(200, len(data)))])] = (
                    draw.randrange(256)
                )
        path.write_bytes(data)
        try:
            assert saved_direction(model, parsed).shape == (576,)
        except UserError as error:
            assert len(error.message.splitlines()) == 1
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("directions.npy", "w", force_zip64=True) as entry:
            for _ in range(520):
                entry.write(bytes(1 << 20))
        archive.writestr("layers.npy", b"")
    path.write_bytes(huge.getvalue())
    with pytest.raises(UserError, match=r"not an archive|more than 512 MB"):
        saved_direction(model, parsed)


HOSTILE: list[tuple[bytes, str]] = [
    (b"", "holds no records"),
    (b"\n \n", "holds no records"),
    (b"[1]", "line 0 (from 0): no JSON object"),
    (b'{"text": "a", "label": 1}\n{"text"', "line 1 (from 0): not JSON"),
    (b'{"text": "a", "text": "b", "label": 1}', "a key stands twice"),
    (b'{"text": "\xff", "label": 1}', "not UTF-8"),
    (b'{"label": 1}', "record 0 has no 'text'"),
    (b'{"text": "a"}', "record 0 has no 'label'"),
    (b'{"text": "", "label": 1}', "its text is empty, or not a text"),
    (b'{"text": 3, "label": 1}', "its text is empty, or not a text"),
    (b'{"text": "a", "label": [1]}', "its label is not a text, a number"),
    (b'{"text": "a", "label": NaN}', "its label is not a text, a number"),
    (b'{"text": "a", "label": 1e999}', "its label is not a text, a number"),
    (b'{"text": "a", "label": "' + b"x" * 300 + b'"}', "more than 200 characters"),
    (b'{"text": "a", "label": 1}\n{"text": "b", "label": "x"}', "some labels are numbers and others are not"),
    (b'{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}', "all texts have the label 'x'"),
    (b'{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}', "the class 'x' has one text"),
    (b"".join(b'{"text": "%d", "label": %d}\n' % (n, n) for n in range(3)), "too few"),
    (b"".join(b'{"text": "%d", "label": %s}\n' % (n, b"9" * (300 + n)) for n in range(5)), "is beyond"),
    (b"".join(b'{"text": "%d", "label": "%d"}\n' % (n, n) for n in range(101)), "101 classes are more than 100"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"text": "a", "label": ' + b"9" * 5000 + b"}", "line 0 (from 0): not readable: a number"),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE)
def test_a_file_that_holds_no_labelled_texts_is_refused_in_a_line(
    called: Program, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    ran = called("probe", str(path))
    assert ran.code == 1 and message in ran.err, ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no file is named"),
        (("/nowhere.jsonl",), "cannot read"),
        (("FILE", "--at", "30"), "there is no layer 30"),
        (("FILE", "--at", "x"), "--at cannot read 'x'"),
        (("FILE", "--labels", "numbers"), "'animal' is no number"),
        (("FILE", "--folds", "1"), "--folds"),
        (("FILE", "--save", "x.csv"), "--save cannot write"),
        (("FILE", "--model", "toy"), "toy"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    called: Program, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    path = written(tmp_path / "words.jsonl", RECORDS)
    ran = called("probe", *(path if word == "FILE" else word for word in arguments))
    assert ran.code in (1, 2) and message in ran.err, ran.err
    assert len(ran.err.splitlines()) == 1


def test_records_are_read_with_a_mark_and_either_end_of_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes('\ufeff{"text": "é"}\r\n\r\n{"at": 1}'.encode())
    assert read_records(path) == [{"text": "é"}, {"at": 1}]
    path.write_bytes('{"text": "é"}\n'.encode("utf-16"))
    assert read_records(path) == [{"text": "é"}]
