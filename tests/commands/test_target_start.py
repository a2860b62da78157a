"""The token that a target of an encoder–decoder starts with: where it comes from, and when it is put in front."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

import llminspect
from llminspect.errors import ModelError, UsageError
from llminspect.files.gguf import GGUFFile
from llminspect.model.registry import architecture_for
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.model.gguf_of import write
from tests.model.golden import Golden

if TYPE_CHECKING:
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
FAMILIES = ["t5", "t5-gated", "marian"]


def folder_with(folder: Path, family: str, generation: dict[str, Any] | None = None, **changed: Any) -> str:
    """A model of the golden data with other settings; None leaves a key out."""
    shutil.copytree(GOLDEN / family, folder)
    config = {**json.loads((folder / "config.json").read_text()), **changed}
    kept = {key: value for key, value in config.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return str(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_taken_as_they_are_with_no_special(family: str, called: Program) -> None:
    """The numbers are those of the reference, which was given the same ids."""
    expected, name = Golden(family).expected, str(GOLDEN / family)
    source, ids = expected["source_ids"].tolist(), expected["ids"].tolist()
    model = open_model(name)
    result = llminspect.forward(source, model, special=False, target_ids=ids, top=131)
    assert [token["id"] for token in result.tokens] == ids and result.next is not None
    logits_V = np.array([found.logit for found in sorted(result.next, key=lambda found: found.id)])
    assert_close(logits_V, expected["logits"][-1])
    looked = llminspect.attend(source, model, special=False, target_ids=ids, layer=1)
    assert_close(np.stack([head.weights for head in looked.heads]), expected["attentions"][1])
    given = ["--ids", ",".join(map(str, source)), "--target-ids", ",".join(map(str, ids)), "-m", name, "--json"]
    for command in ("forward", "attend"):
        written = orjson.loads(called(command, *given, "--no-special").out)
        assert [token["id"] for token in written["tokens"]] == ids
        start: int = model.config.start_id  # type: ignore[attr-defined]
        written = orjson.loads(called(command, *given).out)
        assert [token["id"] for token in written["tokens"]] == ([] if ids[0] == start else [start]) + ids


@pytest.mark.parametrize("family", FAMILIES)
def test_the_start_is_not_doubled(family: str) -> None:
    model = open_model(str(GOLDEN / family))
    start: int = model.config.start_id  # type: ignore[attr-defined]

    def ids(target: list[int]) -> list[int]:
        result = llminspect.forward([7, 31, 5], model, target_ids=target)
        return [token["id"] for token in result.tokens]

    assert ids([start, 9, 10]) == ids([9, 10]) == [start, 9, 10]
    assert ids([start]) == [start] and ids([9, start]) == [start, 9, start]


STARTS: list[tuple[str, dict[str, Any] | None, dict[str, Any], int]] = [
    ("t5", None, {"decoder_start_token_id": 4}, 4),
    ("t5", None, {"decoder_start_token_id": ..., "pad_token_id": 3, "bos_token_id": 5}, 3),
    ("t5", None, {"decoder_start_token_id": None, "pad_token_id": ...}, 0),
    ("t5", None, {"decoder_start_token_id": None, "pad_token_id": None, "bos_token_id": 5}, 5),
    ("t5", {"decoder_start_token_id": 6}, {"decoder_start_token_id": ...}, 6),
    ("marian", None, {"decoder_start_token_id": ..., "pad_token_id": 3, "bos_token_id": 5}, 5),
    ("marian", None, {"decoder_start_token_id": None, "bos_token_id": 5}, 5),
    ("marian", {"decoder_start_token_id": 8, "bos_token_id": 5}, {}, 8),
    *[
        (family, None, {"decoder_start_token_id": ..., "bos_token_id": 5}, 5)
        for family in ("bart", "m2m_100", "pegasus")
    ],
]


@pytest.mark.parametrize(("family", "generation", "changed", "start"), STARTS)
def test_where_the_start_comes_from(
    family: str, generation: dict[str, Any] | None, changed: dict[str, Any], start: int, tmp_path: Path
) -> None:
    model = open_model(folder_with(tmp_path / "model", family, generation, **changed))
    assert [token["id"] for token in llminspect.forward([7, 31], model).tokens] == [start]


@pytest.mark.parametrize("family", ["t5", "marian", "bart", "pegasus"])
def test_without_a_start_the_error_names_target_ids(family: str, tmp_path: Path, called: Program) -> None:
    nothing = {"decoder_start_token_id": None, "pad_token_id": None, "bos_token_id": None}
    name = folder_with(tmp_path / "model", family, **nothing)
    for command in ("forward", "attend", "generate"):
        refused = called(command, "--ids", "7,31", "-m", name, "--quiet")
        assert refused.code == 2 and "--target-ids" in refused.err and refused.err.count("\n") == 1
    written = orjson.loads(called("forward", "--ids", "7,31", "--target-ids", "9,10", "-m", name, "--json").out)
    assert [token["id"] for token in written["tokens"]] == [9, 10]


@pytest.mark.parametrize("start", [131, -1, "0", 1.0, True])
def test_a_start_that_is_no_id_is_refused(start: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="decoder_start_token_id"):
        open_model(folder_with(tmp_path / "model", "marian", decoder_start_token_id=start))


def test_the_start_of_a_gguf_file(tmp_path: Path) -> None:
    write(Golden("t5"), tmp_path / "model.gguf")
    metadata = GGUFFile(tmp_path / "model.gguf").metadata
    key, pad, bos = "t5.decoder_start_token_id", "tokenizer.ggml.padding_token_id", "tokenizer.ggml.bos_token_id"
    read = architecture_for("t5", "gguf").config_from_gguf
    assert read is not None

    def start(**stated: int) -> object:
        names = {"start": key, "pad": pad, "bos": bos}
        kept = {name: value for name, value in metadata.items() if name not in names.values()}
        return read(kept | {names[name]: value for name, value in stated.items()}).start_id

    assert (start(start=4, pad=3, bos=5), start(pad=3, bos=5), start(bos=5), start()) == (4, 3, 5, None)
    with pytest.raises(ModelError, match="decoder_start_token_id"):
        start(start=4294967295)


def test_no_special_says_nothing_to_ids_alone(called: Program) -> None:
    refused = called("forward", "--ids", "7,31", "--no-special", "-m", str(GOLDEN / "t5"))
    assert refused.code == 2 and "--no-special" in refused.err
    with pytest.raises(UsageError, match="special"):
        llminspect.forward([7, 31], str(GOLDEN / "t5"), special=False)
    refused = called("forward", "--ids", "7", "--target-ids", "9", "--parse", "special", "-m", str(GOLDEN / "t5"))
    assert refused.code == 2 and "--parse" in refused.err


@pytest.mark.parametrize("command", ["forward", "attend"])
def test_no_ids_are_no_target(command: str, called: Program) -> None:
    for ids in ("", " ", "[]"):
        ran = called(command, "--ids", "7,31", "--model", str(GOLDEN / "t5"), "--target-ids", ids)
        assert ran.code == 2 and "--target-ids: no ids were given" in ran.err
