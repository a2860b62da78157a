"""Find the architecture that answers to a file's own name for it.

Every module of `families` with an `ARCHITECTURE`, or `ARCHITECTURES`, takes part: adding one touches no other file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from llminspect.errors import ModelError
from llminspect.files.weights import Format
from llminspect.model import families
from llminspect.model.config import Config
from llminspect.model.copies import Copy
from llminspect.model.spec import Architecture, TensorSpec, expanded_shape
from llminspect.model.text_part import TEXTS, text_kind, with_pictures

MODULES = [found.name for found in pkgutil.iter_modules(families.__path__)]


BY_POSITIONS = {("bert", "alibi"): "jina_bert", ("xlm-roberta", "rotary"): "jina_embeddings_v3"}
"""Kinds whose first files have the name of another, and say by `position_embedding_type` that they are not that."""


@cache
def architectures() -> tuple[Architecture, ...]:
    """All families, in the order of their files' names."""
    return tuple(architecture for module in MODULES for architecture in _families(module))


def by_module() -> list[tuple[str, tuple[Architecture, ...]]]:
    """What each file says of its families, and these."""
    found = [(importlib.import_module(f"{families.__name__}.{module}").__doc__ or "", module) for module in MODULES]
    return [(about, _families(module)) for about, module in found]


def architecture_of(values: Mapping[str, Any], file_format: Format, name: str) -> Architecture:
    """The family of a model by what its file says. Raises ModelError where it says nothing that is known."""
    kind = str(values.get("general.architecture" if file_format == "gguf" else "model_type") or "")
    if not kind:
        raise ModelError(f"{name} does not say what kind of model it is")
    if file_format == "huggingface":
        kind = BY_POSITIONS.get((kind, str(values.get("position_embedding_type"))), kind)
    if file_format == "huggingface" and kind in TEXTS:
        return with_pictures(kind, architecture_for(text_kind(kind, values), file_format))
    return architecture_for(kind, file_format)


def architecture_for(name: str, file_format: Format) -> Architecture:
    """The family that answers to `model_type` (Hugging Face) or `general.architecture` (GGUF). Raises ModelError."""
    known: list[str] = []
    # Mostly it is the file of that name, and the others need not be imported. No two files answer to the same name.
    for module in sorted(MODULES, key=lambda module: not name.startswith(module)):
        for architecture in _families(module):
            names = architecture.model_types if file_format == "huggingface" else architecture.gguf_names
            if name in names:
                return architecture
            known += names
    known += TEXTS if file_format == "huggingface" else ()
    from difflib import get_close_matches

    near = get_close_matches(name[:LONGEST_NAME], known, 3)
    hint = f"near: {', '.join(near)}; " if near else ""
    raise ModelError(f"models of the kind {name!r:.100} are not known", f"{hint}llminspect models --kinds lists them")


LONGEST_NAME = 100
"""Letters of a kind that is not known which are compared with those that are."""


def _families(module: str) -> tuple[Architecture, ...]:
    found = vars(importlib.import_module(f"llminspect.model.families.{module}"))
    return (found["ARCHITECTURE"],) if "ARCHITECTURE" in found else found.get("ARCHITECTURES", ())


def claim(
    architecture: Architecture, config: Config, file_format: Format, shapes: Mapping[str, tuple[int, ...]]
) -> list[TensorSpec]:
    """The specs whose tensors the file holds, with the names that this file has for them.

    Of specs of the same name the file holds one. Raises ModelError naming the tensors that are missing, of another
    shape than the configuration says, or left over.
    """
    in_file = {name: name for name in shapes} if file_format == "gguf" else _names_in_file(architecture, shapes)
    present: list[TensorSpec] = []
    claimed: set[str] = set()
    needed: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    for spec in architecture.tensors(config):
        sources = spec.sources(file_format)
        absent = [name for name in sources if name not in in_file]
        if absent and file_format == "huggingface" and spec.other is not None and spec.other[0] in in_file:
            spec = replace(spec, huggingface=spec.other[0], huggingface_fix=spec.other[1])
            sources, absent = spec.sources(file_format), []
        if absent or not sources:
            optional = spec.optional or (
                spec.name == "unembedding.bias" and _without_words(architecture, config, present)
            )
            if not optional:
                needed.setdefault(spec.name, absent or [spec.name])
            if isinstance(spec.optional, str):
                lacking.setdefault(spec.optional, []).extend(absent)
            continue
        if file_format == "huggingface":
            spec = _renamed(spec, in_file)
            sources = spec.sources(file_format)
        claimed.update(sources)
        present.append(spec)
        # One that is put together, cut or turned is checked when it is read.
        if isinstance(getattr(spec, file_format), str) and getattr(spec, f"{file_format}_fix") is None:
            shape, expected = shapes[sources[0]], expanded_shape(spec.shape, config.sizes)
            if shape != expected:
                raise ModelError(f"tensor {sources[0]} has the shape {shape}, the configuration says {expected}")
    groups = {spec.optional for spec in present}
    arrays = {spec.name for spec in present}
    missing = [name for array, names in needed.items() if array not in arrays for name in names]
    missing += [name for group, names in lacking.items() if group in groups for name in names]
    if missing:
        raise ModelError(f"tensors are missing: {_some(missing)}")
    copies, left = [], []
    last = config.sizes.L + config.layers_after
    after = tuple(f"{stack}.{index}." for stack in ("layers", "blk") for index in range(config.sizes.L, last))
    for name, held in in_file.items():
        if held not in claimed and not name.startswith(after):
            copy = next((known for known in architecture.ignored if fnmatchcase(name, known.pattern)), None)
            left += [held] if copy is None else []
            copies += [] if copy is None else [(held, copy)]
    if left:
        raise ModelError(f"tensors that this kind of model does not have: {_some(left)}")
    return [_with_copies(spec, copies, first=spec is present[0]) for spec in present] if copies else present


def _without_words(architecture: Architecture, config: Config, present: list[TensorSpec]) -> bool:
    """Whether no output matrix is used: a body alone, or one with a head of another kind."""
    used = config.tied or any(spec.name == "unembedding.weight" for spec in present)
    return architecture.instead is not None or architecture.headless or not used


def _with_copies(spec: TensorSpec, copies: list[tuple[str, Copy]], first: bool) -> TensorSpec:
    """The array with those that repeat it; the first one also with those that repeat no array."""
    mine = tuple((name, copy) for name, copy in copies if copy.of == spec.name or (first and copy.agrees))
    return replace(spec, copies=mine) if mine else spec


def _names_in_file(architecture: Architecture, names: Iterable[str]) -> dict[str, str]:
    """The names as the specs have them, and as this file of Hugging Face has them."""
    in_file: dict[str, str] = {}
    for name in names:
        canonical = architecture.canonical(name)
        if canonical in in_file:
            raise ModelError(f"tensors {in_file[canonical]} and {name} are the same part of the model")
        in_file[canonical] = name
    return in_file


def _renamed(spec: TensorSpec, in_file: Mapping[str, str]) -> TensorSpec:
    names = spec.huggingface
    return replace(
        spec, huggingface=in_file[names] if isinstance(names, str) else tuple(in_file[name] for name in names or ())
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
