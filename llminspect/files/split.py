"""Weights in several files: GGUF files cut by llama.cpp's `gguf-split`, and shards of safetensors; which there must be.

Of a split GGUF file the first part holds the metadata; each says which part it is (`split.no`, from 0), of how many
(`split.count`), and how many tensors all hold together (`split.tensors.count`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError, as_json
from llminspect.files.gguf import GGUFFile
from llminspect.files.weights import SeveralFiles, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PART = re.compile(r"(?P<name>.*)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL)
NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"


def gguf_parts(path: Path) -> tuple[Path, ...]:
    """All parts of the file that a path names one of; the path alone where its name is none of a part.

    ModelError: parts that are not there, by name.
    """
    match = _PART.fullmatch(path.name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return (path,)
    names = [f"{match['name']}-{number:05d}-of-{match['count']}.gguf" for number in range(1, int(match["count"]) + 1)]
    missing = [name for name in names if not (path.parent / name).exists()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ModelError(
            f"{shown(path.name)} is one part of {len(names)}, and parts are missing: "
            f"{', '.join(map(shown, missing[:3]))}{more}",
            "put all parts into one folder",
        )
    return tuple(path.parent / name for name in names)


class SplitGGUF(SeveralFiles):
    """A GGUF file in its parts, in their order. ModelError: they are not parts of one file, and how."""

    metadata: dict[str, Any]

    def __init__(self, paths: tuple[Path, ...]) -> None:
        files = [GGUFFile(path) for path in paths]
        super().__init__(paths[0], [(file, file.tensors) for file in files])
        self.metadata = files[0].metadata
        for number, file in enumerate(files):
            for key, expected in ((NUMBER, number), (COUNT, len(files)), (TENSORS, len(self.tensors))):
                _check(file, key, expected)


def _check(file: GGUFFile, key: str, expected: int) -> None:
    if file.metadata.get(key) != expected:
        raise ModelError(
            f"{shown(file.path.name)} is no part of what lies there: "
            f"its {key} is {as_json(file.metadata.get(key), 40)}, not {expected}",
            "fetch all parts again from one place",
        )


def open_gguf(path: Path) -> tuple[Mapping[str, Any], tuple[Path, ...], GGUFFile | SplitGGUF]:
    """The metadata, the files and the weights of a GGUF file, any part of which may be named. ModelError: broken."""
    paths = gguf_parts(path)
    if len(paths) > 1:
        split = SplitGGUF(paths)
        return split.metadata, paths, split
    file = GGUFFile(path)
    count = file.metadata.get(COUNT, 1)
    if isinstance(count, int) and count > 1:
        raise ModelError(
            f"{shown(path.name)} is one part of {count}, and its name does not say which",
            f"give all parts the names NAME-00001-of-{count:05d}.gguf and so on",
        )
    return file.metadata, paths, file
