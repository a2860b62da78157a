"""A model with changes at work in every pass: what is ablated, scaled, steered and patched, for who looks into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from llminspect.arguments.experiments import ExperimentOptions, PatchOptions
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import NO_TAP, Chain, Tap
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.ablation import Instead
    from llminspect.analysis.experiments import Experiment
    from llminspect.core.array import Array
    from llminspect.core.cache import Cache, Pass


class ChangedModel(Model):
    """The model, in each of whose passes the taps act before anybody looks."""

    _left_alone: Model
    _taps: Sequence[Tap]

    def run(
        self, ids: Sequence[int] | Array, tap: Tap = NO_TAP, cache: Cache | None = None, hidden_S: Array | None = None
    ) -> Pass:
        """As `Model.run`, changed."""
        return self._left_alone.run(ids, Chain([*self._taps, tap]), cache, hidden_S)


def with_taps(model: Model, taps: Sequence[Tap]) -> Model:
    """The model with these at work; the model itself where there are none.

    >>> from llminspect.core.intervention import Place, scaled
    >>> from llminspect.opening import open_model
    >>> model = open_model("toy")
    >>> with_taps(model, [scaled(Place(0, "stream"), 2)]).run([1]).stream_TD
    array([[4. , 5.4]], dtype=float32)
    """
    if not taps:
        return model
    made = ChangedModel(**{field.name: getattr(model, field.name) for field in fields(model)})
    for name, value in {"_left_alone": model, "_taps": tuple(taps)}.items():
        object.__setattr__(made, name, value)
    return made


@dataclass(frozen=True)
class ModelChanges:
    """What is to be changed; `source_ids` is the text that --patch takes from."""

    experiments: ExperimentOptions = ExperimentOptions()
    patch: PatchOptions = PatchOptions()
    source_ids: Sequence[int] | None = None
    instead: Instead | None = None
    """What stands in the place of ablated parts, where it is not made of the text alone."""

    @property
    def by_position(self) -> bool:
        """Whether what is put in hangs on the position."""
        return self.source_ids is not None or self.experiments.ablate_with == "resample"

    def __bool__(self) -> bool:
        return self.source_ids is not None or vars(self.experiments) != vars(ExperimentOptions())


NO_CHANGE = ModelChanges()


def changed(model: Model, changes: ModelChanges, ids: Sequence[int]) -> tuple[Model, list[Experiment]]:
    """The model as it reads the text `ids`, and what was done to it: the patch first, then what is ablated, scaled and
    steered, as in `forward`. Raises UsageError for what is not there."""
    if not changes:
        return model, []
    from llminspect.analysis.experiments import experiment_taps

    taps, made = experiment_taps(model, changes.experiments, ids, changes.instead)
    if changes.source_ids is not None:
        from llminspect.analysis.patching import into_places, other_text

        other = other_text(model, ids, changes.source_ids, changes.patch.align)
        patches, patched = into_places(model, ids, other, changes.patch, taps)
        taps, made = [*patches, *taps], [*patched, *made]
    return with_taps(model, taps), made
