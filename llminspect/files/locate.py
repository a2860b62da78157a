"""From the name that a user gives to the files of a model: a path, a name of the catalogue, or a name on the hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any

from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError, TokenizerAlone
from llminspect.files import folder as folders
from llminspect.files.catalogue import CATALOGUE, unknown
from llminspect.files.folder import cannot_open, is_gguf, refuse_other_weights
from llminspect.files.hashes import changed, sha256_of, state_key
from llminspect.files.home import Progress, expanded
from llminspect.files.source import read_json
from llminspect.files.weights import Format, WeightFile, shown, weight_types


@dataclass(frozen=True)
class Located:
    """A model's files. What takes time (opening weights, hashing) happens when it is first asked for."""

    name: str
    """As the user gave it."""
    format: Format
    path: Path
    """The GGUF file, or the folder."""
    config: Mapping[str, Any]
    """GGUF metadata, or `config.json`."""
    tokenizer_files: Mapping[str, Path] = field(default_factory=dict)
    """Those that exist, by name (`tokenizer.json`, `vocab.txt` …). None for GGUF: there the metadata has it."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """`generation_config.json`, or nothing; where it cannot be read, under its name why."""

    @property
    def generating(self) -> Mapping[str, Any]:
        """What the files say of generating: where there is no `generation_config.json`, older models say it in
        `config.json`; the ends of a text count from there where the other names none."""
        ends = {"eos_token_id": self.config.get("eos_token_id")}
        if folders.GENERATION in self.generation:  # It cannot be read.
            return {**self.config, folders.GENERATION: self.generation[folders.GENERATION]}
        stated = {key: value for key, value in self.generation.items() if value is not None}
        return self.config if self.format == "gguf" or not self.generation else {**ends, **stated}

    origin: Mapping[str, str] = field(default_factory=dict)
    """`{"repo", "revision"}` for a model of the hub."""
    read_as: Mapping[str, Any] = field(default_factory=dict)
    """What the user wants passed over or added, for the provenance."""
    weight_paths: tuple[Path, ...] = ()
    """The files that hold the weights."""
    open_weights: Callable[[], WeightFile] | None = None
    state: str = ""
    """Of the files that hold the weights, before any of them was read (`hashes.state_key`)."""

    @cached_property
    def sha256s(self) -> Mapping[str, str]:
        """The SHA-256 of each file that holds weights, by its name. ModelError: cannot be read, or is being changed."""
        found = {path.name: _sha256(path) for path in self.weight_paths}
        self.check_unchanged()
        return found

    @cached_property
    def identity(self) -> str:
        """Stands for what the weights are read as, for the keys of what is kept about them: the SHA-256 of the files'
        bytes, and of a folder's configuration as it was read."""
        whole = "\n".join(self.sha256s.values())
        weights = whole if len(self.sha256s) == 1 else _digest(whole)
        if self.format == "gguf":
            return weights[:32]
        return f"{weights[:32]}-{_digest(json.dumps(self.config))[:16]}"

    def check_unchanged(self) -> None:
        """Raise ModelError if the files with the weights are no longer what they were when they were found."""
        if self.weight_paths and _state(self.weight_paths) != self.state:
            raise changed(self.path)

    @cached_property
    def weights(self) -> WeightFile | None:
        """The weights, opened; None where only the tokenizer was asked for and fetched. ModelError: broken files."""
        return None if self.open_weights is None else self.open_weights()

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What to write beside results so that they can be repeated: the file and its SHA-256, or repo and revision."""
        found: dict[str, Any] = dict(self.origin)
        if not self.origin:
            hashes = dict(self.sha256s)
            if len(hashes) == 1:
                found["file"], found["sha256"] = next(iter(hashes.items()))
            elif hashes:
                found["files"] = hashes
        if self.weights is not None:
            found["weight_types"] = weight_types(self.weights.tensors)
        if self.format == "huggingface" and (self.path / folders.ADAPTER_CONFIG).exists():
            found["adapter_beside"] = True
        return {**found, **self.read_as}


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from None


def locate(
    name: str,
    revision: str | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    weights: bool = True,
    others: Iterable[str] = (),
    alone: Collection[str] = (),
) -> Located:
    """Find a model's files, fetching them if need be and allowed.

    In this order: a path, a catalogue name, `org/name` on the hub (at `revision`: a branch, tag or commit). With
    `weights` false a model of the hub is fetched without them. `others` are further names to offer when `name` is
    misspelt, `alone` those of tokenizers without weights. `HF_HUB_OFFLINE` counts as `offline`. ModelError: not found,
    not allowed, or broken, and what would do.
    """
    offline = offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    path = expanded(name)
    if _is_tokenizer_file(path) and not (weights and is_gguf(path)):
        if weights:
            refuse_other_weights(path)
            raise TokenizerAlone(f"{shown(path)} holds no weights")
        return _tokenizer_alone(path, name)
    if _is_model(path):
        return _from_path(path, name, weights=weights)
    if name in CATALOGUE:
        from llminspect.files.pull import pull

        return _from_path(pull(name, progress, offline=offline), name, weights=weights)
    if not weights and os.path.isdir(path):
        files = folders.tokenizer_files(path)
        vocabularies = folders.vocabularies(files)
        if vocabularies:
            return _tokenizer_alone(files[vocabularies[0]], name, files)
    if name and os.path.isdir(path):
        raise cannot_open(path)
    if name.startswith((".", "/", "~")) or name.endswith((".gguf", ".safetensors")):
        raise _no_such_path(path)
    from llminspect.files import hub

    if hub.is_hub_name(name):
        found = hub.find(name, revision, offline=offline, weights=weights, progress=progress)
        origin = {"repo": name, "revision": found.name}
        if not weights and not (found / folders.CONFIG).exists():
            files = folders.tokenizer_files(found)
            return Located(name, "huggingface", found, {}, tokenizer_files=files, origin=origin)
        return _from_folder(found, name, origin, weights=weights)
    raise _no_such_path(path) if os.sep in name else unknown(name, others, alone)


def model_paths(begun: str) -> list[str]:
    """The .gguf files, the folders of models and the folders on the way to them that a path so far may become."""
    folder, _, start = begun.rpartition("/")
    place = expanded(folder or ("/" if begun.startswith("/") else "."))
    try:
        inside = sorted(path for path in place.iterdir() if path.name.startswith(start) and path.name.isprintable())
    except (OSError, ValueError):
        return []
    front = begun[: len(begun) - len(start)]
    offered = [path for path in inside if start or not path.name.startswith(".")]
    return [
        f"{front}{path.name}" + ("/" if path.is_dir() and not _is_model(path) else "")
        for path in offered
        if path.suffix == ".gguf" or (path.is_dir() and (front or start or _is_model(path)))
    ]


def _is_model(path: Path) -> bool:
    """Whether a path names a model: any file, or a folder with a config. A stray folder hides no catalogue name."""
    try:
        return path.is_file() or (path / "config.json").is_file()
    except (OSError, ValueError):  # ValueError: a NUL in the name.
        return False


_TOKENIZER_FORM = re.compile(r".+\.(tiktoken|model(\.v\w+)?)")
"""Ranks, or SentencePiece's own file (Mistral numbers its versions)."""


