"""A model's folder as Hugging Face lays it out: config, weights and tokenizer side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError
from llminspect.files.safetensors import INDEX, WHOLE, shard_names
from llminspect.files.source import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


CONFIG, GENERATION = "config.json", "generation_config.json"

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "chat_template.jinja",
    "chat_template.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
"""Whatever says how text becomes ids (and, for a sentence encoder, how its vectors become one)."""

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

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def config_of(folder: Path) -> dict[str, Any]:
    """`config.json`. ModelError: missing or broken."""
    return read_json(inside(folder, CONFIG))


def generation_of(folder: Path) -> dict[str, Any]:
    """`generation_config.json`, or nothing."""
    return read_json(inside(folder, GENERATION)) if (folder / GENERATION).exists() else {}


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
