"""Vectors as points in the plane that shows most of their variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from llminspect.analysis.documents import Dims
from llminspect.core.geometry import principal_plane
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.analysis.neighbours import Neighbour
    from llminspect.core.array import Array

Group = Literal["text", "neighbour"]


@dataclass(frozen=True)
class PlaneProjection:
    """The vectors in the plane that shows most of their variance."""

    method: Literal["pca"]
    labels: list[str]
    groups: list[Group]
    points: Annotated[Array, Dims("N 2")]
    variance: tuple[float, float]
    """The share of the variance that each axis shows."""


def projection_of(
    labels: list[str], vectors_ND: Array, nearest: list[list[Neighbour]] | None, table_VD: Array
) -> PlaneProjection:
    """The vectors, and the neighbours that were found, in the plane of their first two principal components."""
    near = {entry.id: entry.text for entries in nearest or [] for entry in entries if entry.text not in labels}
    rows = [vectors_ND, *([np.take(table_VD, list(near), axis=0)] if near else [])]
    everything = np.concatenate(rows)
    if len(everything) < 2:
        raise UsageError("--project needs at least two vectors", "give a longer text, or --nearest 10 beside it")
    plane = principal_plane(everything)
    groups: list[Group] = ["text" for _ in labels]
    groups += ["neighbour" for _ in near]
    return PlaneProjection("pca", [*labels, *near.values()], groups, plane.points_N2, plane.shares)
