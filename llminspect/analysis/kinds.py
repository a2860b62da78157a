"""`llminspect models --kinds`: which kinds of model open, by the names that files have for them."""

from __future__ import annotations

from llminspect.core.dataclass import dataclass
from llminspect.model.registry import by_module
from llminspect.model.text_part import TEXTS


@dataclass(frozen=True)
class ModelKind:
    """A family of models."""

    family: str
    huggingface: list[str]
    """Its names in a `config.json`, under `model_type`."""
    gguf: list[str]
    """Its names in a GGUF file, under `general.architecture`."""
    about: str
    """What makes it what it is."""


def known_kinds() -> list[ModelKind]:
    """All that the registry has, and those that see pictures as well."""
    found = [
        ModelKind(family.name, list(family.model_types), list(family.gguf_names), " ".join(first.split()))
        for about, families in by_module()
        for first in [about.split("\n\n")[0]]
        for family in families
    ]
    about = "The text part of a model that sees pictures, or hears, as well."
    seeing = [ModelKind(kind, [kind], [], about) for kind in TEXTS]
    return sorted([*found, *seeing], key=lambda kind: kind.family)
