"""A model's folder as Hugging Face lays it out: config, weights and tokenizer side by side."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from llminspect.errors import ModelError
from llminspect.files.source import read_json
from llminspect.files.weights import WeightFile, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from llminspect.files.safetensors import SafetensorsFile
    from llminspect.files.weights import TensorInfo

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
CONFIG, GENERATION = "config.json", "generation_config.json"

VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
)
"""Any of these makes a tokenizer; the others only add to it."""

TOKENIZER_FILES = (
    *VOCABULARIES,
    *("tokenizer_config.json", "special_tokens_map.json", GENERATION, "added_tokens.json", "merges.txt", "target.spm"),
    *("chat_template.jinja", "chat_template.json"),
    *("modules.json", "sentence_bert_config.json", "1_Pooling/config.json"),
)
"""Whatever says how text becomes ids (and, for a sentence encoder, how its vectors become one)."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def tokenizer_files(folder: Path) -> dict[str, Path]:
    """The tokenizer's files that exist, by name."""
    return {name: inside(folder, name) for name in TOKENIZER_FILES if (folder / name).is_file()}


def weight_paths(folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights, the index aside; none if the folder has no weights at all.

    ModelError: only weights of a kind that is not opened, or files that the index names are missing.
    """
    if (folder / WHOLE).exists():
        return (inside(folder, WHOLE),)
    if (folder / INDEX).exists():
        paths = tuple(inside(folder, shard) for shard in sorted(set(shard_names(inside(folder, INDEX)).values())))
        for path in paths:
            if not path.exists():
                raise ModelError(f"{INDEX} names {path.name!r:.200}, which is not there", "fetch the model again")
        return paths
    refuse_pickles((path.name for path in folder.iterdir()), str(folder))
    return ()


def shard_names(index: Path) -> dict[str, str]:
    """The file that holds each tensor, by an index. ModelError: broken, or a file that is not beside the index."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise ModelError(f"{shown(index.name)} holds no weight_map of tensors to files")
    for shard in set(weight_map.values()):
        if not _is_plain_name(shard):
            raise ModelError(f"{shown(index.name)} names {shard!r:.200}, which is not a .safetensors file beside it")
    return weight_map


def _is_plain_name(shard: str) -> bool:
    """Whether a file name stays in its folder on every system."""
    plain = PurePosixPath(shard).name == shard == PureWindowsPath(shard).name
    return plain and shard.endswith(".safetensors") and "\0" not in shard


def open_safetensors(folder: Path) -> WeightFile:
    """The weights of a model's folder: `model.safetensors`, or the shards of its index. ModelError: missing, broken."""
    from llminspect.files.safetensors import SafetensorsFile

    if (folder / WHOLE).exists():
        return SafetensorsFile(folder / WHOLE)
    places = shard_names(folder / INDEX)
    shards = {path.name: SafetensorsFile(path) for path in weight_paths(folder)}
    for name, shard in places.items():
        if name not in shards[shard].tensors:
            raise ModelError(f"{INDEX} says that {shard} holds tensor {name!r:.100}, which it does not")
    for shard, file in shards.items():  # What the index does not mention counts too, as it does for transformers.
        for name in file.tensors:
            if places.setdefault(name, shard) != shard:
                raise ModelError(f"tensor {name!r:.100} is in {shard} and in {places[name]}")
    return ShardedSafetensors(folder / INDEX, shards, places)


class ShardedSafetensors(WeightFile):
    """Several safetensors files that together hold a model's tensors."""

    def __init__(self, index: Path, shards: Mapping[str, SafetensorsFile], places: Mapping[str, str]) -> None:
        self.path, self.shards, self._places = index, shards, places
        self.tensors = {name: shards[shard].tensors[name] for name, shard in places.items()}

    def close(self) -> None:
        """Let go of the files."""
        for shard in self.shards.values():
            shard.close()

    def _bytes(self, info: TensorInfo, offset: int, nbytes: int) -> NDArray[np.uint8]:
        return self.shards[self._places[info.name]]._bytes(info, offset, nbytes)


def refuse_pickles(names: Iterable[str], where: str) -> None:
    """Say why a model that comes as a pickle only is not opened."""
    pickled = sorted(name for name in names if name.endswith(PICKLES) and not name.startswith("training_args"))
    if pickled:
        raise ModelError(
            f"{where} holds its weights as a pickle ({pickled[0]!r:.100}), which is not opened: that can run any code",
            "look for a revision with safetensors, or convert the model with transformers: save_pretrained",
        )


def inside(folder: Path, name: str) -> Path:
    """A file of the folder. ModelError: it is a link to somewhere else.

    The hub's own cache keeps files as links from `snapshots/COMMIT/` to `blobs/`; that is the one way out.
    """
    path = folder / name
    real, home = path.resolve(), folder.resolve()
    allowed = [home]
    if home.parent.name == "snapshots":
        allowed.append(home.parent.parent / "blobs")
    if not any(real.is_relative_to(place) for place in allowed):
        raise ModelError(
            f"{name!r:.200} in {str(folder)!r:.200} is a link to a file outside the folder, which is not followed",
            "copy the file into the folder",
        )
    if real.exists() and not real.is_file():
        raise ModelError(f"{name!r:.200} in {str(folder)!r:.200} is not a file")
    return path
