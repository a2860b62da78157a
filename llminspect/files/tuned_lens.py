"""A tuned lens as its package saves it: `config.json` and `params.pt` in a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError, as_json, reader
from llminspect.files.folder import CONFIG, inside
from llminspect.files.home import expanded
from llminspect.files.source import read_json
from llminspect.files.torch_archive import read_tensors
from llminspect.files.weights import all_finite

if TYPE_CHECKING:
    from llminspect.core.array import Array

PARAMETERS = "params.pt"
FORM = f"a tuned lens has {CONFIG} and {PARAMETERS}"
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
    for needed in (CONFIG, PARAMETERS):
        if not (folder / needed).exists():
            raise ModelError(f"the folder {str(folder)!r:.300} holds no {needed}", FORM)
    config = read_json(inside(folder, CONFIG))
    for key, value in config.items():
        if key not in _KNOWN or (key == "lens_type" and value != "linear_tuned_lens"):
            raise ModelError(f"{CONFIG} of the tuned lens: {key!r:.100} = {as_json(value)} is not understood")
    layers, width = config.get("num_hidden_layers"), config.get("d_model")
    if type(layers) is not int or type(width) is not int or not 0 < layers < 10_000 or config.get("bias") is not True:
        raise ModelError(f"{CONFIG} of the tuned lens does not say its layers, its width, and that it has biases")
    arrays = read_tensors(inside(folder, PARAMETERS))
    shapes: dict[str, tuple[int, ...]] = {f"{layer}.weight": (width, width) for layer in range(layers)}
    shapes |= {f"{layer}.bias": (width,) for layer in range(layers)}
    if {key: array.shape for key, array in arrays.items()} != shapes:
        raise ModelError(f"the tensors of the tuned lens are not {layers} maps of {width} numbers")
    if not all(all_finite(array) for array in arrays.values()):
        raise ModelError("the tuned lens holds numbers that are not finite")
    parts = [[arrays[f"{layer}.{part}"] for layer in range(layers)] for part in ("weight", "bias")]
    return TunedLens(name, *parts)