def _is_tokenizer_file(path: Path) -> bool:
    """Whether a path names a tokenizer's file; for a `.json`, one that no model's configuration stands beside."""
    if path.suffix == ".json":
        return _is_model(path) and not path.is_dir() and not (path.parent / "config.json").is_file()
    named = path.name in (*folders.VOCABULARIES, "merges.txt") or _TOKENIZER_FORM.fullmatch(path.name)
    return bool(named) and _is_model(path) and not path.is_dir()


def _tokenizer_alone(path: Path, name: str, files: Mapping[str, Path] | None = None) -> Located:
    """A tokenizer without a model, from its file and what stands beside it, or from the `files` of a folder; a file may
    have a name of its own."""
    found = dict(files or {})
    if not found:
        known = "tekken.json" if path.name.startswith("tekken") else "tokenizer.json"
        known = known if path.suffix == ".json" else "tokenizer.model"
        if path.name in (*folders.VOCABULARIES, "merges.txt"):
            known = "vocab.json" if path.name == "merges.txt" else path.name
        # Only beside a file of the usual name stands what belongs to it; others would be read before it.
        beside = folders.tokenizer_files(path.parent) if known in (path.name, "vocab.json") else {}
        found = {file: place for file, place in beside.items() if file not in folders.vocabularies(beside)}
        key = path.name if path.suffix == folders.RANKS else known
        found[key] = path.with_name("vocab.json") if path.name == "merges.txt" else path
    origin = {"file": path.name, "sha256": _sha256(path)}
    return Located(name, "huggingface", path.parent, {}, tokenizer_files=found, origin=origin)


def _no_such_path(path: Path) -> ModelError:
    return ModelError(f"there is no file {str(path)!r:.300}", "give a .gguf file, a model's folder, or a known name")


def _from_path(path: Path, name: str, *, weights: bool = True) -> Located:
    """A model from its GGUF file, its folder, or a file of that folder."""
    if path.is_dir():
        return _from_folder(path, name, weights=weights)
    if path.suffix in {".safetensors", ".json"} and (path.parent / "config.json").is_file():
        return _from_folder(path.parent, name, weights=weights)
    refuse_other_weights(path)
    from llminspect.files.gguf import gguf_parts, open_gguf

    state = _state(gguf_parts(path))
    metadata, paths, opened = open_gguf(path)
    return Located(name, "gguf", path, metadata, weight_paths=paths, open_weights=lambda: opened, state=state)


def _state(paths: Sequence[Path]) -> str:
    try:
        return state_key(*paths)
    except OSError:  # What cannot be read is said by whoever reads it.
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _generation(path: Path) -> Mapping[str, Any]:
    """What the file says; that it cannot be read stops only who wants to know what it says."""
    try:
        return read_json(path)
    except ModelError as error:
        return {folders.GENERATION: error.message}


def _from_folder(folder: Path, name: str, origin: Mapping[str, str] | None = None, *, weights: bool = True) -> Located:
    """A model from its folder. Where `weights` are not needed they may be of any kind, or not whole."""
    from llminspect.files.quantized import opened

    config = read_json(folders.inside(folder, folders.CONFIG))
    generation = folder / folders.GENERATION
    try:
        paths = folders.weight_paths(folder)
    except ModelError:
        if weights:
            raise
        paths = ()
    if not weights and not paths and not origin:
        its = next(iter(folders.tokenizer_files(folder).values()), folder / folders.CONFIG)
        origin = {"file": its.name, "sha256": _sha256(its)}
    return Located(
        name=name,
        format="huggingface",
        path=folder,
        config=config,
        tokenizer_files=folders.tokenizer_files(folder),
        generation=_generation(folders.inside(folder, generation.name)) if generation.exists() else {},
        origin=origin or {},
        weight_paths=paths,
        open_weights=(lambda: opened(folders.open_safetensors(folder), config)) if paths else None,
        state=_state(paths),
    )
