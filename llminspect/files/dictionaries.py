"""Sparse dictionaries and tuned lenses as others save them: a folder with its settings, or an archive of arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError, UserError, as_json, reader
from llminspect.files import folder as folders
from llminspect.files.hashes import sha256_of
from llminspect.files.home import expanded
from llminspect.files.safetensors import SafetensorsFile
from llminspect.files.source import read_json
from llminspect.files.torch_archive import read_tensors
from llminspect.files.weights import all_finite

if TYPE_CHECKING:
    from llminspect.core.array import Array

Maker = Literal["SAELens", "sparsify", "Gemma Scope"]
CONFIG = "cfg.json"
WEIGHTS: dict[str, Maker] = {"sae_weights.safetensors": "SAELens", "sae.safetensors": "sparsify"}
ARCHIVE = "params.npz"
FORMS = (
    f"SAELens saves {CONFIG} and sae_weights.safetensors, sparsify {CONFIG} and sae.safetensors, Gemma Scope {ARCHIVE}"
)
MOST_TENSORS, LARGEST = 32, 8 << 30
NAMES = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
"""The arrays of Gemma Scope."""


@dataclass(frozen=True)
class DictionaryFiles:
    """What the files say."""

    maker: Maker
    path: Path
    """Of the folder, or of the archive."""
    config: Mapping[str, Any]
    arrays: Mapping[str, Array]
    """float32, by the names in the file."""
    provenance: Mapping[str, str]


def fingerprint(name: str) -> tuple[object, ...]:
    """What differs as soon as another dictionary would be read: its files, their lengths, when they were written."""
    path = expanded(name).absolute()
    files = [path, *(path / file for file in (CONFIG, ARCHIVE, *WEIGHTS)), path.parent / CONFIG]
    return tuple((str(file), *_stamp(file)) for file in files)


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


@reader("the dictionary")
def read_dictionary(name: str) -> DictionaryFiles:
    """A folder, or one of its files, or an archive. ModelError: there is none, or it is broken."""
    path = expanded(name)
    if os.path.isfile(path) and path.suffix.lower() != ".npz":
        if path.name != CONFIG and path.name not in WEIGHTS:
            folders.refuse_pickles([path.name], str(path.parent))
            raise ModelError(f"{str(path)!r:.300} is no sparse dictionary", FORMS)
        path = path.parent
    if os.path.isfile(path):
        return _archive(path)
    if not os.path.isdir(path):
        raise ModelError(f"there is no file or folder {str(path)!r:.300}", FORMS)
    there = [file for file in WEIGHTS if (path / file).exists()]
    if not there and (path / ARCHIVE).exists():
        return _archive(folders.inside(path, ARCHIVE))
    if len(there) != 1 or not (path / CONFIG).exists():
        folders.refuse_pickles((file.name for file in path.iterdir()), str(path))
        lacks = f"holds {' and '.join(there)}" if len(there) > 1 else "holds no sparse dictionary"
        raise ModelError(f"the folder {str(path)!r:.300} {lacks}", FORMS)
    config, weights = folders.inside(path, CONFIG), folders.inside(path, there[0])
    with SafetensorsFile(weights) as file:
        if len(file.tensors) > MOST_TENSORS:
            raise ModelError(f"{there[0]} holds {len(file.tensors)} tensors, which is no sparse dictionary", FORMS)
        arrays = {key: file.array(key).copy() for key in file.tensors}
    hashes = {"sha256": sha256_of(weights), "config_sha256": sha256_of(config)}
    return DictionaryFiles(WEIGHTS[there[0]], path, read_json(config), arrays, {"name": name, **hashes})


def _archive(path: Path) -> DictionaryFiles:
    import numpy as np

    from llminspect.files.npz import read_arrays

    try:
        found = read_arrays(path, (*NAMES, *(key.lower() for key in NAMES)), largest=LARGEST, hint=FORMS)
    except UserError as error:
        raise ModelError(error.message, error.hint) from None
    arrays = {key: np.asarray(found.get(key, found.get(key.lower())), np.float32) for key in NAMES
              if key in found or key.lower() in found}  # fmt: skip
    if not {"W_enc", "W_dec"} <= arrays.keys():
        raise ModelError(f"{str(path)!r:.300} holds no sparse dictionary", FORMS)
    return DictionaryFiles("Gemma Scope", path, {}, arrays, {"name": str(path), "sha256": sha256_of(path)})


PARAMETERS = "params.pt"
FORM = f"a tuned lens has {folders.CONFIG} and {PARAMETERS}"
_KNOWN = {"base_model_name_or_path", "base_model_revision", "unembed_hash", "d_model", "num_hidden_layers", "bias",
          "lens_type"}  # fmt: skip


@dataclass(frozen=True)
class TunedLens:
    """One affine map for each layer: what is added to the stream before it."""

    name: str
    weights: list[Array]
    """[D, D] for each layer …"""
    biases: list[Array]
    """… and [D]."""


@reader("the tuned lens")
def read_tuned_lens(name: str) -> TunedLens:
    """ModelError: there is none, it is broken, or has settings that are not understood."""
    folder = expanded(name)
    if not os.path.isdir(folder):
        raise ModelError(f"there is no folder {str(folder)!r:.300}", FORM)
    for needed in (folders.CONFIG, PARAMETERS):
        if not (folder / needed).exists():
            raise ModelError(f"the folder {str(folder)!r:.300} holds no {needed}", FORM)
    config = read_json(folders.inside(folder, folders.CONFIG))
    for key, value in config.items():
        if key not in _KNOWN or (key == "lens_type" and value != "linear_tuned_lens"):
            raise ModelError(f"{folders.CONFIG} of the tuned lens: {key!r:.100} = {as_json(value)} is not understood")
    layers, width = config.get("num_hidden_layers"), config.get("d_model")
    if type(layers) is not int or type(width) is not int or not 0 < layers < 10_000 or config.get("bias") is not True:
        raise ModelError(
            f"{folders.CONFIG} of the tuned lens does not say its layers, its width, and that it has biases"
        )
    arrays = read_tensors(folders.inside(folder, PARAMETERS))
    shapes: dict[str, tuple[int, ...]] = {f"{layer}.weight": (width, width) for layer in range(layers)}
    shapes |= {f"{layer}.bias": (width,) for layer in range(layers)}
    if {key: array.shape for key, array in arrays.items()} != shapes:
        raise ModelError(f"the tensors of the tuned lens are not {layers} maps of {width} numbers")
    if not all(all_finite(array) for array in arrays.values()):
        raise ModelError("the tuned lens holds numbers that are not finite")
    parts = [[arrays[f"{layer}.{part}"] for layer in range(layers)] for part in ("weight", "bias")]
    return TunedLens(name, *parts)
