"""`verify`: a right model passes, and each kind of wrong number is found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.verify import verify
from llminspect.commands.verify import render
from llminspect.core.cache import Cache
from llminspect.errors import UserError
from llminspect.files.npz import read_arrays
from llminspect.model.params import Params
from llminspect.opening import describe_model, open_model
from tests.model.golden import NAMES, Golden

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.analysis import verify as _verify
    from llminspect.core.cache import Pass
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model
    from tests.conftest import Program

IDS = [0, 1, 2, 1]


def names(checks: list[_verify.VerifyCheck]) -> list[str]:
    return [check.name for check in checks]


def test_the_toys_agree_with_themselves() -> None:
    result, found = verify(open_model("toy"), IDS)
    assert result.passed
    assert names(result.checks) == ["float64", "cached"]
    assert [layer.name for layer in result.checks[0].layers] == ["embedding", "layers.0", "logits"]
    assert 0 < result.checks[0].relative < 1e-6
    assert found.hidden is not None
    assert found.hidden.shape == (2, 4, 2)
    np.testing.assert_allclose(found.hidden[1, 1], [2.0, 2.7], rtol=1e-6)


def test_a_model_that_sees_both_ways_has_no_cache_to_check() -> None:
    result, _ = verify(open_model("toy-attention"), [0, 1, 2, 3])
    assert names(result.checks) == ["float64"]
    assert [left.name for left in result.left_out] == ["cached", "streamed"]


def test_a_cache_that_forgets_is_found() -> None:
    model = open_model("toy-attention")
    causal = replace(model.config, causal=True)

    def forgetful(
        params: Params, config: Any, ids_T: Any, tap: Tap, cache: Cache | None = None, hidden_S: Any = None
    ) -> Pass:
        result = model.architecture.forward(params, config, ids_T, tap, cache, hidden_S)
        return replace(result, cache=Cache())

    right = replace(model, config=causal)
    wrong = replace(right, architecture=replace(model.architecture, forward=forgetful))
    assert verify(right, [0, 1, 2, 3])[0].passed
    result, _ = verify(wrong, [0, 1, 2, 3])
    assert [(check.name, check.passed) for check in result.checks] == [("float64", True), ("cached", False)]
    assert result.checks[1].relative > 0.01


def changed(model: Model, name: str, change: Any) -> Model:
    arrays = dict(model.params.arrays)
    arrays[name] = change(arrays[name].copy())
    return replace(model, params=Params(arrays))


def test_prepared_weights_that_differ_from_the_file_are_found() -> None:
    def one_number(array: Any) -> Any:
        array[0] += 0.1
        return array

    model = open_model("toy")
    assert verify(model, IDS, streamed=lambda: open_model("toy"))[0].passed
    damaged = changed(model, "layers.0.feedforward.bias", one_number)
    result, _ = verify(damaged, IDS, streamed=lambda: open_model("toy"))
    assert not result.passed
    assert {check.name: check.where for check in result.checks if not check.passed} == {"streamed": "layers.0"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_named(value: float) -> None:
    def break_one(array: Any) -> Any:
        array[0] = value
        return array

    result, _ = verify(changed(open_model("toy"), "layers.0.feedforward.bias", break_one), IDS)
    assert not result.passed
    assert result.not_finite == ["layers.0.feedforward.bias"]
    assert render(result) is not None


def test_record_and_compare(called: Program, tmp_path: Path) -> None:
    file = tmp_path / "toy.npz"
    made = called("verify", "toy", "--ids", "1,2", "--record", str(file), "--json")
    assert made.code == 0
    assert made.json["recorded"] == str(file)
    arrays = read_arrays(file, ["ids", "hidden", "logits"])
    assert arrays["ids"].tolist() == [1, 2]
    np.testing.assert_allclose(arrays["logits"][0], [0.74, 1.68, 2.62], rtol=1e-6)

    same = called("verify", "toy", "--against", str(file), "--json")
    assert same.code == 0
    assert same.json["ids"] == [1, 2]
    assert same.json["checks"][0]["relative"] == 0

    arrays["hidden"][1, 1, 0] += 1
    np.savez(file, **arrays)  # type: ignore[arg-type]
    other = called("verify", "toy", "--against", str(file), "--json")
    assert other.code == 4
    assert other.json["passed"] is False
    assert other.json["checks"][0]["where"] == "layers.0"
    assert len(other.err.splitlines()) == 1
    assert "layers.0" in other.err
    assert called("verify", "toy", "--against", str(file), "--bound", "10").code == 0
    shown = called("verify", "toy", "--against", str(file))
    assert shown.code == 4
    assert "DO NOT HOLD" in shown.out


@pytest.mark.parametrize(
    "content",
    [b"", b"not an archive", b"PK\x03\x04" + b"\0" * 40],
)
def test_what_is_no_recording(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.npz"
    file.write_bytes(content)
    with pytest.raises(UserError, match="not an archive"):
        read_arrays(file, ["ids"])


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "pickled.npz"
    np.savez(file, hidden=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="not an archive"):
        read_arrays(file, ["hidden"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["toy", "--ids", "3"], 2, "outside the vocabulary"),
        (["toy", "--record", "a.json"], 2, ".npz"),
        (["toy", "--against", "missing.npz"], 1, "cannot read"),
        (["no-such-model"], 3, "no model is called"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], code: int, words: str) -> None:
    ran = called("verify", *arguments)
    assert ran.code == code
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert words in ran.err


def test_a_recording_of_another_model(called: Program, tmp_path: Path) -> None:
    file = tmp_path / "other.npz"
    np.savez(file, ids=[0, 1], hidden=np.zeros((3, 2, 2)))
    ran = called("verify", "toy", "--against", str(file))
    assert ran.code == 2
    assert "[3, 2, 2]" in ran.err


# That of llama-dynamic is longer than the context, which is how its scaling shows.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "llama-dynamic"])
def test_every_family_agrees_with_itself_and_with_the_reference(called: Program, name: str, tmp_path: Path) -> None:
    """The recording here is the golden data, made by the reference implementation."""
    golden = Golden(name)
    itself = called("verify", str(golden.folder), "--json", "--record", str(tmp_path / "own.npz"))
    assert itself.code == 0, itself.err
    checks = [check["name"] for check in itself.json["checks"]]
    causal = describe_model(str(golden.folder)).config.causal
    assert checks == (["float64", "cached", "streamed"] if causal else ["float64", "streamed"])
    recorded = called("verify", str(golden.folder), "--json", "--against", str(golden.folder / "expected.npz"))
    assert recorded.code == 0, recorded.err
    compared = {layer["name"] for layer in recorded.json["checks"][0]["layers"]}
    assert "layers.1" in compared
    assert ("logits" in compared) == ("logits" in golden.expected)
    assert ("encoder.layers.1" in compared) == golden.has_source

    arrays = {**read_arrays(tmp_path / "own.npz", ["ids", "hidden", "logits", "source_ids", "encoder_hidden"])}
    changed_name = "encoder_hidden" if golden.has_source else "hidden"
    arrays[changed_name][-1] += 0.1
    np.savez(tmp_path / "wrong.npz", **arrays)  # type: ignore[arg-type]
    wrong = called("verify", str(golden.folder), "--json", "--against", str(tmp_path / "wrong.npz"))
    assert wrong.code == 4
    assert wrong.json["checks"][0]["where"].startswith("encoder.layers." if golden.has_source else "layers.")
    assert called("verify", str(golden.folder), "--against", str(tmp_path / "own.npz"), "--json").code == 0
