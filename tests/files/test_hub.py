"""Models of the hub: found in its cache, fetched into it. The hub is played; no network."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from llminspect.errors import ModelError, UserError
from llminspect.files import hub_arrival
from llminspect.files.adapter import locate_adapter
from llminspect.files.home import hub_folder
from llminspect.files.hub import find, is_hub_name
from llminspect.files.hub_library import Hub, Listed, explained, refusal
from llminspect.files.locate import locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
INDEX = json.dumps({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}).encode()
EMPTY = (2).to_bytes(8, "little") + b"{}"
FILES = {
    "README.md": b"much to read",
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": EMPTY,
    "pytorch_model.bin": b"\x80",
    "onnx/model.onnx": b"",
}


def hash_of(name: str, content: bytes) -> str:
    """As the hub gives it: the SHA-256 of a large file, git's number of another."""
    if name.endswith((".safetensors", ".bin")):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class PlayedHub(Hub):
    """Answers as the hub would."""

    def __init__(self, files: Mapping[str, bytes] = FILES, failure: BaseException | None = None) -> None:
        self.files, self.failure = files, failure
        self.requests: list[str] = []
        self.sent: dict[str, bytes] = {}
        """What comes in place of a file."""

    def listing(self, repo: str, revision: str) -> tuple[str, Mapping[str, Listed]]:
        self.requests.append(f"listing {revision}")
        return COMMIT, {name: Listed(len(content), hash_of(name, content)) for name, content in self.files.items()}

    @contextmanager
    def body(self, repo: str, commit: str, name: str, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        if self.failure is not None and name.endswith("safetensors"):
            raise self.failure
        self.requests.append(name)
        yield start, iter([self.sent.get(name, self.files[name])[start:]])


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hub_arrival, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(hub_arrival, "PAUSE", 0.0)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "hub"


def fetch(hub: PlayedHub, revision: str | None = None, *, offline: bool = False, weights: bool = True) -> Any:
    return find("org/model", revision, offline=offline, weights=weights, hub=hub)


def test_only_the_files_that_are_needed_and_only_once() -> None:
    hub, steps = PlayedHub(), list[tuple[str, int, int | None]]()
    found = find("org/model", None, offline=False, weights=True, progress=lambda *step: steps.append(step), hub=hub)
    assert found.name == COMMIT
    assert hub.requests == ["listing main", "config.json", "tokenizer.json", "model.safetensors"]
    total = sum(len(FILES[name]) for name in hub.requests[1:])
    assert steps[-1] == ("download", total, total)
    assert fetch(hub) == fetch(hub, "main", offline=True) == fetch(hub, COMMIT, offline=True) == found
    assert len(hub.requests) == 4


def test_located_by_its_name_with_the_commit_it_is_of() -> None:
    fetch(PlayedHub())
    located = locate("org/model", offline=True)
    assert located.format == "huggingface"
    assert located.provenance == {"repo": "org/model", "revision": COMMIT, "weight_types": {}}
    assert located.config == {"model_type": "llama"}
    assert set(located.tokenizer_files) == {"tokenizer.json"}


def test_a_tokenizer_alone_and_the_weights_later() -> None:
    hub = PlayedHub()
    fetch(hub, weights=False)
    assert "model.safetensors" not in hub.requests
    assert locate("org/model", offline=True, weights=False).weights is None
    with pytest.raises(ModelError, match=r"not in the local hub cache with its weights: only config\.json, tokenizer"):
        fetch(hub, offline=True)
    fetch(hub)
    assert hub.requests[-1] == "model.safetensors"
    assert hub.requests.count("config.json") == 1


def test_files_around_a_tokenizer_are_not_one() -> None:
    around = {"config.json": b"{}", "generation_config.json": b"{}", "tokenizer_config.json": b"{}"}
    fetch(PlayedHub(around), weights=False)
    with pytest.raises(ModelError, match="not in the local hub cache"):
        fetch(PlayedHub(), offline=True, weights=False)


def test_shards_by_their_index() -> None:
    shards = {"m-1.safetensors": EMPTY, "m-2.safetensors": EMPTY, "m-3.safetensors": EMPTY}
    files = {"config.json": b"{}", "model.safetensors.index.json": INDEX, **shards}
    hub = PlayedHub(files)
    found = fetch(hub)
    assert "m-3.safetensors" not in hub.requests
    assert (found / "m-2.safetensors").exists()
    (found / "m-2.safetensors").unlink()
    with pytest.raises(ModelError):
        fetch(hub, offline=True)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": b""}, "pickle ('pytorch_model.bin')"),
        ({"config.json": b"{}", "flax_model.msgpack": b""}, "no weights that can be opened"),
        ({"model.Q4.gguf": b""}, "holds GGUF files"),
        ({"README.md": b""}, "no config.json"),
        ({"config.json": b"{}", "model.safetensors.index.json": INDEX}, "lacks 'm-1.safetensors'"),
        (
            {"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "../../x.safetensors"}}'},
            "not a .safetensors file beside it",
        ),
    ],
)
def test_what_is_no_model_here(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        fetch(PlayedHub(files))
    assert message in caught.value.message


def test_a_failed_download_is_not_found_later_and_goes_on() -> None:
    with pytest.raises(UserError, match="no space left"):
        fetch(PlayedHub(failure=OSError(28, "No space left on device")))
    with pytest.raises(ModelError, match="no network"):
        fetch(PlayedHub(failure=ModelError("no network")))
    with pytest.raises(ModelError, match="not in the local hub cache"):
        fetch(PlayedHub(), offline=True)
    hub = PlayedHub()
    fetch(hub)
    assert hub.requests == ["listing main", "model.safetensors"]


@pytest.mark.parametrize("revision", ["../../x", "a/../b", "", "-\0", "a//b", "/etc"])
def test_a_revision_stays_in_the_cache(revision: str) -> None:
    if revision:
        with pytest.raises(ModelError, match="is no revision"):
            fetch(PlayedHub(), revision)
    else:
        assert fetch(PlayedHub(), revision).name == COMMIT


def test_names_of_the_hub() -> None:
    assert is_hub_name("HuggingFaceTB/SmolLM2-135M")
    for name in ("smollm2", "a/b/c", "../b", "a/..", "/b", "a/", "a--b/c", "a b/c", "a/b\n"):
        assert not is_hub_name(name)


def test_the_cache_is_where_the_library_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub_folder().parts[-3:] == (".cache", "huggingface", "hub")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert hub_folder() == tmp_path / "huggingface" / "hub"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert hub_folder() == tmp_path / "hf" / "hub"


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (404, {"x-error-code": "RepoNotFound"}, "there is no model a/b"),
        (401, {"x-error-code": "RepoNotFound", "x-error-message": "Repository not found"}, "there is no model a/b"),
        (401, {"x-error-message": "Invalid username or password."}, "there is no model a/b"),
        (401, {"x-error-message": "Invalid credentials in Authorization header"}, "does not let you read"),
        (403, {"x-error-code": "GatedRepo"}, "accept its terms"),
        (404, {"x-error-code": "RevisionNotFound"}, "no revision 'main'"),
        (404, {"x-error-code": "EntryNotFound"}, "answers 404"),
        (403, {}, "does not let you read"),
        (500, {}, "answers 500"),
        (304, {}, "answers 304"),
    ],
)
def test_what_the_hub_means(status: int, headers: dict[str, str], message: str) -> None:
    assert message in refusal(status, headers, "a/b", "main").message


