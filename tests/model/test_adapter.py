"""LoRA added to golden models, against PEFT's merged weights; and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import llminspect
from llminspect.errors import ModelError, UsageError
from llminspect.files.safetensors import SafetensorsFile
from llminspect.opening import open_model
from tests.closeness import SINGLE, assert_close
from tests.model import gguf_of
from tests.model.golden import FOLDER, Golden

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llminspect.model.opened import Model
    from tests.conftest import Program

ADAPTERS = FOLDER / "adapters"
NAMES = sorted(path.name for path in ADAPTERS.iterdir())


def base_of(name: str) -> Golden:
    return Golden(name if (FOLDER / name).is_dir() else name.partition("-")[0])


def assert_merged(model: Model, name: str) -> None:
    with np.load(ADAPTERS / name / "expected.npz") as expected:
        logits = model.logits(model.run(expected["ids"]).stream_TD)
        assert_close(logits, expected["logits"], SINGLE, name)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_as_peft_merges_it(name: str, streamed: bool) -> None:
    model = open_model(str(base_of(name).folder), adapter=str(ADAPTERS / name), streamed=streamed)
    assert_merged(model, name)
    stated = model.provenance["adapter"]
    assert stated["name"] == str(ADAPTERS / name)
    assert len(stated["sha256"]) == len(stated["config_sha256"]) == 64


@pytest.mark.parametrize("name", [name for name in NAMES if base_of(name).name in gguf_of.KINDS])
def test_the_same_on_a_gguf_file_of_the_model(name: str, tmp_path: Path) -> None:
    gguf_of.write(base_of(name), tmp_path / "m.gguf")
    model = open_model(str(tmp_path / "m.gguf"), adapter=str(ADAPTERS / name))
    whole = gguf_of.UNSAID.get(base_of(name).name, lambda config: config)(model.config)
    assert_merged(dataclasses.replace(model, config=whole), name)


def test_prepared_weights_of_one_adapter_are_not_those_of_another() -> None:
    base = str(base_of("llama").folder)
    for name in ("llama", "llama-regex", "llama"):
        assert_merged(open_model(base, adapter=str(ADAPTERS / name)), name)
    golden = Golden("llama")
    plain = open_model(base)
    assert "adapter" not in plain.provenance
    assert_close(plain.logits(plain.run(golden.expected["ids"]).stream_TD), golden.expected["logits"])


def changed(tmp_path: Path, name: str = "llama", **settings: Any) -> str:
    shutil.copytree(ADAPTERS / name, tmp_path / "adapter")
    place = tmp_path / "adapter" / "adapter_config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **settings}))
    return str(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, "of the kind 'IA3'"),
        ({"peft_type": None}, "does not say what kind of adapter it is"),
        ({"use_dora": True}, r"use_dora = True \(DoRA\)"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"strange": 1}, "strange = 1"),
        ({"strange": False}, "strange = False"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa' changes the model's own"),
        ({"init_lora_weights": ["pissa"]}, "init_lora_weights"),
        ({"r": 7}, "its rank is 7"),
        ({"r": True}, "r = True"),
        ({"lora_alpha": "7"}, "lora_alpha"),
        ({"alpha_pattern": {"o_proj": None}}, "lora_alpha = None"),
        ({"rank_pattern": [1]}, "rank_pattern"),
        ({"alpha_pattern": {"(a+)+": 1}}, "is not run"),
        ({"alpha_pattern": {"(": 1}}, "is no regular expression"),
        ({"target_modules": ["q_proj"]}, "none of its target_modules"),
        ({"target_parameters": "experts.down_proj"}, "target_parameters = 'experts.down_proj'"),
    ],
)
def test_what_is_not_understood_is_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    adapter = changed(tmp_path, **settings)
    with pytest.raises(ModelError, match=message):
        open_model(str(base_of("llama").folder), adapter=adapter)


@pytest.mark.parametrize(
    ("base", "name", "message"),
    [
        ("gpt2", "llama", "this model does not have as a matrix of its own"),
        ("llama-biased", "llama", "does not fit the model's matrix of"),
        ("gemma", "llama-ends", "as embedding and as output|does not have"),
    ],
)
def test_an_adapter_of_another_model_is_refused(base: str, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_model(str(Golden(base).folder), adapter=str(ADAPTERS / name))


BIG, Q = 9**6, "base_model.model.model.layers.0.self_attn.q_proj.lora_"


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float16)


def tensors_of(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> str:
    from safetensors.numpy import load_file, save_file

    folder = changed(tmp_path)
    tensors = load_file(f"{folder}/adapter_model.safetensors")
    change(tensors)
    save_file(tensors, f"{folder}/adapter_model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.popitem(), "one half of"),
        (lambda tensors: tensors.clear(), "holds no tensors"),
        (
            lambda tensors: tensors.update({f"{Q}A.weight": ones(5, BIG), f"{Q}B.weight": ones(BIG, 5)}),
            "does not fit",
        ),
        (lambda tensors: tensors.update({f"{Q}A.weight": ones(5, 60), f"{Q}B.weight": ones(35, 5)}), "does not fit"),
        (lambda tensors: tensors.update({f"{Q}embedding_A": ones(5, 36)}), "twice"),
        (lambda tensors: tensors.update({f"{Q.replace('.model.layers', '.layers')}A.weight": ones(5, 36)}), "half"),
        (
            lambda tensors: tensors.update({"base_model.model.lm_head.weight": np.ones(3)}),
            "not half of a low-rank pair",
        ),
        (lambda tensors: tensors.update({"base_model.model.a.lora_magnitude_vector": np.ones(3)}), "DoRA"),
    ],
)
def test_tensors_that_are_no_pairs_are_refused(change: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    folder = tensors_of(tmp_path, change)
    with pytest.raises(ModelError, match=message):
        open_model(str(base_of("llama").folder), adapter=folder)


def test_where_there_is_none(tmp_path: Path) -> None:
    base = str(base_of("llama").folder)
    with pytest.raises(ModelError, match="there is no folder"):
        open_model(base, adapter=str(tmp_path / "missing"))
    with pytest.raises(ModelError, match=r"holds no adapter_config\.json"):
        open_model(base, adapter=str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80")
    with pytest.raises(ModelError, match="pickle"):
        open_model(base, adapter=str(tmp_path))
    for name in ("adapter_config.json", "adapter_model.safetensors"):  # One of its files stands for it.
        model = open_model(base, adapter=str(ADAPTERS / "llama" / name))
        assert_merged(model, "llama")
    with pytest.raises(ModelError, match="is a file, and an adapter is a folder"):
        open_model(base, adapter=str(tmp_path / "adapter_model.bin"))
    with pytest.raises(UsageError, match="--adapter has no effect on toy"):
        open_model("toy", adapter=str(tmp_path))
    with pytest.raises(UsageError, match="no adapter can be added"):
        open_model(base, adapter=str(tmp_path), kernels="compiled")


def test_info_says_what_is_added(called: Program) -> None:
    given = ("info", str(base_of("llama").folder), "--adapter", str(ADAPTERS / "llama"))
    found = called(*given, "--json").json["adapter"]
    file = SafetensorsFile(ADAPTERS / "llama" / "adapter_model.safetensors")
    assert found["matrices"] == len(file.tensors) / 2
    assert found["parameters"] == sum(math.prod(info.shape) for info in file.tensors.values())
    assert found["ranks"] == sorted({info.shape[0] for name, info in file.tensors.items() if ".lora_A" in name})
    assert found["name"] == str(ADAPTERS / "llama")
    assert f"on {found['matrices']} matrices" in " ".join(called(*given, COLUMNS="80").out.split())
    assert "adapter" not in called(*given[:2], "--json").json


def test_commands_and_python_add_it_and_say_so(called: Program) -> None:
    base, adapter = str(base_of("llama").folder), str(ADAPTERS / "llama")
    ids = np.load(ADAPTERS / "llama" / "expected.npz")["ids"].tolist()
    given = ("forward", "--ids", ",".join(map(str, ids)), "--model", base, "--json")
    document = called(*given, "--adapter", adapter).json
    assert document["provenance"]["adapter"]["name"] == document["provenance"]["options"]["adapter"] == adapter
    model = llminspect.open_model(base, adapter=adapter)
    assert document["next"][0]["id"] == llminspect.forward(ids, model).next[0].id
    assert document["next"] != called(*given).json["next"]
    assert called("info", base, "--adapter", adapter, "--json").json["provenance"]["adapter"]["name"] == adapter
    two = called("diff", "--ids", "5,6", "--model", base, "--adapter", adapter, "--against-model", base, "--json").json
    assert "adapter" in two["provenance"] and "adapter" not in two["provenance"]["against"]


def test_one_that_lies_beside_a_model_is_mentioned_and_not_added(called: Program, tmp_path: Path) -> None:
    golden = Golden("llama")
    for file in ("config.json", "model.safetensors"):
        shutil.copy(golden.folder / file, tmp_path / file)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(ADAPTERS / "llama" / file, tmp_path / file)
    ran = called("forward", "--ids", "5,6", "--model", str(tmp_path), "--json")
    assert "an adapter lies beside the model" in ran.err
    assert ran.json["provenance"]["adapter_beside"] is True
    plain = called("forward", "--ids", "5,6", "--model", str(golden.folder), "--json")
    assert ran.json["next"] == plain.json["next"] and not plain.err
    assert not called("forward", "--ids", "5,6", "--model", str(tmp_path), "--adapter", str(tmp_path), "--json").err


@pytest.mark.parametrize("moved", [0, 1])
def test_embeddings_that_an_adapter_brings_stand_in_place_of_the_model_s(moved: int, tmp_path: Path) -> None:
    """PEFT saves those that it changes beside their pairs, and reads them in place of the model's."""
    name, base = "llama-ends", base_of("llama-ends").folder
    shutil.copytree(ADAPTERS / name, tmp_path / "adapter")
    shutil.copytree(base, tmp_path / "model")
    weights, held = load_file(base / "model.safetensors"), load_file(ADAPTERS / name / "adapter_model.safetensors")
    for module in ("model.embed_tokens", "lm_head"):
        weight = weights[f"{module}.weight"] + np.float32(moved)
        weights[f"{module}.weight"] = held[f"base_model.model.{module}.base_layer.weight"] = weight
    save_file(held, tmp_path / "adapter" / "adapter_model.safetensors")
    save_file(weights, tmp_path / "model" / "model.safetensors")
    found = open_model(str(base), adapter=str(tmp_path / "adapter"))
    wanted = open_model(str(tmp_path / "model"), adapter=str(ADAPTERS / name))
    ids = [5, 6, 7]
    np.testing.assert_array_equal(found.logits(found.run(ids).stream_TD), wanted.logits(wanted.run(ids).stream_TD))
    if not moved:
        assert_merged(found, name)
    held["base_model.model.lm_head.base_layer.weight"] = np.zeros((3, 3), np.float32)
    save_file(held, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="unembedding"):
        open_model(str(base), adapter=str(tmp_path / "adapter"))


