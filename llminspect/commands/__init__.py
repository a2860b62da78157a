"""The commands, a room each: `__init__` (or the file itself) holds the command, `view` draws its Result.

A module of this folder is a command: adding one touches no other file. Its `RESULTS` are the classes of what `--json`
writes.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.abc import InspectLoader
from types import CodeType, FunctionType
from typing import Any

ORDER = (
    "tokenize encode embed attend forward generate head neuron probe circuit features walk explore diff "
    "models pull info verify cache schema mcp help"
).split()
"""The flow of the text first; a command that is not named here comes after."""


@cache
def names() -> tuple[str, ...]:
    """All commands, in the order of `--help`."""
    found = {entry.name for entry in pkgutil.iter_modules(__path__)}
    return tuple(sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)))


def summary(name: str) -> str:
    """The first line of a command's help, out of its compiled file: nothing has to be imported for a list of them."""
    spec = importlib.util.find_spec(f"{__name__}.{name}")
    assert spec is not None and isinstance(spec.loader, InspectLoader)
    module = spec.loader.get_code(spec.name)
    assert module is not None
    command = next(part for part in module.co_consts if isinstance(part, CodeType) and part.co_name == "command")
    return (FunctionType(command, {}).__doc__ or "").partition("\n")[0]


def function(name: str) -> Any:
    """The function that the command line calls; its file is imported now."""
    return importlib.import_module(f"{__name__}.{name}").command


def render(name: str) -> Any:
    """The function that draws a command's Result: that of its `view`, or of the one file that it is; imported now."""
    room = importlib.import_module(f"{__name__}.{name}")
    return (importlib.import_module(f"{room.__name__}.view") if hasattr(room, "__path__") else room).render


def result_types(name: str) -> list[Any]:
    """The classes of what a command writes as JSON; none for one that writes none."""
    written = getattr(importlib.import_module(f"{__name__}.{name}"), "RESULTS", "")
    places = [place.rpartition(".") for place in written.split()]
    return [getattr(importlib.import_module(f"llminspect.{module}"), kind) for module, _, kind in places]
