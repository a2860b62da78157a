"""`generate --patch` in every family: decoders, encoder–decoders, and models that keep nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llminspect.analysis.forward import forward as forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.analysis.prompt import with_source
from llminspect.arguments.experiments import PatchOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.generate import GenerateOptions
from llminspect.opening import open_model
from tests.commands.patched import Acts, agrees, ids_prompt, prompt, put, values_at

GOLDEN = Path(__file__).parent.parent / "golden"

DECODERS = ["gpt2", "llama", "llama-llama3", "mistral", "gemma2", "qwen3", "mixtral", "gpt-neox", "gpt-oss"]


@pytest.mark.parametrize("into", ["0.stream", "1.1", "1.attention", "0.feedforward"])
@pytest.mark.parametrize("family", DECODERS)
def test_in_every_family(family: str, into: str) -> None:
    model, text, other = open_model(str(GOLDEN / family)), ids_prompt(5, 6, 7, 8), [5, 9, 10, 8]
    layer, part = into.split(".")
    ends = {"stream": "output", "attention": "attention.output", "feedforward": "feedforward.output"}
    name = f"layers.{layer}.{ends.get(part, 'attention.mixed')}"
    acts = Acts({name: put(values_at(model, other, name), [1, 2], int(part) if part.isdecimal() else None)})
    question = GenerateQuestion(
        options=GenerateOptions(max_tokens=6, ignore_eos=True),
        patch=PatchOptions("", [into], "1-2"),
        source_ids=other,
    )
    result = generate(model, question, text)
    assert result.change is not None
    agrees(model, text.ids, result, acts)
    plain = model.logits(model.run(text.ids).stream_TD)[-1]
    assert np.abs(model.logits(model.run(text.ids, acts).stream_TD)[-1] - plain).max() > 1e-3


def test_where_words_see_both_ways_nothing_is_kept_and_only_the_prompt_is_patched() -> None:
    model = open_model("toy-attention")
    text, other = prompt(model, "A cat sat"), prompt(model, "A cat cat").ids
    question = GenerateQuestion(
        options=GenerateOptions(max_tokens=3), patch=PatchOptions("", ["0.stream"]), source_ids=other
    )
    name = "layers.0.output"
    acts = Acts({name: put(values_at(model, other, name), [0, 1, 2])})
    agrees(model, text.ids, generate(model, question, text), acts, both_ways=True)


def test_in_a_model_that_keeps_nothing_only_the_prompt_is_patched() -> None:
    model = open_model("toy")
    text, other = prompt(model, "world"), prompt(model, "hello").ids
    question = GenerateQuestion(
        options=GenerateOptions(max_tokens=3), patch=PatchOptions("", ["0.feedforward"]), source_ids=other
    )
    name = "layers.0.feedforward.output"
    agrees(model, text.ids, generate(model, question, text), Acts({name: put(values_at(model, other, name), [0])}))


@pytest.mark.parametrize("family", ["t5", "t5-gated", "marian"])
def test_an_encoder_decoder_is_patched_from_another_source(family: str) -> None:
    """The two sources may be of different lengths: what is patched are the positions of the target."""
    model, name = open_model(str(GOLDEN / family)), "layers.0.output"
    decoder, other = with_source(model, [5, 6, 7]), with_source(model, [9, 10, 11, 12, 1])
    start = [model.config.start_id]  # type: ignore[attr-defined]
    patch, options = PatchOptions("", ["0.stream"]), GenerateOptions(max_tokens=5, ignore_eos=True)
    result = generate(
        model, GenerateQuestion(options=options, patch=patch, source_ids=[9, 10, 11, 12, 1]), ids_prompt(5, 6, 7)
    )
    agrees(decoder, start, result, Acts({name: put(values_at(other, start, name), [0])}))


@pytest.mark.parametrize("family", ["t5", "marian"])
def test_a_sweep_of_an_encoder_decoder_is_over_the_positions_of_its_target(family: str) -> None:
    question = ForwardQuestion(ForwardOptions(target_ids="9,10"), SweepOptions(""), source_ids=[9, 10, 11, 12, 1])
    swept = forward(open_model(str(GOLDEN / family)), question, ids_prompt(5, 6, 7)).sweep
    assert swept is not None
    assert swept.differing == [0, 1, 2]
    # Behind the last layer all that is left of the source is at the position that speaks.
    np.testing.assert_allclose(np.asarray(swept.restored)[-1], [0, 0, 1], atol=1e-4)
