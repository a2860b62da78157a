"""What is said of an option beside its type: names, help, range. The command line makes its options of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LARGEST = 2**63 - 1
"""Whole numbers lie between −LARGEST and this where an option sets no range: they end up in JSON and in numpy."""


@dataclass(frozen=True, init=False)
class Option:
    """The metadata of a field that is an option: `Annotated[int, Option("--top", min=0, help="How many.")]`."""

    names: tuple[str, ...]
    settings: dict[str, Any]
    """What else the command line is told: help, metavar, envvar, show_default, and what the shell `completes`."""
    min: float | None
    max: float | None

    def __init__(self, *names: str, min: float | None = None, max: float | None = None, **settings: Any) -> None:
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "settings", settings)
        object.__setattr__(self, "min", min)
        object.__setattr__(self, "max", max)


class Argument(Option):
    """The same of a field that stands without a name on the command line."""
