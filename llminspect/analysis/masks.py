"""`forward` of a masked model: what each mask token stands for (Devlin et al. 2018, BERT, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.analysis.candidates import Candidate, candidates
from llminspect.core.tap import Chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class FilledMask:
    """One mask token."""

    index: int
    top: list[Candidate]


def fill_masks(model: Model, ids: Sequence[int], count: int, taps: Sequence[Tap]) -> list[FilledMask]:
    """The most probable tokens at each mask; an empty list where the text has none."""

    mask_id = model.tokenizer.mask_id if model.tokenizer else None
    masks = [index for index, token_id in enumerate(ids) if token_id == mask_id]
    if not masks:
        return []
    stream_TD = model.run(ids, Chain(taps)).stream_TD
    return [
        FilledMask(index, candidates(model, logits_V, count))
        for index, logits_V in zip(masks, model.logits(stream_TD[masks]), strict=True)
    ]
