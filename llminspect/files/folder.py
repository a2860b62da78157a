"""A model's folder as Hugging Face lays it out: config, weights and tokenizer side by side; and what others hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from llminspect.errors import ModelError, TokenizerAlone, reader
from llminspect.files.gguf_header import MAGIC
from llminspect.files.source import read_json
from llminspect.files.weights import SeveralFiles, WeightFile, shown

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
CONFIG, GENERATION = "config.json", "generation_config.json"
ADAPTER_CONFIG, ADAPTER = "adapter_config.json", "adapter_model.safetensors"

VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.bpe.model",
    "source.spm",
)
"""Any of these makes a tokenizer, as does a file of ranks (`*.tiktoken`); the others only add to it."""
RANKS = ".tiktoken"

TOKENIZER_FILES = (
    *VOCABULARIES,
    *("tokenizer_config.json", "special_tokens_map.json", GENERATION, "added_tokens.json", "merges.txt", "target.spm"),
    *("chat_template.jinja", "chat_template.json"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json"),
)
"""Whatever says how text becomes ids (and, for a sentence encoder, how its vectors become one)."""

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_SHARD = re.compile(r"model-[0-9]{5}-of-[0-9]{5}\.safetensors")
MODULE_FILES = re.compile(r"\d+_[\w-]+/(config\.json|model\.safetensors)")
"""What a sentence encoder has beside the model, a folder a module."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def vocabularies(names: Iterable[str]) -> list[str]:
    """Which of the names make a tokenizer, the first to be read first."""
    there = set(names)
    return [
        *(name for name in VOCABULARIES if name in there),
        *sorted(n for n in there if n.endswith(RANKS) and "/" not in n),
    ]


def tokenizer_files(folder: Path) -> dict[str, Path]:
    """The tokenizer's files that exist, by name."""
    ranks = sorted(path.name for path in folder.glob("*" + RANKS))
    return {name: inside(folder, name) for name in (*TOKENIZER_FILES, *ranks) if (folder / name).is_file()}


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
    names = [path.name for path in folder.iterdir()]
    shards = bare_shards(names)
    if not shards:
        refuse_pickles(names, str(folder))
    return tuple(inside(folder, shard) for shard in shards)


def bare_shards(names: Iterable[str]) -> list[str]:
    """The shards among the names, where no index says which there are: their names do. ModelError: some are missing."""
    there = sorted({name for name in names if _SHARD.fullmatch(name)})
    if not there:
        return []
    count = there[-1].removesuffix(".safetensors")[-5:]
    shards = [f"model-{number:05d}-of-{count}.safetensors" for number in range(1, int(count) + 1)]
    missing = sorted(set(shards) - set(there))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ModelError(f"of {len(shards)} shards some are missing: {', '.join(missing[:3])}{more}", "fetch the rest")
    if len(there) > len(shards):
        raise ModelError(f"{there[0]} and {there[-1]} are shards of two models", "keep one of them in the folder")
    return shards


@reader("the index of the shards")
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
    return plain and shard.endswith(".safetensors") and "\0" not in shard and not _HALF_CHARACTER.search(shard)


def open_safetensors(folder: Path) -> WeightFile:
    """The weights of a model's folder: `model.safetensors`, or the shards of its index. ModelError: missing, broken."""
    from llminspect.files.safetensors import SafetensorsFile

    if (folder / WHOLE).exists():
        return SafetensorsFile(folder / WHOLE)
    shards = {path.name: SafetensorsFile(path) for path in weight_paths(folder)}
    for name, shard in (shard_names(folder / INDEX) if (folder / INDEX).exists() else {}).items():
        if name not in shards[shard].tensors:
            raise ModelError(f"{INDEX} says that {shard} holds tensor {name!r:.100}, which it does not")
    # What the index does not mention counts too, as it does for transformers.
    return SeveralFiles(folder / INDEX, [(file, file.tensors) for file in shards.values()])


def refuse_pickles(names: Iterable[str], where: str) -> None:
    """Say why a model that comes as a pickle only is not opened."""
    pickled = sorted(name for name in names if name.endswith(PICKLES) and not name.startswith("training_args"))
    if pickled:
        raise ModelError(
            f"{where} holds its weights as a pickle ({pickled[0]!r:.100}), which is not opened: a pickle can run any "
            "code",
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


MOST_NAMED = 3
TOKENIZER = "a tokenizer"
_KINDS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    ((ADAPTER_CONFIG,), "an adapter", "give it to a model: --model BASE --adapter {folder}"),
    ((".gguf",), "GGUF files", "give the path of one"),
    ((".safetensors",), "weights", "fetch what is missing from where the weights came from"),
    (PICKLES, "a pickle, which is not opened: opening one can run any code", "look for a revision with safetensors"),
    ((".onnx",), "ONNX, which is not opened", "look for a revision with safetensors"),
    ((".h5", ".msgpack"), "weights for TensorFlow or Flax, which are not opened", "look for safetensors"),
    (
        (*VOCABULARIES, ".tiktoken"),
        TOKENIZER,
        "take a model with weights; the tokenizer goes to tokenize --model {folder}",
    ),
)
"""By how their names end, in the order of what matters most: what it is, and what would do."""


def is_gguf(path: Path) -> bool:
    """Whether its first bytes say so, or it cannot be read, which opening it as such will say."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return True


def refuse_other_weights(path: Path) -> None:
    """Raise ModelError for a file that by its name and its first bytes is no GGUF file, but known to be something else.

    ModelError says what it is.
    """
    if is_gguf(path):
        return
    for ends, what, hint in _KINDS:
        if path.name.endswith(ends) and ends != (".gguf",) and what != TOKENIZER:
            beside = f", and no {CONFIG} stands beside it" if ends == (".safetensors",) else ""
            raise ModelError(f"{shown(path)} holds {what}{beside}", hint.format(folder=shown(path.parent)))


def cannot_open(folder: Path) -> ModelError:
    """Why a folder is not opened as a model: what it lacks, and what lies in it."""
    try:
        names = sorted(path.relative_to(folder).as_posix() for path in (*folder.iterdir(), *folder.glob("onnx/*")))
    except OSError:
        names = []
    lacks = "weights that can be opened" if CONFIG in names else CONFIG
    where = f"the folder {str(folder)!r:.300} holds no {lacks}"
    for ends, what, hint in _KINDS:
        found = [name for name in names if name.endswith(ends) and not name.startswith("training_args")]
        if found:
            more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
            named = ", ".join(map(shown, found[:MOST_NAMED]))
            message = f"{where}; it holds {what} ({named}{more})"
            if what == TOKENIZER and CONFIG not in names:
                return TokenizerAlone(message)
            return ModelError(message, hint.format(folder=shown(folder)))
    return ModelError(where, "give a model's folder or a .gguf file")
