"""The modules of a sentence encoder's folder: `modules.json`, and a folder each for what comes after the model.

Beside it, in two files of settings, what is done with a text before."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llminspect.errors import ModelError, as_json, reader
from llminspect.files.folder import WHOLE, inside, refuse_pickles
from llminspect.files.source import read_bytes, read_json

if TYPE_CHECKING:
    from llminspect.core.array import Array

MODULES, SETTINGS, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"


class Module(NamedTuple):
    """One of them: what it is, the folder that it is in, its configuration and its arrays."""

    kind: str
    path: str
    config: Mapping[str, Any] | None
    """None: there is none."""
    arrays: Mapping[str, Array]


@reader("the list of modules")
def read_modules(folder: Path) -> tuple[list[Module], Mapping[str, Any]] | None:
    """The modules in their order, and the settings of the two files beside them; None where the folder lists none.

    Raises ModelError for a list that is none, a folder elsewhere, and weights that are pickled.
    """
    if not (folder / MODULES).is_file():
        return None
    try:
        listed = json.loads(read_bytes(inside(folder, MODULES)))
        found = [(entry["type"].rpartition(".")[2], entry["path"]) for entry in listed]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise ModelError(f"{MODULES} is no list of modules, each with its type and path") from None
    settings: dict[str, Any] = {}
    for name in (PROMPTS, SETTINGS):
        settings |= read_json(inside(folder, name)) if (folder / name).is_file() else {}
    return [_module(folder, kind, path) for kind, path in found], settings


def _module(folder: Path, kind: str, path: object) -> Module:
    if not isinstance(path, str) or not re.fullmatch(r"[\w-]{0,64}", path):
        raise ModelError(f"{MODULES} names the folder {as_json(path, 100)}, which is not one beside it")
    if kind == "Transformer":
        return Module(kind, path, {}, {})
    config, weights = f"{path}/config.json", f"{path}/{WHOLE}"
    arrays: dict[str, Array] = {}
    if (folder / weights).is_file():
        from llminspect.files.safetensors import SafetensorsFile

        with SafetensorsFile(inside(folder, weights)) as file:
            arrays = {name: file.array(name).copy() for name in file.tensors}
    elif (folder / path).is_dir():
        refuse_pickles((each.name for each in (folder / path).iterdir()), path)
    there = (folder / config).is_file()
    return Module(kind, path, read_json(inside(folder, config), config) if there else None, arrays)
