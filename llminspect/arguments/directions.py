"""Directions that `--steer` and `--steer-from` take from files: `mood.npz:good@10*4`, `good.txt bad.txt@10*4`."""

from __future__ import annotations

import re
from pathlib import Path

from llminspect.arguments.ranges import is_index, shortened
from llminspect.arguments.words import parse_factor
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError


@dataclass(frozen=True)
class SavedDirection:
    """Of a file that `probe --save` wrote: the direction of a class, after a layer, times a factor."""

    path: Path
    name: str | None
    """None: the only one, or of two classes the second."""
    layer: int
    factor: float

    def __str__(self) -> str:
        return f"{self.path}{'' if self.name is None else f':{self.name}'}"


def parse_saved(text: str) -> SavedDirection | None:
    """`mood.npz:good@10*4`; None for what names no .npz. Raises UsageError where it says no layer."""
    expression, at, place = text.rpartition("@")
    found = re.fullmatch(r"(.+?\.npz)(?::(.*))?", (expression if at else text).strip(), re.DOTALL | re.IGNORECASE)
    if found is None:
        return None
    layer, factor = parse_layer(
        place if at else "", f"--steer {shortened(text)!r}", "mood.npz@10*4, mood.npz:good@10*4"
    )
    return SavedDirection(Path(found[1]), found[2], layer, factor)


def parse_layer(place: str, what: str, example: str) -> tuple[int, float]:
    """`10*4` as layer 10 and the factor 4, which is 1 where it is left out. Raises UsageError."""
    layer, star, factor_text = place.partition("*")
    factor = parse_factor(factor_text) if star else 1.0
    if not is_index(layer.strip()) or factor is None:
        raise UsageError(f"{what} does not say @layer*factor", f"for example {example}")
    return int(layer), factor


@dataclass(frozen=True)
class ExampleDirection:
    """The mean of some texts less that of others, after a layer, times a factor."""

    positive: Path
    negative: Path
    layer: int
    factor: float


def parse_examples(files: tuple[str, str]) -> ExampleDirection:
    """`positive.txt` and `negative.txt@10*4`. Raises UsageError."""
    positive, (negative, at, place) = files[0], files[1].rpartition("@")
    example = "--steer-from positive.txt negative.txt@10*4"
    what = f"--steer-from {shortened(' '.join(files))!r}"
    layer, factor = parse_layer(place if at else "", what, example)
    if not positive.strip() or not negative.strip():
        raise UsageError(f"{what} does not name two files", f"for example {example}")
    return ExampleDirection(Path(positive), Path(negative), layer, factor)
