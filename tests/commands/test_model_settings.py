"""`generate --model-settings`: every case that transformers' `generate` was recorded with; and what is said without."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from llminspect.__main__ import run
from llminspect.analysis.completion import next_logits
from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.analysis.model_settings import remark, with_model_settings
from llminspect.analysis.prompt import prompt_of_ids, target_prompt, with_source
from llminspect.arguments.generate import GenerateOptions, SamplingOptions
from llminspect.core.decoding import decode
from llminspect.core.sampling import Sampling
from llminspect.errors import ModelError, UsageError, UserError
from llminspect.opening import open_model

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDED = orjson.loads((GOLDEN / "generation.json").read_bytes())
CASES: list[dict[str, Any]] = RECORDED["cases"]
ENCODER_PENALTY = "encoder_repetition_penalty"
"""Which has no option."""


def model_with(folder: Path, family: str, settings: dict[str, Any], *, older: bool = False) -> Model:
    """A model of the golden data whose files state these settings."""
    shutil.copytree(GOLDEN / family, folder)
    if older:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **settings}))
    else:
        (folder / "generation_config.json").write_text(json.dumps(settings))
    return open_model(str(folder))


def name_of(case: dict[str, Any]) -> str:
    keys = (key for key in case["settings"] if key != "decoder_start_token_id")
    return f"{case['family']}-{'older-' if case['older'] else ''}{'-'.join(keys)}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_what_is_written_is_what_transformers_writes(case: dict[str, Any], tmp_path: Path) -> None:
    model = model_with(tmp_path / "model", case["family"], case["settings"], older=case["older"])
    options = GenerateOptions(max_tokens=case["tokens"], model_settings=True, steps=True)
    sampling, options, of_model = with_model_settings(model, SamplingOptions(), options)
    drawn, prompt = "distributions" in case, prompt_of_ids(case["prompt"], None, None)
    question = GenerateQuestion(sampling, options, seed=1 if drawn else None, stated=of_model)
    result = generate(model, question, prompt)
    if "scores" in case:
        assert result.beams is not None
        assert [beam.ids for beam in result.beams] == case["ids"]
        np.testing.assert_allclose([beam.score for beam in result.beams], case["scores"], rtol=2e-5)
        assert [step.id for step in result.steps] == case["ids"][0]
    elif not drawn:
        assert result.ids == case["ids"][0]
    else:
        assert of_model is not None
        assert len(result.samples or [0]) == len(case["ids"])
        ids = prompt.ids
        if model.can("source"):
            model, ids = with_source(model, ids), target_prompt(model, None, None).ids
        filters = {name: value for name, value in vars(sampling).items() if name != "seed" and value is not None}
        forced, context = case["ids"][0], len(ids) + RECORDED["tokens"]
        path = decode(
            next_logits(model), ids, Sampling(**filters, rules=of_model.rules), None, context=context, forced=forced
        )
        for expected_V, choice in zip(case["distributions"], path, strict=False):
            np.testing.assert_array_equal(choice.stages[-1][1] > 0, np.array(expected_V) > 0)
            np.testing.assert_allclose(choice.stages[-1][1], expected_V, rtol=0, atol=2e-5)


def test_the_settings_are_of_every_kind_that_is_recorded() -> None:
    """Else a setting could be dropped and no case would tell."""
    from dataclasses import fields

    from llminspect.analysis.stated_settings import ModelSettings

    assert {field.name for field in fields(ModelSettings)} <= {key for case in CASES for key in case["settings"]}


def test_options_come_before_the_settings(tmp_path: Path) -> None:
    stated = {"do_sample": True, "temperature": 0.5, "top_k": 7, "repetition_penalty": 1.3, "eos_token_id": [2, 3]}
    model = model_with(tmp_path / "model", "llama", stated)
    plain, switch = SamplingOptions(), GenerateOptions(model_settings=True)
    filled, _, of_model = with_model_settings(model, plain, switch)
    assert of_model is not None and of_model.applied == {key: stated[key] for key in of_model.applied}
    assert list(of_model.applied) == ["do_sample", "temperature", "top_k", "repetition_penalty"]
    assert (filled.temperature, filled.top_k, filled.repetition_penalty) == (0.5, 7, 1.3)
    filled, _, of_model = with_model_settings(model, replace(plain, temperature=0.9, top_k=3), switch)
    assert of_model is not None and list(of_model.applied) == ["repetition_penalty"]
    assert (filled.temperature, filled.top_k) == (0.9, 3)
    filled, _, of_model = with_model_settings(model, replace(plain, temperature=0.0), switch)
    assert (filled.temperature, filled.top_k, filled.repetition_penalty) == (0, None, 1.3)
    filled, options, of_model = with_model_settings(model, plain, replace(switch, beams=2))
    assert (filled.temperature, filled.top_k, options.beams) == (None, None, 2)
    assert with_model_settings(model, plain, GenerateOptions()) == (plain, GenerateOptions(), None)


STATED = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "num_beams": 3, "length_penalty": 2.0}
LIKE_NONE: dict[str, Any] = {"repetition_penalty": 1.0, "no_repeat_ngram": 0, "beams": 0, "length_penalty": 1.0}
LIKE_NONE |= {"n": 1, "max_tokens": 32}


@pytest.mark.parametrize("name", LIKE_NONE)
def test_an_option_comes_first_even_with_the_value_that_it_has_when_left_out(name: str, tmp_path: Path) -> None:
    drawn = {"do_sample": True, "num_return_sequences": 2} if name == "n" else STATED
    model = model_with(tmp_path / "model", "llama", {**drawn, "max_new_tokens": 3})
    sampling, options = SamplingOptions(), GenerateOptions(model_settings=True)
    without = with_model_settings(model, sampling, options)
    index = 0 if name in ("repetition_penalty", "no_repeat_ngram") else 1
    if index:
        options = replace(options, **{name: LIKE_NONE[name]})
    else:
        sampling = replace(sampling, **{name: LIKE_NONE[name]})
    found = with_model_settings(model, sampling, options)
    assert getattr(without[index], name) != LIKE_NONE[name]
    assert getattr(found[index], name) == LIKE_NONE[name]
    assert without[2] is not None and found[2] is not None
    assert len(set(without[2].applied) - set(found[2].applied)) == (2 if name == "beams" else 1)


def test_an_option_that_comes_first_stands_in_the_provenance(called: Program, tmp_path: Path) -> None:
    model_with(tmp_path / "model", "llama", {"repetition_penalty": 1.5, "max_new_tokens": 2})
    run = ["generate", "--ids", "7,31", "-m", str(tmp_path / "model"), "--model-settings"]
    found = called(*run, "--repetition-penalty", "1", "--json").json
    assert found["provenance"]["options"]["repetition_penalty"] == 1
    assert found["model_settings"] == {"max_new_tokens": 2} and len(found["ids"]) == 2
    assert "2 tokens: as many as were allowed (max_new_tokens)" in called(*run).out


def test_a_prompt_as_long_as_all_may_become_is_refused(tmp_path: Path) -> None:
    model = model_with(tmp_path / "model", "llama", {"max_length": 3})
    sampling, options, stated = with_model_settings(model, SamplingOptions(), GenerateOptions(model_settings=True))
    question = GenerateQuestion(sampling, options, stated=stated)
    assert len(generate(model, question, prompt_of_ids([7, 31], None, None)).ids) == 1
    with pytest.raises(UsageError, match="ends at max_length = 3, and the text has 3 tokens"):
        generate(model, question, prompt_of_ids([7, 31, 5], None, None))
    given = with_model_settings(model, sampling, replace(options, max_tokens=2))
    question = GenerateQuestion(given[0], given[1], stated=given[2])
    assert len(generate(model, question, prompt_of_ids([7, 31, 5], None, None)).ids) == 2


def test_files_that_say_nothing_are_refused_the_same(tmp_path: Path) -> None:
    switch = GenerateOptions(model_settings=True)
    shutil.copytree(GOLDEN / "llama", tmp_path / "without")
    folder = open_model(str(tmp_path / "without"))
    of_gguf = replace(open_model("toy"), generation={"general.architecture": "llama", "llama.block_count": 2})
    empty = model_with(tmp_path / "empty", "llama", {})
    for model in (folder, of_gguf, empty, open_model("toy")):
        with pytest.raises(UsageError, match=f"the files of {model.name} do not say how its tokens are chosen"):
            with_model_settings(model, SamplingOptions(), switch)
    greedy = with_model_settings(model_with(tmp_path / "g", "llama", {"eos_token_id": 3}), SamplingOptions(), switch)
    assert greedy[2] is not None and greedy[2].applied == {}


def test_what_is_not_applied_is_said_in_one_line(tmp_path: Path, called: Program) -> None:
    model_with(tmp_path / "model", "marian", {"num_beams": 4, "bad_words_ids": [[5]], "top_k": 9, "min_length": 0})
    run = ["generate", "--ids", "7,31,5", "-m", str(tmp_path / "model"), "--max-tokens", "3"]
    written = called(*run)
    line = "llminspect: not applied: num_beams = 4, bad_words_ids = [[5]]; --model-settings chooses as "
    assert written.err.startswith(line) and written.err.count("\n") == 1
    assert "num_beams" not in called(*run, "--temperature", "0").err
    assert called(*run, "--quiet").err == ""
    applied = called(*run, "--model-settings", "--json")
    assert applied.err == ""
    document = orjson.loads(applied.out)
    assert document["model_settings"] == {"num_beams": 4, "bad_words_ids": [[5]]} and len(document["beams"]) == 4
    drawn = called(*run, "--model-settings", "--temperature", "0.5", "--seed", "1")
    assert "num_beams = 4" in drawn.err and "is left out: tokens are drawn" in drawn.err
    shown = called(*run, "--model-settings").out
    assert "by the model's own settings: num_beams = 4, bad_words_ids = [[5]]" in shown
    (tmp_path / "model" / "generation_config.json").write_text('{"max_length": 99, "bad_words_ids": [[0]]}')
    assert called(*run).err == ""


WRONG: list[tuple[dict[str, Any], type[UserError], str]] = [
    ({"temperature": 0.0, "do_sample": True}, ModelError, "temperature"),
    ({"top_p": 1.2}, ModelError, "top_p = 1.2 is not a number from 0 to 1"),
    ({"do_sample": "yes"}, ModelError, 'do_sample = "yes" is not true or false'),
    ({"top_k": False}, ModelError, "top_k = false is not a whole number"),
    ({"repetition_penalty_slope": 0}, ModelError, "repetition_penalty_slope = 0"),
    ({"chat_format": False, "max_length": 9}, ModelError, "chat_format = false"),
    ({"cache_implementation": "quantized"}, ModelError, 'cache_implementation = "quantized"'),
    ({"num_return_sequences": 2}, ModelError, "num_return_sequences = 2, and one text can be found"),
    ({"num_return_sequences": 3, "num_beams": 2}, ModelError, "num_return_sequences = 3, and 2 texts can be found"),
    ({"max_new_tokens": 0}, ModelError, "max_new_tokens = 0"),
    ({"num_beams": "4"}, ModelError, "num_beams"),
    ({"bad_words_ids": [[]]}, ModelError, "bad_words_ids is empty"),
    ({"bad_words_ids": [[1, 4000]]}, ModelError, "4000 is outside the vocabulary"),
    ({"suppress_tokens": [-1]}, ModelError, "suppress_tokens"),
    ({"forced_eos_token_id": 131}, ModelError, "131 is outside the vocabulary"),
    ({"num_beams": 2, "do_sample": True}, ModelError, "2 beams that are drawn"),
    ({"guidance_scale": 3}, ModelError, "guidance_scale = 3"),
    ({"num_beam_groups": 2, "diversity_penalty": 0.5}, ModelError, "diversity_penalty = 0.5, num_beam_groups = 2"),
]


@pytest.mark.parametrize(("stated", "kind", "message"), WRONG)
def test_what_cannot_be_or_is_not_computed_is_refused(
    stated: dict[str, Any], kind: type[UserError], message: str, tmp_path: Path
) -> None:
    model = model_with(tmp_path / "model", "marian", stated)
    with pytest.raises(kind, match=message.replace("[", r"\[")):
        with_model_settings(model, SamplingOptions(), GenerateOptions(model_settings=True))
    line = remark(model, SamplingOptions(), GenerateOptions())
    assert line is not None and "\n" not in line and "--model-settings chooses" not in line.partition(";")[2]


@pytest.mark.parametrize("content", ["{", "[1]", '{"top_k": 1, "top_k": 2}'])
def test_a_file_that_cannot_be_read_stops_only_who_wants_what_it_says(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(GOLDEN / "llama", tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text(content)
    words = ["generate", "--ids", "7,31", "-m", str(tmp_path / "model"), "--max-tokens", "1"]
    assert run(words) == 0
    err = capfd.readouterr().err
    assert err.startswith("llminspect: generation_config.json ") and err.count("\n") == 1
    assert err.endswith("; nothing of them is applied\n")
    assert run([*words, "--model-settings"]) == 3
    assert "generation_config.json" in capfd.readouterr().err
    assert run(["forward", *words[1:-2]]) == 0
    assert capfd.readouterr().err == ""


def test_options_that_do_not_go_with_the_settings_are_refused(tmp_path: Path) -> None:
    model, switch = model_with(tmp_path / "m", "t5", {"num_beams": 4}), GenerateOptions(model_settings=True)
    with pytest.raises(UsageError, match="searches with 4 beams: --beams does not go with --stop"):
        with_model_settings(model, SamplingOptions(), replace(switch, stop=["x"]))
    greedy = model_with(tmp_path / "g", "llama", {"top_k": 4})
    with pytest.raises(UsageError, match="takes the most probable token: --length-penalty"):
        with_model_settings(greedy, SamplingOptions(), replace(switch, length_penalty=2.0))
    with pytest.raises(UsageError, match="takes the most probable token: --sampler-order"):
        with_model_settings(greedy, SamplingOptions(sampler_order="llama.cpp"), switch)


def test_the_end_is_one_of_a_list_in_either_file(tmp_path: Path) -> None:
    prompt = prompt_of_ids([7, 31, 5, 90], None, None)
    plain = generate(open_model(str(GOLDEN / "llama")), GenerateQuestion(), prompt).ids
    for name, older in (("new", False), ("old", True)):
        model = model_with(tmp_path / name, "llama", {"eos_token_id": [129, plain[2]]}, older=older)
        result = generate(model, GenerateQuestion(), prompt)
        assert (result.stop, result.ids) == ("eos", plain[: plain.index(plain[2]) + 1])


def test_a_rule_that_leaves_no_token_is_an_error() -> None:
    question = GenerateQuestion(SamplingOptions(no_repeat_ngram=1), GenerateOptions(max_tokens=4))
    with pytest.raises(UserError, match="after 3 tokens there is none left"):
        generate(open_model("toy"), question, prompt_of_ids([1], None, None))
    beams = replace(question, options=GenerateOptions(max_tokens=4, beams=2))
    with pytest.raises(UserError, match="after 3 tokens there is none left"):
        generate(open_model("toy"), beams, prompt_of_ids([1], None, None))


def test_options_of_their_own_are_used_in_both_ways_of_writing(called: Program) -> None:
    """--no-repeat-ngram as the recorded no_repeat_ngram_size, with beams and without; the stages are shown."""
    for case in CASES:
        stated = {key: value for key, value in case["settings"].items() if key.startswith("no_repeat") and value}
        if case["family"] != "gpt2" or not stated or case["settings"].keys() & {"do_sample", ENCODER_PENALTY}:
            continue
        options = ["--no-repeat-ngram", str(stated["no_repeat_ngram_size"]), "--max-tokens", str(RECORDED["tokens"])]
        for key, option in (
            ("repetition_penalty", "--repetition-penalty"),
            ("num_beams", "--beams"),
            ("length_penalty", "--length-penalty"),
        ):
            options += [option, str(case["settings"][key])] if key in case["settings"] else []
        ids = ",".join(map(str, case["prompt"]))
        shown = called("generate", "--ids", ids, "-m", str(GOLDEN / "gpt2"), *options, "--steps", "--json").json
        assert shown["ids"] == case["ids"][0]
        assert shown["steps"][0]["filters"]["names"][-1] == "no-repeat"


def test_the_order_of_the_filters_is_an_option(called: Program) -> None:
    run = ["generate", "--ids", "7,31", "-m", str(GOLDEN / "llama"), "--max-tokens", "1", "--seed", "1"]
    filters = ["--temperature", "0.5", "--top-p", "0.8", "--sampler-order", "llama.cpp"]
    shown = called(*run, *filters, "--steps", "--json").json
    assert shown["steps"][0]["filters"]["names"] == ["model", "top-p", "temperature"]
    refused = called(*run, *filters[2:])
    assert refused.code == 2 and "changes nothing without two of" in refused.err
    refused = called(*run[:-2], "--beams", "2", *filters[4:])
    assert refused.code == 2


@pytest.mark.parametrize("end", [-1, 131, [2, 500]])
def test_an_end_that_is_no_token_of_the_model_is_noted(end: Any, tmp_path: Path) -> None:
    model = model_with(tmp_path / "model", "llama", {"eos_token_id": end})
    prompt = prompt_of_ids([7, 31], None, None)
    wrong = end[1] if isinstance(end, list) else end
    notes = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=1)), prompt).notes
    assert notes == [f"eos_token_id = {wrong} ends no text: the ids of {model.name} run from 0 to 130"]
    ignoring = GenerateOptions(max_tokens=1, ignore_eos=True)
    assert generate(model, GenerateQuestion(options=ignoring), prompt).notes is None


@pytest.mark.parametrize("end", ["2", True, 2.0, [2, None]])
def test_an_end_that_is_no_id_is_refused(end: Any, tmp_path: Path) -> None:
    model = model_with(tmp_path / "model", "llama", {"eos_token_id": end})
    prompt, shown = prompt_of_ids([7, 31], None, None), json.dumps(end)
    with pytest.raises(ModelError, match=re.escape(f"eos_token_id = {shown}, which is no id")):
        generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=1)), prompt)
    ignoring = GenerateOptions(max_tokens=1, ignore_eos=True)
    assert len(generate(model, GenerateQuestion(options=ignoring), prompt).ids) == 1
