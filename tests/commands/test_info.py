"""`info`: every number of parameters accounted for, and a first screen that folds equal layers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console

from llminspect.analysis import info as analysis
from llminspect.analysis.info import InfoResult, part_of
from llminspect.commands.info.view import render
from llminspect.core.numbers import ranges
from llminspect.opening import describe_model, open_model, tokenizer_of
from tests.fuzz.samples import llama, vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from tests.conftest import Program


def info(name: str) -> InfoResult:
    description = describe_model(name, offline=True)
    return analysis.info(description, tokenizer_of(description), name)


def drawn(rendering: RenderableType, width: int = 80) -> str:
    console = Console(width=width, record=True, quiet=False, color_system=None, file=None)
    with console.capture() as captured:
        console.print(rendering)
    return captured.get()


@pytest.mark.parametrize("name", ["toy", "toy-relu", "toy-attention", "toy-induction", "toy-translate", "smollm2"])
def test_every_parameter_is_counted_once(name: str) -> None:
    result, model = info(name), open_model(name, offline=True)
    arrays = model.params.arrays
    assert result.tensors is not None
    assert result.parts is not None
    assert {tensor.name: tuple(tensor.shape) for tensor in result.tensors} == {
        key: array.shape for key, array in arrays.items()
    }
    total = sum(int(np.prod(array.shape)) for array in arrays.values())
    assert result.parameters == total
    assert sum(part.parameters for part in result.parts) == total
    assert sum(part.share for part in result.parts) == pytest.approx(1)


def test_the_real_model() -> None:
    result = info("smollm2")
    assert result.parameters == 134_515_008
    assert result.sizes is not None
    assert {key: result.sizes[key] for key in "LDHKEFV"} == dict(
        zip("LDHKEFV", (30, 576, 9, 3, 64, 1536, 49152), strict=True)
    )
    assert result.tied is True
    assert result.weight_types == {"Q4_1": 210, "F32": 61, "Q8_0": 1}
    assert result.tokenizer is not None
    assert result.tokenizer.special_tokens["<|im_end|>"] == 2
    assert 2 in result.tokenizer.eos_ids
    assert result.chat_template is not None
    assert "<|im_start|>" in result.chat_template
    assert result.metadata is not None
    assert result.metadata["tokenizer.ggml.tokens"] == {"entries": 49152}


def test_equal_layers_share_a_line() -> None:
    result = info("smollm2")
    overview, all_of_it = drawn(render(result)), drawn(render(result, every_tensor=True))
    assert "layers.0-29.attention.query.weight" in overview
    assert "layers.17.attention.query.weight" not in overview
    assert "layers.17.attention.query.weight" in all_of_it
    assert len(overview.splitlines()) < 70
    assert all(len(line) <= 80 for line in overview.splitlines())


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("embedding.weight", "embedding"),
        ("layers.3.attention.query.weight", "attention"),
        ("layers.3.attention.norm.weight", "norms"),
        ("final.norm.weight", "norms"),
        ("encoder.0.feedforward.up.weight", "encoder feedforward"),
    ],
)
def test_parts(name: str, part: str) -> None:
    assert part_of(name) == part


def test_runs_of_numbers() -> None:
    assert ranges([4, 0, 1, 2, 6, 8, 9]) == "0-2,4,6,8-9"
    assert ranges([]) == ""


def test_json_and_piped(called: Program) -> None:
    document = called("info", "toy", "--json").json
    assert document["command"] == "info"
    assert document["model"] == "toy"
    assert document["parameters"] == 12
    assert document["tensors"][0] == {
        "name": "embedding.weight",
        "shape": [3, 2],
        "axes": "V D",
        "parameters": 6,
        "types": ["F32"],
        "file_names": [],
        "bytes": 24,
    }
    piped = called("info", "toy-attention", "--tensors", COLUMNS="80")
    assert piped.code == 0
    assert "\x1b" not in piped.out
    assert "layers.0.attention.query.weight" in piped.out


def test_an_unknown_model_is_one_line(called: Program) -> None:
    ran = called("info", "smolm2", "--json")
    assert ran.code == 3
    assert ran.json["error"]["code"] == "model"
    assert "smollm2" in ran.json["error"]["hint"]
    assert len(ran.err.splitlines()) == 1


def test_a_tokenizer_alone_is_told_of_and_no_other_command_takes_it(called: Program, tmp_path: Path) -> None:
    mine, small = tmp_path / "mine.json", tmp_path / "small.gguf"
    mine.write_text(json.dumps({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}))
    small.write_bytes(replace(llama(vocabulary("llama", []), 8), tensors=[]).build())
    for name in ("gpt-4o", "words", str(mine), str(small)):
        assert "a tokenizer without a model" in called("info", name).out
        refused = called("forward", "a", "--model", name)
        assert (refused.code, refused.out) == (3, "") and "tokenize, encode and info take" in refused.err


def test_settings_read_as_plain_words() -> None:
    from llminspect.commands.info.settings import in_words

    rotary = {"width": 6, "base": 1000000.0, "scaling": {"factor": 4.0, "gain": 1.0}, "pairs": "interleaved"}
    experts = {"chosen": 2, "among_chosen": True, "kind": "sigmoid", "factor": 1.0, "plain_layers": [0]}
    rows = dict(
        in_words(
            {
                "rotary": rotary,
                "experts": experts,
                "causal": False,
                "window": None,
                "windowed": [0, 1, 2],
                "gap": 1e-6,
                "most": 1e300,
            }
        )
    )
    assert rows == {
        "rotary positions": "6 numbers a head, base 1,000,000, scaling factor 4, neighbours together",
        "choice of experts": "2 for each token, their weights sum to 1: yes, weights by sigmoid, none in layers 0",
        "a token sees": "every token",
        "layers with a window": "0-2",
        "gap": "1e-6",
        "most": "1e300",
    }
    state = {"heads": 4, "keys": 3, "kernel": 2, "each": "head", "named": "delta rule"}
    assert dict(in_words({"state": state, "state_layers": [0, 2]})) == {
        "state": "delta rule, 4 heads, a key of 3 numbers, first mixed with the 2 last tokens, "
        "what is forgotten is chosen for each head",
        "layers with a state": "0,2",
    }