def test_a_bias_that_an_adapter_brings_stands_in_place_of_the_model_s(tmp_path: Path) -> None:
    """PEFT saves both arrays of an output matrix that it changes."""
    shutil.copytree(ADAPTERS / "gptj", tmp_path / "adapter")
    place, key = tmp_path / "adapter" / "adapter_model.safetensors", "base_model.model.lm_head.base_layer.bias"
    held, ids = load_file(place), [5, 6, 7]
    before = open_model(str(Golden("gptj").folder), adapter=str(tmp_path / "adapter"))
    held[key] = held[key] + np.arange(len(held[key]), dtype=np.float32)
    save_file(held, place)
    after = open_model(str(Golden("gptj").folder), adapter=str(tmp_path / "adapter"))
    moved = after.logits(after.run(ids).stream_TD) - before.logits(before.run(ids).stream_TD)
    np.testing.assert_allclose(moved, np.arange(len(held[key])) + np.zeros((3, 1)), rtol=0, atol=1e-4)
    for name, value, message in (
        (key, held[key][:-1], "unembedding"),
        (key.replace("bias", "scale"), held[key], "not half of a low-rank pair"),
        (key.replace("lm_head", "transformer.h.0.attn.v_proj"), held[key], "stands for no single array"),
    ):
        save_file({**held, name: value}, place)
        with pytest.raises(ModelError, match=message):
            open_model(str(Golden("gptj").folder), adapter=str(tmp_path / "adapter"))
