"""`--patch --into 1.1.query` and its kind: against PyTorch's numbers, against a plain pass, in every family."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect import forward as forward_by_name
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.arguments.experiments import PatchOptions, parse_place
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.generate import GenerateOptions
from llminspect.core.intervention import INNER, Place
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.commands.experimenting import FRANCE, ITALY, ids_prompt
from tests.commands.patched import Acts, agrees, values_at
from tests.commands.plain_llama import plain_forward
from tests.model.golden import FOLDER, Golden

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

with np.load(FOLDER / "patches.npz") as file:
    RECORDED = dict(file)
"""By tools/record_patches.py: layer 1, head 1, positions 3 and 5."""
KINDS = "bert bloom deepseek-v3 deberta falcon gemma3n gemma4 gpt-oss gpt2 jamba marian minicpm3 qwen3 rwkv7 t5".split()
"""What lies between a map and its heads is different in each."""


def logits_of(model: Model, ids: list[int], other: list[int], into: str, **options: Any) -> Any:
    """Of all tokens after the last one, in the order of their ids."""
    question = ForwardQuestion(ForwardOptions(top=1 << 20), SweepOptions("", [into], **options), source_ids=other)
    found = forward(model, question, ids_prompt(*ids)).next
    assert found is not None
    return np.array([token.logit for token in sorted(found, key=lambda token: token.id)])


@pytest.mark.parametrize("case", [name for name in RECORDED if name.endswith("/same")])
def test_what_a_head_works_with_is_patched_as_in_pytorch(case: str) -> None:
    family, part, _ = case.split("/")
    ids = Golden(family).expected["ids"].tolist()
    found = logits_of(open_model(str(FOLDER / family)), ids[:6], ids[5:11], f"1.1.{part}", position="3,5")
    assert_close(found, RECORDED[case])
    apart = np.abs(RECORDED[case] - RECORDED[f"{family}/plain"]).max() / np.abs(RECORDED[case]).max()
    assert apart > 1e-4, "and that is another number than without the patch"


@pytest.mark.parametrize("case", [name for name in RECORDED if name.endswith("/aligned")])
def test_other_positions_of_a_longer_text_are_patched_as_in_pytorch(case: str) -> None:
    """Before and after the rotation are not the same then."""
    family, part, _ = case.split("/")
    ids = Golden(family).expected["ids"].tolist()
    align: dict[str, Any] = {"position": "3,5", "align": ["3=4", "5=-1"]}
    found = logits_of(open_model(str(FOLDER / family)), ids[:6], ids[3:11], f"1.1.{part}", **align)
    assert_close(found, RECORDED[case])
    assert np.abs(RECORDED[case] - RECORDED[f"{family}/plain"]).max() > 1e-4 * np.abs(RECORDED[case]).max()


@pytest.mark.parametrize("part", ["query", "key", "value", "pattern", "query.projected", "key.projected"])
def test_a_plain_pass_with_the_same_patch_gives_the_same(part: str) -> None:
    model, ids, other = open_model(str(FOLDER / "llama")), [5, 6, 7, 8, 9], [5, 10, 11, 12, 9]
    shared = model.config.sizes.H // model.config.sizes.K
    assert shared > 1
    number = 1 // shared if part.split(".")[0] in ("key", "value") else 1
    place, kept = (part, 0, number), dict[int, Any]()

    def keep(name: str, layer: int, head: int, position: int, vector: Any) -> Any:
        if (name, layer, head) == place:
            kept[position] = vector
        return vector

    def swap(name: str, layer: int, head: int, position: int, vector: Any) -> Any:
        return kept[position] if (name, layer, head) == place and position in (2, 3) else vector

    plain_forward(model, other, inside=keep)
    expected = plain_forward(model, ids, inside=swap)[0]
    assert_close(logits_of(model, ids, other, f"0.1.{part}", position="2-3"), expected)
    assert np.abs(expected - plain_forward(model, ids)[0]).max() > 1e-4 * np.abs(expected).max()


def test_all_heads_of_a_layer_are_patched_at_once() -> None:
    model, ids, other = open_model(str(FOLDER / "llama")), [5, 6, 7, 8], [9, 10, 11, 12]
    for part in ("query", "key", "value", "pattern"):
        name = f"layers.1.attention.{'weights' if part == 'pattern' else part}"
        values = values_at(model, other, name)
        stream_TD = model.run(ids, Acts({name: lambda array, values=values: values})).stream_TD  # type: ignore[misc]
        assert_close(logits_of(model, ids, other, f"1.{part}"), model.logits(stream_TD)[-1])


@pytest.mark.parametrize("name", KINDS)
def test_a_place_is_there_or_refused_in_every_family(name: str) -> None:
    model = open_model(str(FOLDER / name))
    names = set(model.names())
    for layer in range(model.config.sizes.L):
        for part in INNER:
            tap = Place(layer, part).tap
            try:
                place = parse_place(model, f"{layer}.0.{part}", "--into", stream=True)
            except UsageError:
                assert tap not in names, f"{layer}.0.{part} is there and refused"
                continue
            assert place.tap == tap and tap in names, f"{layer}.0.{part} is not there"
            heads = model.config.sizes.H // place.sharing
            assert place.index(slice(None))[1] in range(heads)


def test_keys_that_a_layer_borrows_are_changed_for_it_alone_and_the_lender_s_for_both() -> None:
    model, ids, other = open_model(str(FOLDER / "gemma3n")), [5, 6, 7, 8], [9, 10, 11, 12]
    borrower = next(layer for layer in range(model.config.sizes.L) if model.config.keys_of(layer) != layer)
    name = f"layers.{borrower}.attention.key"
    values = values_at(model, other, name)
    acts = Acts({name: lambda array: values})
    found = logits_of(model, ids, other, f"{borrower}.key")
    assert_close(found, model.logits(model.run(ids, acts).stream_TD)[-1])
    with pytest.raises(UsageError, match=f"works with the keys and values of layer {model.config.keys_of(borrower)}"):
        parse_place(model, f"{borrower}.key.projected", "--into", stream=True)


@pytest.mark.parametrize("into", ["1.query", "1.key", "0.1.value", "1.1.pattern", "0.key.projected"])
def test_what_is_written_after_a_patched_prompt(into: str) -> None:
    model, ids, other = open_model(str(FOLDER / "llama")), [5, 6, 7, 8], [5, 9, 10, 8]
    place = parse_place(model, into, "--into", stream=True)
    head = None if place.head is None else place.head // place.sharing
    values = values_at(model, other, place.tap)

    def act(array: Any) -> Any:
        changed = array.copy()
        heads = range(len(array)) if head is None else [head]
        for one in heads:  # A pattern of a longer text has more columns: those of later tokens, which it does not see.
            width = values.shape[-1] if "pattern" in into else array.shape[-1]
            changed[one, 1:3, :width] = values[one, 1:3]
        return changed

    patch, options = PatchOptions("", [into], "1-2"), GenerateOptions(max_tokens=6, ignore_eos=True)
    question = GenerateQuestion(options=options, patch=patch, source_ids=other)
    agrees(model, ids, generate(model, question, ids_prompt(*ids)), Acts({place.tap: act}))


@pytest.mark.parametrize(
    ("model", "into", "words"),
    [
        ("llama", "1.9.query", "there is no head 9"),
        ("llama", "9.key", "there is no layer 9"),
        ("llama", "0.1.value.projected", "layer 0 does not norm what its value map gives (0.1.value is the same)"),
        ("gpt2", "0.1.query.projected", "layer 0 does not norm or turn what its query map gives"),
        ("llama", "0.1.pattern.projected", "is not a part of the model"),
        ("mamba", "0.query", "that layer has a state and no attention"),
        ("t5", "0.1.cross.value", "the keys and values of the source are made when it is read"),
    ],
)
def test_what_is_not_there_is_refused_by_name(model: str, into: str, words: str) -> None:
    target = [5, 6] if model == "t5" else None
    with pytest.raises(UsageError) as refused:
        forward_by_name([5, 6, 7], str(FOLDER / model), patch=[5, 6, 8], into=into, target_ids=target)
    assert words in str(refused.value) + f" ({refused.value.hint})"


def test_the_picture_says_which_heads_share_and_the_json_too(called: Program) -> None:
    given = ("forward", FRANCE, "--patch", ITALY, "--into", "23.4.key", "--top", "2")
    drawn, made = called(*given).out, called(*given, "--json").json["change"]["experiments"]
    assert "heads 3 to 5 share their keys: 23.4.key is changed for all" in drawn
    assert [(entry["where"], entry["heads"]) for entry in made] == [("23.4.key", [3, 4, 5])]
    assert "heads" not in called(*given[:5], "23.4.query", "--json").json["change"]["experiments"][0]
    assert re.search(r"patch 23\.4\.key \(“.*” at every position\)", drawn)
