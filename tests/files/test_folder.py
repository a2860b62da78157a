"""A model's folder: what is found in it, and what is not followed or opened."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from llminspect.errors import ModelError
from llminspect.files.locate import locate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 4}))
    (made / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}))
    (made / "tokenizer.json").write_text("{}")
    (made / "chat_template.jinja").write_text("{{ messages }}")
    (made / "1_Pooling").mkdir()
    (made / "1_Pooling" / "config.json").write_text("{}")
    save_file({"w": np.ones((2, 3), np.float32)}, made / "model.safetensors")
    return made


def test_everything_that_belongs_to_a_model(folder: Path) -> None:
    located = locate(str(folder))
    assert located.format == "huggingface"
    assert located.config == {"model_type": "llama", "hidden_size": 4}
    assert located.generation == {"eos_token_id": 2}
    assert set(located.tokenizer_files) >= {"tokenizer.json", "chat_template.jinja", "1_Pooling/config.json"}
    assert located.tokenizer_files["tokenizer.json"].read_bytes() == b"{}"
    assert located.weights is not None
    np.testing.assert_array_equal(located.weights.array("w"), np.ones((2, 3)))
    assert located.provenance["file"] == "model.safetensors"
    assert len(located.provenance["sha256"]) == 64
    assert located.provenance["weight_types"] == {"F32": 1}


def test_a_file_of_the_folder_stands_for_it(folder: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        assert locate(str(folder / name)).identity == locate(str(folder)).identity


def test_identity_changes_with_the_config(folder: Path) -> None:
    before = locate(str(folder)).identity
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    assert locate(str(folder)).identity != before


def test_shards_have_a_hash_each(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "model-1.safetensors"}}))
    located = locate(str(folder))
    assert located.provenance["file"] == "model-1.safetensors"
    save_file({"v": np.ones(1, np.float32)}, folder / "model-2.safetensors")
    weight_map = {"w": "model-1.safetensors", "v": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert set(locate(str(folder)).provenance["files"]) == {"model-1.safetensors", "model-2.safetensors"}


def test_a_shard_that_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    weight_map = {"w": "model-1.safetensors", "v": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelError, match=r"names 'model-2\.safetensors', which is not there"):
        locate(str(folder))


def test_without_weights_there_is_a_tokenizer_still(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    located = locate(str(folder))
    assert located.weights is None
    assert located.provenance == {}


def test_a_pickle_is_refused_with_the_reason(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    (folder / "training_args.bin").write_bytes(b"\x80\x02")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*can run any code") as caught:
        locate(str(folder))
    assert "safetensors" in (caught.value.hint or "")


def test_a_config_that_is_broken(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is not JSON"):
        locate(str(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "generation_config.json"])
def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to("../elsewhere")
    with pytest.raises(ModelError, match="a link to a file outside the folder"):
        locate(str(folder))


def test_a_shard_that_is_a_link_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(tmp_path / "elsewhere")
    (folder / "m.safetensors").symlink_to("../elsewhere")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "m.safetensors"}}))
    with pytest.raises(ModelError, match="a link to a file outside the folder"):
        locate(str(folder))


def test_links_within_the_folder_and_into_the_hubs_blobs_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").rename(folder / "real.json")
    (folder / "config.json").symlink_to("real.json")
    assert locate(str(folder)).config["model_type"] == "llama"
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "c0"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (folder / "real.json").rename(blobs / "123")
    (snapshot / "config.json").symlink_to("../../blobs/123")
    assert locate(str(snapshot)).config["model_type"] == "llama"


def test_a_pipe_in_place_of_a_file_does_not_hang(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    os.mkfifo(folder / "generation_config.json")
    with pytest.raises(ModelError, match="is not a file"):
        locate(str(folder))
