"""A few golden models that together have every part: what holds for them holds for all that are made of the same."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from llminspect.model.config import Config
from llminspect.opening import describe_model
from tests.model.golden import Golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from llminspect.model.opened import Description


@cache
def described(name: str) -> Description:
    return describe_model(str(Golden(name).folder), offline=True)


def covering(names: Iterable[str], parts: Callable[[str], set[str]]) -> list[str]:
    """Of the models those that have every part, each chosen as it brings the most that none before has."""
    left = {name: parts(name) for name in sorted(names)}
    found = []
    while any(left.values()):
        most = max(left, key=lambda name: len(left[name]))
        brought = left[most]
        found.append(most)
        left = {name: has - brought for name, has in left.items()}
    return found


def tensors(name: str) -> set[str]:
    """Every tensor, with its shape in letters."""
    return {re.sub(r"\d+", "*", f"{spec.name} {spec.shape}") for spec in described(name).specs}


def shapes(name: str) -> set[str]:
    """Every shape that a tensor has, in letters."""
    return {re.sub(r"\d+", "*", spec.shape) for spec in described(name).specs}


def settings_in(value: Any) -> dict[str, Any]:
    """The fields of a part of a configuration; of the whole those that its family's files say something of."""
    return (
        value.stated_fields()
        if isinstance(value, Config)
        else {each.name: getattr(value, each.name) for each in fields(value)}
    )


def settings(name: str) -> set[str]:
    """Every kind of setting: a word or a switch as it is, of numbers only that they are there."""
    return set(_kinds(described(name).config))


def abilities(name: str) -> set[str]:
    """What it can do, and with which head."""
    family = described(name).architecture
    return {*family.capabilities, str(family.head and family.head.kind)}


def parts(name: str) -> set[str]:
    """Of what kind each part of a model is that only some have: mixtures, states, masks, latent keys."""
    latent = {"latent"} if described(name).config.sizes.Z else set()
    return latent | {kind for kind in settings(name) if re.fullmatch(r"\.\w+ [A-Z]\w+", kind)}


def _kinds(value: Any, name: str = "") -> Iterator[str]:
    if is_dataclass(value):
        yield f"{name} {type(value).__name__}"
        for field, inner in settings_in(value).items():
            if field not in ("sizes", "biased"):
                yield from _kinds(inner, f"{name}.{field}")
    elif isinstance(value, bool | str) or value in (None, (), 1.0):
        yield f"{name} {value}"
    else:
        yield name
