"""`generate` of a model that fills masks: what is filled when, in JSON, as a picture and in Python; what is refused."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.analysis.completion import Unmasking
    from llminspect.analysis.generate import GenerateResult
    from llminspect.model.opened import Model
    from tests.conftest import Program

MASK = 46
PROMPT = [5, 6, 7, 8]
HERE = ("generate", "--ids", "5,6,7,8", "--model", str(FOLDER / "llada"))
SHIFTED = {"llada": 0, "dream": 1}


def filled(ids: list[int], model: Model | str, **options: Any) -> tuple[GenerateResult, Unmasking]:
    result = llminspect.generate(ids, model, **options)
    assert result.unmasking is not None
    return result, result.unmasking


@pytest.mark.parametrize("name", SHIFTED)
def test_each_guess_is_the_model_s_and_each_step_reads_what_is_filled(name: str) -> None:
    model = open_model(str(FOLDER / name))
    result, found = filled(PROMPT, model, max_tokens=6, ignore_eos=True, diffusion_steps=3)
    assert [place.index for place in found.positions] == [4, 5, 6, 7, 8, 9]
    text = np.array([*PROMPT, *[MASK] * 6])
    for step, row in enumerate(found.guesses):
        logits_TV = model.logits(model.run(text).stream_TD)
        for place, guess in zip(found.positions, row, strict=True):
            assert (guess is None) == (text[place.index] != MASK)
            if guess is not None:
                assert guess.id == int(np.argmax(logits_TV[place.index - SHIFTED[name]]))
        text[[place.index for place in found.positions if place.step == step]] = [
            place.id for place in found.positions if place.step == step
        ]
    assert text.tolist() == [*PROMPT, *result.ids]
    assert MASK not in text
    counts = [sum(place.step == step for place in found.positions) for step in range(3)]
    assert counts == ([2, 2, 2] if name == "llada" else [1, 2, 3])


def test_json(called: Program) -> None:
    arguments = ("--max-tokens", "8", "--block-length", "4", "--unmask-order", "margin", "--ignore-eos", "--json")
    found = called(*HERE, *arguments).json
    unmasking = found["unmasking"]
    assert {key: unmasking[key] for key in ("unmask_order", "diffusion_steps", "block_length", "mask_id")} == {
        "unmask_order": "margin",
        "diffusion_steps": 8,
        "block_length": 4,
        "mask_id": MASK,
    }
    assert found["passes"] == 8
    steps = [place["step"] for place in unmasking["positions"]]
    assert sorted(steps[:4]) == [0, 1, 2, 3] and sorted(steps[4:]) == [4, 5, 6, 7]
    assert [step["id"] for step in found["steps"]] == found["ids"] == [place["id"] for place in unmasking["positions"]]


@pytest.mark.parametrize("width", ["60", "80"])
def test_the_grid(called: Program, width: str) -> None:
    ran = called(*HERE, "--max-tokens", "6", "--ignore-eos", COLUMNS=width)
    assert "6 masks in 6 steps, the most probable guess first" in ran.out
    rows = ran.out.partition("masks across\n")[2].splitlines()[1:7]
    assert [row.count("■") for row in rows] == [1] * 6
    assert [row.count("·") for row in rows] == [0, 1, 2, 3, 4, 5]
    assert max(map(len, ran.out.splitlines())) <= int(width)


def test_masks_in_the_prompt_are_filled_too() -> None:
    result, found = filled([5, MASK, 7, 8], str(FOLDER / "dream"), max_tokens=0)
    assert [place.index for place in found.positions] == [1]
    assert result.ids == []
    assert (found.prompt, found.prompt_ids) == ("", [5, found.positions[0].id, 7, 8])
    masked = llminspect.forward([5, MASK, 7, 8], str(FOLDER / "dream"), top=1).masked
    assert masked is not None
    assert [(mask.index, mask.top[0].id) for mask in masked] == [(1, found.positions[0].id)]


@pytest.mark.parametrize("width", ["60", "80"])
def test_the_picture_of_masks_in_the_prompt_and_of_steps_that_fill_none(called: Program, width: str) -> None:
    at = ("--model", str(FOLDER / "dream"), "--ignore-eos")
    alone = called("generate", "--ids", f"5,{MASK},7,8", "--max-tokens", "0", *at, COLUMNS=width).out
    assert alone.splitlines()[0].startswith("#5 #") and f"#{MASK}" not in alone
    assert alone.splitlines()[-1] == "1 mask filled in 1 pass" and "at a time" not in alone
    both = called(
        "generate", "--ids", f"5,{MASK},7", "--max-tokens", "2", "--diffusion-steps", "9", *at, COLUMNS=width
    ).out
    assert "3 masks filled in 9 passes" in both and "no mask was due in step 0-" in both and "at a time" not in both
    assert "step  0 to 8" in both
    more = called(*HERE, "--max-tokens", "2", "--diffusion-steps", "9", "--ignore-eos", COLUMNS=width).out
    assert "2 masks filled in 2 passes" in more and "nothing was left to fill from step 2 on" in more
    drawn = called(*HERE, "--max-tokens", "2", "--unmask-order", "random", "--seed", "4", COLUMNS=width).out
    assert "in an order that was drawn (seed 4)" in drawn
    given = ("generate", "--ids", f"5,{MASK},7", "--max-tokens", "2", "--n", "2", "--temperature", "1", *at)
    several = called(*given, "--seed", "1")  # A seed with which no guess is the mask itself.
    assert f"#{MASK}" not in several.out and ", 3 masks filled\n" in several.out
    assert "2 samples in 6 passes" in several.out and "length" not in several.out


def test_walk_and_the_hint_for_masks_say_what_is_so(called: Program) -> None:
    assert "it writes by filling masks" in called("walk", "--ids", "1", "--model", str(FOLDER / "llada")).err
    looked = called("forward", "--ids", "1,2", "--model", str(FOLDER / "llada")).out
    assert "no mask token in the text to be filled; its id is none of --ids" in looked


def test_a_token_that_ends_a_text_ends_the_completion_and_not_the_filling() -> None:
    result, found = filled(PROMPT, str(FOLDER / "dream"), max_tokens=32, diffusion_steps=16)
    assert result.stop == "eos" and result.ids[-1] == 2 and len(result.ids) < 32
    assert len(found.positions) == 32


def test_a_seed_repeats_what_was_drawn() -> None:
    """The order alone, where no option of the draws of tokens is given."""
    model = open_model(str(FOLDER / "llada"))

    def order(**options: Any) -> list[int | None]:
        return [place.step for place in filled(PROMPT, model, **options)[1].positions]

    assert order(unmask_order="random", seed=1) == order(unmask_order="random", seed=1)
    assert order(unmask_order="random", seed=1) != order(unmask_order="random", seed=2)
    result = llminspect.generate(PROMPT, model, unmask_order="random", seed=1)
    assert result.seed == 1 and all(step.drawn_prob is None for step in result.steps)
    drawn = llminspect.generate(PROMPT, model, temperature=1.5, seed=1)
    assert all(step.drawn_prob is not None for step in drawn.steps)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--beams", "2"), "llminspect: --beams: "),
        (("--beams", "0"), "0 is not a number from 1 up"),
        (("--stop", "a"), "llminspect: --stop: "),
        (("--prefix", "a"), "llminspect: --prefix: "),
        (("--tree", "2"), "llminspect: --tree: "),
        (("--lookup", "2"), "llminspect: --lookup: "),
        (("--repetition-penalty", "1.2"), "llminspect: --repetition-penalty: "),
        (("--no-repeat-ngram", "2"), "llminspect: --no-repeat-ngram: "),
        (("--model-settings",), "llminspect: --model-settings: "),
        (("--stream",), "llminspect: --stream: "),
        (("--watch",), "llminspect: --watch: "),
        (("--block-length", "5"), "--block-length 5 does not divide the 32 tokens of --max-tokens"),
        (("--block-length", "8", "--diffusion-steps", "6"), "--diffusion-steps 6 cannot be shared evenly by 4 blocks"),
        (("--max-tokens", "0"), "there is no mask to fill"),
        (("--max-tokens", "100000000"), "was made for"),
        (("--unmask-order", "best"), "'best' is not one of"),
        (("--diffusion-steps", "0"), "0 is not a number from 1 up"),
    ],
)
def test_what_makes_no_sense_is_refused(called: Program, arguments: tuple[str, ...], line: str) -> None:
    ran = called(*HERE, *arguments)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert line in ran.err
    assert not line.startswith("llminspect") or "fills masks, in any order (leave it out)" in ran.err


@pytest.mark.parametrize("option", ["diffusion_steps", "block_length", "unmask_order"])
def test_no_other_model_takes_its_options(called: Program, option: str) -> None:
    value = "random" if option == "unmask_order" else "2"
    name = f"--{option.replace('_', '-')}"
    ran = called("generate", "--ids", "1", name, value, "--model", str(FOLDER / "llama"))
    assert ran.code == 2 and name in ran.err and "writes token after token, and fills no masks" in ran.err
    with pytest.raises(UsageError, match=name):
        llminspect.generate([1], str(FOLDER / "llama"), **{option: value if value == "random" else 2})


@pytest.mark.parametrize(
    ("name", "changes", "line"),
    [
        ("llada", {"mask_token_id": 47}, "mask_token_id = 47 is not understood"),
        ("dream", {"is_causal": True}, "is_causal = true is not understood"),
        ("llada", {"block_type": "sequential"}, 'block_type = "sequential" is not understood'),
        ("llada", {"rope": False}, "rope = false is not understood"),
        ("llada", {"include_bias": True}, "include_bias = true is not understood"),
        ("llada", {"scale_logits": True}, "scale_logits = true is not understood"),
    ],
)
def test_a_model_that_is_built_otherwise_is_refused(
    called: Program, tmp_path: Path, name: str, changes: dict[str, Any], line: str
) -> None:
    shutil.copy(FOLDER / name / "model.safetensors", tmp_path)
    config = json.loads((FOLDER / name / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    ran = called("forward", "--ids", "1", "--model", str(tmp_path))
    assert ran.code == 3 and line in ran.err


def test_a_model_that_names_no_mask_is_looked_at_and_does_not_write(called: Program, tmp_path: Path) -> None:
    shutil.copy(FOLDER / "llada" / "model.safetensors", tmp_path)
    config = json.loads((FOLDER / "llada" / "config.json").read_text())
    del config["mask_token_id"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert called("attend", "--ids", "1,2", "--model", str(tmp_path)).code == 0
    ran = called("generate", "--ids", "1,2", "--model", str(tmp_path))
    assert ran.code == 3 and "does not name its mask token" in ran.err
