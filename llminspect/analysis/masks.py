"""`forward` of a masked model: what each mask token stands for (Devlin et al. 2018, BERT, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.analysis.candidates import Candidate, candidates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class FilledMask:
    """One mask token."""

    index: int
    top: list[Candidate]


def fill_masks(model: Model, ids: Sequence[int], stream_TD: Array, count: int) -> list[FilledMask]:
    """The most probable tokens at each mask, from the last stream; an empty list where the text has none."""
    mask_id = model.tokenizer.mask_id if model.tokenizer else None
    masks = [index for index, token_id in enumerate(ids) if token_id == mask_id]
    if not masks:
        return []
    logits_MV = model.logits(stream_TD[masks])
    return [
        FilledMask(index, candidates(model, logits_V, count)) for index, logits_V in zip(masks, logits_MV, strict=True)
    ]
