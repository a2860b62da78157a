"""`forward` and `generate` on models that are not decoders: encoder–decoders and masked models, by golden data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.forward import forward
from llminspect.analysis.forward_arrays import forward_arrays as saved_arrays
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.generate import GenerateQuestion
from llminspect.analysis.generate import generate as generate
from llminspect.arguments.forward import ForwardOptions
from llminspect.arguments.generate import GenerateOptions
from llminspect.errors import UsageError
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Token
from tests.closeness import assert_close

if TYPE_CHECKING:
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"


def ids_prompt(ids: list[int]) -> Prompt:
    return Prompt(None, [Token(token_id, b"", None, None) for token_id in ids])


@pytest.mark.parametrize("family", ["t5", "t5-gated", "marian"])
def test_an_encoder_decoder_speaks_of_the_target(family: str) -> None:
    model = open_model(str(GOLDEN / family))
    with np.load(GOLDEN / family / "expected.npz") as expected:
        ids, logits_TV = expected["ids"].tolist(), expected["logits"]
        source = ids_prompt(expected["source_ids"].tolist())
    # The target starts with the start token, which the program puts in front itself.
    question = ForwardQuestion(ForwardOptions(top=5, target_ids=",".join(map(str, ids[1:])), saliency=True, lens=True))
    result = forward(model, question, source)
    assert result.source is not None
    assert [token["id"] for token in result.tokens] == [model.config.start_id, *ids[1:]]  # type: ignore[attr-defined]
    if ids[0] == model.config.start_id:  # type: ignore[attr-defined]
        assert result.next is not None
        best = np.argsort(-logits_TV[-1])[:5]
        assert [found.id for found in result.next] == best.tolist()
        assert_close([found.logit for found in result.next], logits_TV[-1][best])
        assert_close(saved_arrays(model, question, result)["logits"], logits_TV)
    options = GenerateOptions(max_tokens=4, ignore_eos=True)
    written = generate(model, GenerateQuestion(options=options), source).ids
    target = [model.config.start_id]  # type: ignore[attr-defined]
    for token_id in written:
        # Without the decoder's cache: the source read anew, the whole target at once.
        stream_TD = model.run(target, cache=model.encode_source(source.ids)).stream_TD
        assert token_id == int(model.logits(stream_TD)[-1].argmax())
        target.append(token_id)


def test_beams_of_an_encoder_decoder_keep_its_source() -> None:
    model, source = open_model(str(GOLDEN / "t5")), ids_prompt([5, 6, 7])
    greedy = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=4)), source)
    beams = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=4, beams=3)), source).beams
    assert beams is not None
    assert beams[0].logprob >= sum(step.logprob for step in greedy.steps) - 1e-6


def test_a_target_is_refused_where_there_is_none() -> None:
    model = open_model("toy")
    assert model.tokenizer is not None
    with pytest.raises(UsageError, match="has no target"):
        forward(
            model, ForwardQuestion(ForwardOptions(target_ids="1")), Prompt("world", model.tokenizer.encode("world"))
        )


def test_a_masked_model_fills_its_masks() -> None:
    model = open_model(str(GOLDEN / "bert"))
    with np.load(GOLDEN / "bert" / "expected.npz") as expected:
        ids, logits_TV = expected["ids"].tolist(), expected["logits"]
    mask = 3

    class Masks:
        mask_id = ids[mask]

        def shown_bytes(self, token_id: int) -> bytes:
            return f"#{token_id}".encode()

    from dataclasses import replace

    result = forward(replace(model, tokenizer=Masks()), ForwardQuestion(ForwardOptions(top=4)), ids_prompt(ids))  # type: ignore[arg-type]
    assert result.next is None
    assert result.masked is not None
    found = next(entry for entry in result.masked if entry.index == mask)
    best = np.argsort(-logits_TV[mask])[:4]
    assert [candidate.id for candidate in found.top] == best.tolist()
    assert_close([candidate.logit for candidate in found.top], logits_TV[mask][best])


def test_the_hand_calculation_of_a_model_without_a_final_norm_ends_in_its_logit() -> None:
    """Marian's last norm is its last layer's, and its logits have a bias."""
    model = open_model(str(GOLDEN / "marian"))
    steps = forward(model, ForwardQuestion(ForwardOptions(steps=True)), ids_prompt([5, 6, 7])).steps
    assert steps is not None
    at = next(index for index, step in enumerate(steps) if step.name.startswith("logit["))
    stream, row, logit = (np.asarray(step.value, np.float64) for step in steps[at - 2 : at + 1])
    answer = int(steps[at - 1].name.removeprefix("U[#").removesuffix("]"))
    total = np.dot(stream, row) + float(model.params["unembedding.bias"][answer])
    assert_close(total, logit)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("llama-body", "its file has no output matrix"),
        *((name, "it reads a text both ways") for name in ("llama-both-ways", "bert-encoder", "t5-encoder")),
    ],
)
def test_a_model_that_gives_vectors_alone_says_why_nothing_follows(name: str, why: str, called: Program) -> None:
    run = ("forward", "--ids", "7,31", "--model", str(GOLDEN / name))
    document = called(*run, "--json").json
    assert document["no_next"].startswith(why) and "next" not in document
    *_, last = called(*run, COLUMNS="200").out.splitlines()
    assert last.startswith(f"no next token: {why}") and last.rstrip().endswith("llminspect embed shows its vectors")


@pytest.mark.parametrize("name", ["llama", "bert", "bert-sequence", "bert-token", "bert-question", "marian"])
def test_a_model_with_an_answer_needs_no_reason(name: str, called: Program) -> None:
    assert "no_next" not in called("forward", "--ids", "7,31", "--model", str(GOLDEN / name), "--json").json


@pytest.mark.parametrize("columns", [40, 56, 60, 68, 80, 90, 120])
def test_the_way_through_the_layers_keeps_its_columns(columns: int, called: Program) -> None:
    out = called("forward", "--ids", "7,31,5", "--model", str(GOLDEN / "llama"), COLUMNS=str(columns)).out
    lines = out.splitlines()
    start = lines.index(next(line for line in lines if line.startswith("through the layers")))
    heading = next(at for at in range(start, len(lines)) if lines[at].startswith("layer "))
    assert max(len(line.rstrip()) for line in lines[start : heading + 5]) <= columns
    assert lines[heading].split()[:2] == ["layer", "attention"] and heading - start <= 2
    rows = [line.split() for line in lines[heading + 2 : heading + 5]]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert all(float(number) > 0 for row in rows for number in row[1:4])
    assert ("time" in lines[heading]) == (columns >= 60)


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_the_times_of_steps_are_explained_where_they_are_shown(columns: int, called: Program) -> None:
    ask = ("forward", "--ids", "7,31,5", "--layer", "1", "--model", str(GOLDEN / "llama"))
    steps, _, rest = called(*ask, COLUMNS=str(columns)).out.partition("layer 1\n")[2].partition("through the layers")
    assert rest and ("time: since the step listed before" in " ".join(steps.split())) == (" time\n" in steps)
    assert (" time\n" in steps) == (columns >= 80)


@pytest.mark.parametrize(
    ("family", "biased"), [("granite", True), ("opt", True), ("llama", False), ("nemotron", False)]
)
def test_the_formula_of_a_feed_forward_step_has_a_bias_where_its_sums_have_one(
    called: Program, family: str, biased: bool
) -> None:
    out = called("forward", "--ids", "5,6,7", "--layer", "0", "--model", f"tests/golden/{family}").out
    assert ("h = W z + b" in out, "h = W z " in out) == (biased, True)


def test_where_units_are_shut_the_formula_says_so(called: Program) -> None:
    out = [called("forward", "--ids", "5,6", "--layer", layer, "--model", "tests/golden/gemma3n").out for layer in "01"]
    assert ["h = max(0, W z - cutoff)" in text for text in out] == [True, False]
    assert ["h, written out" in text for text in out] == [False, True]
