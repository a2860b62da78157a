"""Arrays that are kept small and computed with in full; those of layers of one kind lie in one pile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from llminspect.model.params import OF_A_LAYER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llminspect.core.array import Array
    from llminspect.model.spec import TensorSpec

    Piles = dict[str, tuple[TensorSpec, ...]]
    Places = dict[str, tuple[str, int | None]]


def piled(specs: Iterable[TensorSpec]) -> Piles:
    """What is kept as one array, by its name: the arrays of all layers that bear one name and have one shape.

    `layers.*.attention.query.weight` is a pile; what belongs to no layer is an array of its own name.
    """
    piles: Piles = {}
    for spec in specs:
        found = OF_A_LAYER.fullmatch(spec.name)
        name = f"{found['stack']}.*.{found['short']}" if found else spec.name
        while name in piles and piles[name][0].shape != spec.shape:  # Another width in some layers.
            name += "'"
        piles[name] = (*piles.get(name, ()), spec)
    return piles


def is_pile(name: str) -> bool:
    return ".*." in name


def places_in(piles: Piles) -> Places:
    """The pile of each array, and its row there; None: it is no pile."""
    return {
        spec.name: (name, row if is_pile(name) else None)
        for name, specs in piles.items()
        for row, spec in enumerate(specs)
    }


class Widened(Mapping[str, "Array"]):
    """Arrays by their names in the core as float32, whatever they are kept as."""

    def __init__(self, arrays: Mapping[str, Array], places: Places) -> None:
        self.arrays, self.places = arrays, places

    def __getitem__(self, name: str) -> Array:
        pile, row = self.places[name]
        array = self.arrays[pile] if row is None else self.arrays[pile][row]
        return array.astype(jnp.float32)

    def at(self, pile: str, row: Array) -> Array:
        """One array of a pile, by a number that is known only when the code runs."""
        array: Array = jax.lax.dynamic_index_in_dim(self.arrays[pile], row, keepdims=False)
        return array.astype(jnp.float32)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
