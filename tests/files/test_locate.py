"""From a name to a model's files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.errors import ModelError, TokenizerAlone
from llminspect.files import pull as pulling
from llminspect.files.locate import locate
from tests.files.gguf_writer import GGUF, Tensor

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)
CONTENT = GGUF([("general.architecture", "llama")], [Tensor("w", (2, 3), WEIGHTS.tobytes())]).build()


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT)
    return path


def test_a_gguf_file_by_its_path(gguf: Path) -> None:
    located = locate(str(gguf))
    assert (located.name, located.format, located.path) == (str(gguf), "gguf", gguf)
    assert located.config["general.architecture"] == "llama"
    assert located.weights is not None
    np.testing.assert_array_equal(located.weights.array("w"), WEIGHTS)
    assert located.provenance == {
        "file": "m.gguf",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "weight_types": {"F32": 1},
    }
    assert located.tokenizer_files == {}


def test_identity_stays_while_the_file_does_and_changes_with_it(gguf: Path) -> None:
    before = locate(str(gguf))
    assert before.provenance  # Computing the hash changes nothing.
    assert locate(str(gguf)).identity == before.identity
    gguf.write_bytes(CONTENT[:-1] + b"x")
    assert locate(str(gguf)).identity != before.identity


def test_a_relative_path_and_one_in_the_home_folder(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gguf.parent)
    monkeypatch.setenv("HOME", str(gguf.parent))
    assert locate("m.gguf").identity == locate(str(gguf)).identity == locate("~/m.gguf").identity


def test_a_catalogue_name_is_pulled_and_known_by_its_hash(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[str, bool]] = []

    def pull(name: str, progress: object, *, offline: bool) -> Path:
        requests.append((name, offline))
        return gguf

    monkeypatch.setattr(pulling, "pull", pull)
    (gguf.parent / "smollm2").mkdir()  # A stray folder of that name hides nothing.
    monkeypatch.chdir(gguf.parent)
    assert locate("smollm2").identity == hashlib.sha256(CONTENT).hexdigest()[:32]  # Of what is there, whatever it is.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    locate("smollm2")
    assert requests == [("smollm2", False), ("smollm2", True)]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("smolm2", "no model is called 'smolm2'", "did you mean smollm2?"),
        ("SmolLM2", "no model is called 'SmolLM2'", "smollm2"),
        ("tow", "no model is called 'tow'", "did you mean toy?"),
        ("xyzzy", "no model is called", "known names: smollm2, minilm, toy"),
        ("", "no model is called ''", "known names"),
        ("a\0\x1b[31m", r"no model is called 'a\x00\x1b[31m'", "known names"),
        ("missing.gguf", "there is no file 'missing.gguf'", "known name"),
        ("./missing", "there is no file 'missing'", "known name"),
        (".", "the folder '.' holds no config.json", "folder"),
    ],
)
def test_what_is_not_there(name: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        locate(name, others=["toy"])
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert caught.value.exit_code == 3


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(ModelError, match=r"notes\.txt is not a GGUF file"):
        locate(str(path))


@pytest.mark.parametrize("name", ["tokenizer.json", "of-my-own.json", "vocab.txt"])
def test_a_tokenizer_that_stands_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    located = locate(str(tmp_path / name), weights=False)
    assert list(located.tokenizer_files.values()) == [tmp_path / name]
    assert located.provenance["file"] == name
    assert len(located.provenance["sha256"]) == 64
    with pytest.raises(TokenizerAlone, match="holds no weights"):
        locate(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pytorch_model.bin", "a pickle, which is not opened"),
        ("model.pth", "a pickle, which is not opened"),
        ("model.onnx", "ONNX, which is not opened"),
        ("tf_model.h5", "weights for TensorFlow or Flax"),
        ("model.safetensors", "weights, and no config.json stands beside it"),
        ("adapter_config.json", "an adapter"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(name: str, line: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x02}")
    with pytest.raises(ModelError, match=f"{name} holds {line}") as refused:
        locate(str(tmp_path / name))
    assert refused.value.hint
    (tmp_path / name).write_bytes(b"GGUF")  # Whatever it is called.
    with pytest.raises(ModelError, match=r"GGUF|header|short|end"):
        locate(str(tmp_path / name))


def test_a_tokenizer_beside_weights_that_are_not_opened(tmp_path: Path) -> None:
    """Nothing of a pickle, or of shards that are not all there, is needed for it."""
    for name, content in (("config.json", b"{}"), ("tokenizer.json", b"{}"), ("pytorch_model.bin", b"\x80")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    for more in ("pytorch_model.bin", "model-00001-of-00002.safetensors"):
        located = locate(str(tmp_path), weights=False)
        assert set(located.tokenizer_files) == {"tokenizer.json"}
        assert located.provenance["file"] == "tokenizer.json"
        assert len(located.provenance["sha256"]) == 64
        with pytest.raises(ModelError, match="pickle" if more != "pytorch_model.bin" else "missing"):
            locate(str(tmp_path))
        if more == "pytorch_model.bin":
            (tmp_path / "model-00001-of-00002.safetensors").unlink()


def test_the_vocabulary_that_was_named_is_the_one_that_is_read(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}")
    assert set(locate(str(tmp_path / "vocab.txt"), weights=False).tokenizer_files) == {
        "vocab.txt",
        "tokenizer_config.json",
    }
    of_folder = locate(str(tmp_path), weights=False)
    assert "tokenizer.json" in of_folder.tokenizer_files
    assert of_folder.provenance["file"] == "tokenizer.json"