def test_the_librarys_errors_become_ours() -> None:
    from huggingface_hub import errors

    for error, message in (
        (errors.OfflineModeIsEnabled("x"), "HF_HUB_OFFLINE is set"),
        (ConnectionResetError(104, "reset"), "cannot be reached"),
    ):
        with pytest.raises(ModelError) as caught, explained("a/b"):
            raise error
        assert message in caught.value.message
        assert "\n" not in caught.value.message
    with pytest.raises(OSError, match="No space"), explained("a/b"):
        raise OSError(28, "No space left on device")


def test_a_tokenizer_that_stands_alone() -> None:
    hub = PlayedHub({"tokenizer.json": b"{}", "tokenizer_config.json": b"{ }", "README.md": b""})
    found = fetch(hub, weights=False)
    assert hub.requests == ["listing main", "tokenizer.json", "tokenizer_config.json"]
    located = locate("org/model", offline=True, weights=False)
    assert located.path == found
    assert set(located.tokenizer_files) == {"tokenizer.json", "tokenizer_config.json"}
    assert located.provenance == {"repo": "org/model", "revision": COMMIT}
    with pytest.raises(ModelError, match=r"no config\.json"):
        fetch(hub)


def test_shards_without_an_index() -> None:
    shards = {f"model-0000{number}-of-00002.safetensors": EMPTY for number in (1, 2)}
    found = fetch(PlayedHub({"config.json": b"{}", **shards}))
    assert {path.name for path in found.iterdir()} == {"config.json", *shards}
    shards.popitem()
    with pytest.raises(ModelError, match="of 2 shards some are missing"):
        find("org/other", None, offline=False, weights=True, hub=PlayedHub({"config.json": b"{}", **shards}))


def test_an_adapter_is_fetched_alone_and_is_no_model() -> None:
    files = {"adapter_config.json": b"{}", "adapter_model.safetensors": EMPTY, "tokenizer.json": b"{}"}
    with pytest.raises(ModelError, match="is an adapter and no model"):
        fetch(PlayedHub(files))
    hub, other, wanted = PlayedHub(files), PlayedHub({"config.json": b"{}"}), (*files,)[:2]
    find("org/model", None, offline=False, weights=False, hub=hub, files=wanted)
    assert hub.requests == ["listing main", "adapter_config.json", "adapter_model.safetensors"]
    assert locate_adapter("org/model", offline=True).provenance["revision"] == COMMIT
    with pytest.raises(ModelError, match=r"no adapter in the form of PEFT: it has no adapter_config\.json"):
        find("org/other", None, offline=False, weights=False, hub=other, files=wanted)


# -- What arrives is what is listed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_what_is_not_what_the_hub_lists_is_refused_and_removed(name: str, hub_cache: Path) -> None:
    hub = PlayedHub()
    hub.sent[name] = FILES[name][:-1] + b"x"
    with pytest.raises(ModelError, match=f"'{name}' of org/model is not the file that it lists"):
        fetch(hub)
    assert not [path for path in hub_cache.rglob("*") if path.is_file() and path.read_bytes() == hub.sent[name]]
    with pytest.raises(ModelError, match="not in the local hub cache"):
        fetch(hub, offline=True)
    hub.sent.clear()
    assert fetch(hub).joinpath(name).read_bytes() == FILES[name]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_what_was_changed_in_the_cache_is_refused(name: str) -> None:
    found = fetch(PlayedHub())
    blob = (found / name).resolve()
    blob.write_bytes(FILES[name][:-1] + b"x")
    with pytest.raises(ModelError, match="not what was published"):
        locate("org/model", offline=True)


def test_a_listing_without_hashes_is_refused() -> None:
    class Bare(PlayedHub):
        def listing(self, repo: str, revision: str) -> tuple[str, Mapping[str, Listed]]:
            commit, files = super().listing(repo, revision)
            return commit, {name: Listed(file.size, "") for name, file in files.items()}

    with pytest.raises(ModelError, match="gives no hash"):
        fetch(Bare())
