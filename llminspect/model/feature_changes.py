"""Features of a sparse dictionary silenced, scaled and steered while a model runs: a tap.

Only the difference in what the features write is added, so that what the dictionary cannot rebuild stays as it is, and
a change of nothing changes nothing. Templeton et al. 2024, "Scaling Monosemanticity", section "Influence on Behavior".

Letters: T tokens, O numbers that are written, N features that are changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.dictionary import activations_of, scales

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.core.dictionary import Dictionary
    from llminspect.model.hook_points import HookPlace
    from llminspect.model.opened import Model


class FeatureChange:
    """A tap: the activation of each of `features` times its factor, and so much added, at every token.

    What is on is read from the pass itself, after whatever else was changed before. A step that a whole pass never
    reaches is an error, as with `Edit`.
    """

    def __init__(
        self,
        model: Model,
        dictionary: Dictionary,
        place: HookPlace,
        features: list[int],
        factor_N: Array,
        added_N: Array,
    ) -> None:
        self.model, self.dictionary, self.place, self.features = model, dictionary, place, features
        self.factor_N, self.added_N = factor_N, added_N
        self.rows_NO = dictionary.rows(features)
        self.acted = False
        """Whether a pass has reached it."""
        self._deltas: list[Array] = []
        """What is to be added where it writes: of each text of a batch [T, O]."""

    def wants(self, name: str) -> bool:
        return name in (self.place.read, self.place.write)

    def __call__(self, name: str, array: Array) -> Array:
        if name == self.place.read:
            self._deltas = [self._delta(one) for one in self._texts(array)]
        if name != self.place.write:
            return array
        self.acted = True
        texts = zip(self._texts(array), self._deltas, strict=True)
        moved = [one + self.place.change(one, delta_TO) for one, delta_TO in texts]
        return moved[0] if len(array.shape) == self._dimensions else np.stack(moved).reshape(array.shape)

    @property
    def _dimensions(self) -> int:
        """Of what stands at the place for one text: [T, D], or [H, T, E]."""
        return 3 if self.place.form == "heads" else 2

    def _texts(self, array: Array) -> list[Array]:
        front = len(array.shape) - self._dimensions
        return [array] if not front else list(array.reshape(-1, *array.shape[front:]))

    def _delta(self, array: Array) -> Array:
        """What the features write after the change and did not before, [T, O]."""
        made, read_TD = self.dictionary, self.place.vectors(self.model, array)
        before_TN = activations_of(made, read_TD, self.features)
        delta_TO: Array = (before_TN * self.factor_N + self.added_N - before_TN) @ self.rows_NO
        return delta_TO * scales(made, read_TD)[1] if made.scaling != "none" and made.restores else delta_TO

    def unreached(self, later: str | None = None) -> list[str]:
        return [] if self.acted else [self.place.write]
