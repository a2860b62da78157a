"""What it is that cannot be opened as a model, in words: an adapter, a tokenizer, other weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import ModelError, TokenizerAlone
from llminspect.files.folder import ADAPTER_CONFIG, CONFIG, PICKLES, VOCABULARIES
from llminspect.files.gguf_header import MAGIC
from llminspect.files.weights import shown

if TYPE_CHECKING:
    from pathlib import Path

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
