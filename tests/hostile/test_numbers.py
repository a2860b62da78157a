"""Numbers at the edge: what is no number is reported by the tensor's name, and what is rare is computed as always."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core.attention import softmax
from tests.fuzz.samples import llama, vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

    Changes = dict[str, dict[int, float]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMINSPECT_HOME", str(tmp_path / "cache"))


def model(folder: Path, changes: Changes, words: list[str] | None = None) -> str:
    """A llama of two layers with some numbers of its tensors changed; `words` is the whole vocabulary."""
    keys = vocabulary("llama")
    if words is not None:
        kinds = [("i", 1) for _ in words]
        short: dict[str, Any] = {"tokens": words, "token_type": kinds, "scores": [0.0 for _ in words]}
        keys = [(key, short.get(str(key).rpartition(".")[2], value)) for key, value in keys]
        keys = [(key, value) for key, value in keys if "_token_id" not in str(key) and "add_bos" not in str(key)]
    file = llama(keys, len(dict(keys)["tokenizer.ggml.tokens"]), layers=2)
    for tensor in file.tensors:
        data = bytearray(tensor.data)
        for index, number in changes.get(str(tensor.name), {}).items():
            struct.pack_into("<f", data, 4 * index, number)
        tensor.data = bytes(data)
    path = folder / "model.gguf"
    path.write_bytes(file.build())
    return str(path)


RUNS = [["forward"], ["attend"], ["embed"], ["generate"], ["generate", "--stream"], ["forward", "--json"], ["walk"]]


@pytest.mark.parametrize("arguments", RUNS, ids=" ".join)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_named(
    arguments: list[str], number: float, tmp_path: Path, called: Program
) -> None:
    path = model(tmp_path, {"blk.1.ffn_up.weight": {10: number}, "blk.0.attn_k.weight": {0: number}})
    for _ in range(2):  # While preparing, and from the cache.
        ran = called(*arguments, "Hello", "--model", path)
        assert ran.code == 3
        assert "NaN or infinity: layers.0.attention.key.weight, layers.1.feedforward.up.weight" in ran.err
        assert "Traceback" not in ran.err + ran.out
        assert ("error" in ran.json) if "--json" in arguments else not ran.out


def test_verify_shows_how_far_they_go(tmp_path: Path, called: Program) -> None:
    ran = called("verify", model(tmp_path, {"blk.1.ffn_up.weight": {10: math.nan}}), "--json")
    assert ran.code == 4
    assert ran.json["not_finite"] == ["layers.1.feedforward.up.weight"]


@pytest.mark.parametrize("kind", ["forward", "attend", "embed", "generate"])
def test_large_weights_end_without_a_traceback_or_a_warning(kind: str, tmp_path: Path, called: Program) -> None:
    """The stream stays a number and its square does not."""
    path = model(tmp_path, {"blk.1.ffn_up.weight": dict.fromkeys(range(96), 3e38), "blk.0.attn_q.weight": {3: 3e38}})
    ran = called(kind, "Hello", "--model", path)
    assert ran.code in (0, 1)
    assert "Traceback" not in ran.err
    assert "Warning" not in ran.err


def test_softmax_of_scores_beyond_exp() -> None:
    assert softmax(np.array([3e38, 3e38, -3e38], np.float32)).tolist() == [0.5, 0.5, 0.0]
    assert softmax(np.array([-1e4, -1e4 - 1], np.float32)) == pytest.approx([0.731, 0.269], abs=1e-3)
    assert softmax(np.array([-np.inf, -np.inf], np.float32)).tolist() == [0, 0]
    assert softmax(np.array([7.0], np.float32)).tolist() == [1]


ALL = [
    ["tokenize"],
    ["encode"],
    ["embed"],
    ["embed", "--similarity"],
    ["embed", "--project", "pca"],
    ["attend"],
    ["attend", "--query", "0"],
    ["attend", "--rollout"],
    ["forward"],
    ["forward", "--trace"],
    ["forward", "--lens"],
    ["forward", "--surprise"],
    ["forward", "--saliency"],
    ["forward", "--attribution"],
    ["generate", "--max-tokens", "3"],
    ["generate", "--max-tokens", "3", "--beams", "2"],
    ["generate", "--max-tokens", "3", "--temperature", "1", "--top-k", "5", "--seed", "0"],
    ["diff", "--against", "a"],
]


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_one_token(arguments: list[str], tmp_path: Path, called: Program) -> None:
    check(called(*arguments, "a", "--no-special", "--model", model(tmp_path, {})))


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_a_vocabulary_of_one(arguments: list[str], tmp_path: Path, called: Program) -> None:
    others = ["--ids", "0,0"] if arguments[0] != "diff" else ["a"]
    check(called(*arguments, *others, "--model", model(tmp_path, {}, ["▁a"])))


def check(ran: Any) -> None:
    """A result with numbers in it, or one line."""
    assert ran.code in (0, 1, 2), ran.err
    assert "Traceback" not in ran.err
    assert "Warning" not in ran.err
    if ran.code == 0:
        assert "nan" not in ran.out.lower().split()


def test_the_last_position_of_the_context(tmp_path: Path, called: Program) -> None:
    path = model(tmp_path, {})
    full = ",".join(["5"] * 64)
    ran = called("forward", "--ids", full, "--model", path, "--json")
    assert ran.code == 0
    assert len(ran.json["tokens"]) == 64
    ran = called("forward", "--ids", f"{full},5", "--model", path, "--json")
    assert ran.code == 0
    assert "65 tokens are more than the 64" in ran.err
    ran = called(
        "generate", "--ids", ",".join(["5"] * 62), "--ignore-eos", "--max-tokens", "9", "--model", path, "--json"
    )
    assert ran.code == 0
    assert len(ran.json["ids"]) == 9


@pytest.mark.parametrize(
    "filters",
    [
        ["--top-k", "1"],
        ["--top-p", "0.000001"],
        ["--min-p", "1"],
        ["--typical", "0.000001"],
        ["--top-k", "1", "--top-p", "0.000001", "--min-p", "1", "--typical", "0.000001"],
        ["--temperature", "0.0000001"],
        ["--temperature", "100000000"],
        ["--repetition-penalty", "100000000"],
    ],
    ids=" ".join,
)
def test_filters_that_leave_nearly_nothing_leave_one(filters: list[str], tmp_path: Path, called: Program) -> None:
    temperature = [] if "--temperature" in filters else ["--temperature", "1"]
    arguments = ["--seed", "0", "--max-tokens", "2", "--ignore-eos", "--json", "--model", model(tmp_path, {})]
    ran = called("generate", "a", *temperature, *filters, *arguments)
    assert ran.code == 0, ran.err
    assert len(ran.json["ids"]) == 2
    assert "null" not in json.dumps([step["prob"] for step in ran.json["steps"]])


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_no_token(arguments: list[str], tmp_path: Path, called: Program) -> None:
    check(called(*arguments, "", "--no-special", "--model", model(tmp_path, {})))
