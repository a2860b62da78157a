"""GGUF files in parts, and what lies in folders that are no models."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

from llminspect.errors import ModelError
from llminspect.files.locate import locate
from llminspect.opening import open_model
from tests.closeness import assert_close
from tests.files.gguf_writer import GGUF, Tensor
from tests.fuzz.samples import llama, vocabulary
from tests.model import gguf_of
from tests.model.golden import FOLDER, Golden

if TYPE_CHECKING:
    from tests.conftest import Program

IDS = [5, 6, 7]


def written(folder: Path, changes: dict[str, Any] | None = None, count: int = 3) -> list[Path]:
    """A llama in parts, as llama.cpp's gguf-split cuts it; `changes` of the last part's keys."""
    whole = llama(vocabulary("gpt2"), 264, layers=2)
    (folder / "whole.gguf").write_bytes(whole.build())
    paths, share = [], -(-len(whole.tensors) // count)
    for number in range(count):
        keys: dict[str, Any] = {"no": ("H", number), "count": ("H", count), "tensors.count": ("i", len(whole.tensors))}
        if number == count - 1:
            keys |= changes or {}
        split = [(f"split.{key}", value) for key, value in keys.items() if value is not None]
        tensors = whole.tensors[number * share : (number + 1) * share]
        part = GGUF([*(whole.metadata if number == 0 else []), *split], tensors)
        paths.append(folder / f"m-{number + 1:05d}-of-{count:05d}.gguf")
        paths[-1].write_bytes(part.build())
    return paths


def test_any_part_opens_the_whole(tmp_path: Path) -> None:
    paths = written(tmp_path)
    expected = open_model(str(tmp_path / "whole.gguf")).run(IDS).stream_TD
    for path in paths:
        for streamed in (False, True):
            model = open_model(str(path), streamed=streamed)
            np.testing.assert_array_equal(model.run(IDS).stream_TD, expected)
        assert set(model.provenance["files"]) == {each.name for each in paths}
        assert model.tokenizer is not None
        assert model.tokenizer.kind == "byte-level BPE"


def test_as_the_gguf_package_splits_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Golden("llama")
    monkeypatch.setattr(gguf, "GGUFWriter", partial(gguf.GGUFWriter, split_max_tensors=9))
    gguf_of.write(golden, tmp_path / "m.gguf")
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == [f"m-0000{number}-of-00004.gguf" for number in (1, 2, 3, 4)]
    model = open_model(str(paths[1]))
    assert_close(model.logits(model.run(golden.expected["ids"]).stream_TD), golden.expected["logits"])


def test_the_identity_changes_with_each_part(tmp_path: Path) -> None:
    paths = written(tmp_path)
    before = locate(str(paths[0])).identity
    paths[2].write_bytes(paths[2].read_bytes()[:-1] + b"x")
    assert locate(str(paths[0])).identity != before


def test_parts_that_are_missing_are_named(tmp_path: Path) -> None:
    paths = written(tmp_path)
    paths[0].unlink()
    paths[1].unlink()
    with pytest.raises(ModelError, match=r"one part of 3.*missing: m-00001-of-00003\.gguf, m-00002-of-00003\.gguf"):
        locate(str(paths[2]))
    paths[2].rename(tmp_path / "m-00002-of-90000.gguf")
    with pytest.raises(ModelError, match="and 89996 more"):
        locate(str(tmp_path / "m-00002-of-90000.gguf"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"no": ("H", 1)}, "its split.no is 1, not 2"),
        ({"count": ("H", 4)}, "its split.count is 4, not 3"),
        ({"tensors.count": ("i", 7)}, "its split.tensors.count is 7, not 20"),
        ({"no": None}, "its split.no is null, not 2"),
        ({"no": "x" * 500}, 'its split.no is "xxxx'),
    ],
)
def test_parts_that_do_not_belong_together(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    paths = written(tmp_path, changes)
    with pytest.raises(ModelError) as caught:
        locate(str(paths[0]))
    assert message in caught.value.message


def test_a_tensor_in_two_parts(tmp_path: Path) -> None:
    paths = written(tmp_path)
    split = [("split.no", ("H", 2)), ("split.count", ("H", 3)), ("split.tensors.count", ("i", 20))]
    paths[2].write_bytes(GGUF(split, [Tensor("token_embd.weight", (2,), b"\0" * 8)]).build())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"is in m-00001-of-00003\.gguf and in m-00003-of-00003\.gguf"):
        locate(str(paths[0]))


def test_a_part_under_another_name_says_what_it_is(tmp_path: Path) -> None:
    path = written(tmp_path)[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(ModelError, match="one part of 3, and its name does not say which"):
        locate(str(path))


def sharded(folder: Path) -> Path:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(FOLDER / "llama" / "model.safetensors")
    names = sorted(tensors)
    for number, some in enumerate((names[:9], names[9:]), 1):
        save_file({name: tensors[name] for name in some}, folder / f"model-{number:05d}-of-00002.safetensors")
    shutil.copy(FOLDER / "llama" / "config.json", folder / "config.json")
    return folder


def test_shards_without_an_index_are_the_model(tmp_path: Path) -> None:
    found = open_model(str(sharded(tmp_path)))
    expected = open_model(str(FOLDER / "llama")).run(IDS).stream_TD
    np.testing.assert_array_equal(found.run(IDS).stream_TD, expected)
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"of 2 shards some are missing: model-00001-of-00002\.safetensors"):
        locate(str(tmp_path))


def test_shards_of_two_models(tmp_path: Path) -> None:
    sharded(tmp_path)
    shutil.copy(tmp_path / "model-00001-of-00002.safetensors", tmp_path / "model-00001-of-00001.safetensors")
    with pytest.raises(ModelError, match="are shards of two models"):
        locate(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        (["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"], "an adapter", "--adapter"),
        (["model-00001-of-00002.safetensors", "tokenizer.json"], "weights (model-00001-of-00002", "fetch what"),
        (["tokenizer.json", "vocab.txt"], "a tokenizer (tokenizer.json, vocab.txt)", "tokenize"),
        (
            ["pytorch_model.bin", "training_args.bin"],
            "a pickle, which is not opened: opening one can run any code (py",
            "safe",
        ),
        (["a.Q4.gguf", "b.gguf", "c.gguf", "d.gguf"], "GGUF files (a.Q4.gguf, b.gguf, c.gguf and 1 more)", "path"),
        (["onnx/model.onnx"], "ONNX, which is not opened (onnx/model.onnx)", "safetensors"),
        (["tf_model.h5"], "weights for TensorFlow or Flax", "safetensors"),
        (["\x1b[31m.onnx"], r"'\x1b[31m.onnx'", "safetensors"),
        (["README.md"], "holds no config.json", "folder"),
    ],
)
@pytest.mark.parametrize("name", ["there", "org/there", "./there"])
def test_what_lies_in_a_folder_is_named(
    name: str, files: list[str], message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in files:
        place = tmp_path / name / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("{}")
    with pytest.raises(ModelError) as caught:
        locate(name)
    assert f"the folder {str(Path(name))!r} holds no config.json" in caught.value.message
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(("file", "message"), [("adapter_config.json", "an adapter"), ("m.onnx", "ONNX")])
def test_a_configuration_without_weights(file: str, message: str, called: Program, tmp_path: Path) -> None:
    shutil.copy(FOLDER / "llama" / "config.json", tmp_path / "config.json")
    (tmp_path / file).write_text("{}")
    ran = called("forward", "--ids", "1", "--model", str(tmp_path))
    assert ran.code == 3
    assert f"holds no weights that can be opened; it holds {message}" in ran.err
    assert f"({file})" in ran.err
