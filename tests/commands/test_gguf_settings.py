"""`generate --model-settings` of a GGUF file: it chooses as llama.cpp reads its keys."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.analysis.model_settings import remark, with_model_settings
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.generate import GenerateOptions, SamplingOptions, draws
from llminspect.errors import ModelError
from llminspect.opening import open_model

if TYPE_CHECKING:
    from llminspect.model.opened import Model


GOLDEN = Path(__file__).parent.parent / "golden"


def gguf_with(**keys: Any) -> Model:
    """A model whose file says this under general.sampling."""
    model = open_model(str(GOLDEN / "llama"))
    written = {f"general.sampling.{key}": value for key, value in keys.items()}
    return replace(model, generation={"general.architecture": "llama", **written})


IN_FLOAT32 = float(np.float32(0.6))


def test_a_gguf_file_chooses_as_llama_cpp_reads_it() -> None:
    switch = GenerateOptions(model_settings=True, max_tokens=1, steps=True)
    model = gguf_with(temp=IN_FLOAT32, top_k=20, penalty_repeat=1.5, penalty_last_n=2)
    sampling, options, stated = with_model_settings(model, SamplingOptions(), switch)
    # What is absent is as in llama.cpp: top-p 0.95, min-p 0.05.
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p) == (0.6, 20, 0.95, 0.05)
    assert stated is not None
    assert stated.applied == {
        "general.sampling.temp": 0.6,
        "general.sampling.top_k": 20,
        "general.sampling.penalty_repeat": 1.5,
        "general.sampling.penalty_last_n": 2,
    }
    question = GenerateQuestion(sampling, options, seed=1, stated=stated)
    step = generate(model, question, prompt_of_ids([86, 31, 5], None, None)).steps[0]
    assert step.filters is not None
    assert step.filters.names == ["model", "penalty", "top-k", "top-p", "min-p", "temperature"]
    assert stated.rules.penalty_window == 2
    typed = with_model_settings(model, SamplingOptions(repetition_penalty=1.2), switch)[2]
    assert typed is not None and typed.rules.penalty_window is None  # Which is the option's, of all tokens.


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"sequence": "top_p;temperature", "temp": 0.5}, ["top-p", "temperature"]),
        ({"sequence": "temperature;top_k;top-p", "temp": 0.5}, ["temperature", "top-k", "top-p"]),
        ({"sequence": "dry;topk;typ_p;xtc;temp", "temp": 0.5, "xtc_threshold": 0.6}, ["top-k", "temperature"]),
        ({"sequence": "min_p", "temp": -1.0}, ["min-p"]),
        ({"temp": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}, []),
        ({"temp": 0.0, "top_k": 3}, []),
    ],
)
def test_the_filters_of_a_gguf_file_act_in_its_order(keys: dict[str, Any], names: list[str]) -> None:
    switch = GenerateOptions(model_settings=True, max_tokens=1, steps=True)
    model = gguf_with(**keys)
    sampling, options, stated = with_model_settings(model, SamplingOptions(), switch)
    assert draws(sampling, options) == (keys.get("temp", 1) > 0 or "sequence" in keys)
    question = GenerateQuestion(sampling, options, seed=1, stated=stated)
    step = generate(model, question, prompt_of_ids([7], None, None)).steps[0]
    assert step.filters is not None and step.filters.names == ["model", *names]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mirostat": 2}, "general.sampling.mirostat = 2, which is not computed here"),
        ({"xtc_probability": 0.5}, "general.sampling.xtc_probability = 0.5, which is not computed here"),
        ({"top_k": "9"}, 'top_k = "9" is not a whole number'),
        ({"penalty_repeat": 0.0}, "penalty_repeat = 0.0 is not a number"),
        ({"sequence": "top_k;magic"}, 'general.sampling.sequence names "magic"'),
        ({"sequence": "min_p;top_p;top_k"}, "the order of general.sampling.sequence"),
        ({"sequence": "temperature;temperature"}, "the order of general.sampling.sequence"),
        ({"top_q": False}, "general.sampling.top_q = false"),
    ],
)
def test_what_a_gguf_file_says_and_is_not_computed_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        with_model_settings(gguf_with(**keys), SamplingOptions(), GenerateOptions(model_settings=True))


def test_what_a_gguf_file_says_is_mentioned_where_it_is_not_applied() -> None:
    model = gguf_with(temp=0.5, penalty_last_n=64)
    line = remark(model, SamplingOptions(), GenerateOptions())
    assert line is not None and line.startswith("not applied: general.sampling.temp = 0.5; --model-settings")
    assert remark(model, SamplingOptions(temperature=0), GenerateOptions()) is None


def test_the_ends_of_a_gguf_file_are_looked_at_too() -> None:
    model = replace(gguf_with(), generation={"general.architecture": "llama", "tokenizer.ggml.eos_token_ids": [3, 400]})
    result = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=1)), prompt_of_ids([7], None, None))
    assert result.notes is not None and result.notes[0].startswith("tokenizer.ggml.eos_token_ids = 400 ends no text")
