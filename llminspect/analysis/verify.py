"""`llminspect verify`: are the numbers right, on this machine?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.activations import activations, activations_by_token, compare, in_float64, not_finite
from llminspect.analysis.prompt import check_prompt, prompt_of_ids
from llminspect.analysis.result import Result
from llminspect.arguments.ranges import Ids, parse_ids
from llminspect.arguments.small import BOUND
from llminspect.core.compare import spread_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.analysis.activations import Activations, VerifyCheck
    from llminspect.model.opened import Model

TOKENS = 16


@dataclass(frozen=True)
class SkippedCheck:
    """A check that does not apply, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class VerifyResult(Result):
    """How far the numbers are from recorded ones, or from the same numbers made another way, layer by layer."""

    ids: list[int]
    """The input of every pass; of an encoder–decoder the target."""
    bound: float
    """The largest relative difference that passes."""
    passed: bool
    checks: list[VerifyCheck]
    left_out: list[SkippedCheck]
    not_finite: list[str]
    """Weights that hold NaN or infinity."""
    against: str | None = None
    """The file of recorded activations."""
    recorded: str | None = None
    """The file that was written."""
    source_ids: list[int] | None = None
    """Of an encoder–decoder: the source."""


def verify(
    model: Model,
    ids: Sequence[int],
    *,
    bound: float = BOUND,
    streamed: Callable[[], Model] | None = None,
    against: tuple[str, Activations] | None = None,
    source_ids: Sequence[int] | None = None,
) -> tuple[VerifyResult, Activations]:
    """Compare with recorded activations, or without any with the model itself; gives the activations as well.

    `streamed` opens the model with its weights read anew from its own file. Raises UsageError where the recording does
    not fit the model.
    """
    skipped: list[SkippedCheck] = []
    model = replace(model, finite=False)
    with np.errstate(invalid="ignore", over="ignore"):  # What is not finite is reported by name.
        found = activations(model, ids, source_ids)
        if against is not None:
            checks = [compare("recorded", "this pass against the recording", found, against[1], bound)]
        else:
            checks, skipped = _against_itself(model, (ids, source_ids), found, bound, streamed)
    broken = not_finite(model)
    passed = all(check.passed for check in checks) and not broken
    name = None if against is None else against[0]
    source = None if source_ids is None else list(source_ids)
    return VerifyResult(list(ids), bound, passed, checks, skipped, broken, against=name, source_ids=source), found


def _against_itself(
    model: Model,
    given: tuple[Sequence[int], Sequence[int] | None],
    found: Activations,
    bound: float,
    streamed: Callable[[], Model] | None,
) -> tuple[list[VerifyCheck], list[SkippedCheck]]:
    skipped = []
    exact = activations(in_float64(model), *given)
    checks = [compare("float64", "float32 against float64", found, exact, bound)]
    if (model.can("generate") or model.can("source")) and model.config.causal:
        by_token = activations_by_token(model, *given)
        checks.append(compare("cached", "token by token with the cache against all at once", by_token, found, bound))
    else:
        skipped.append(
            SkippedCheck("cached", "a token sees those after it, so nothing can be kept from one pass to the next")
        )
    if streamed is None:
        skipped.append(SkippedCheck("streamed", "the weights are built in, there is no file to read them from"))
    else:
        anew = activations(streamed(), *given)
        compared = "weights read from the file layer by layer against those prepared whole"
        checks.append(compare("streamed", compared, found, anew, bound))
    return checks, skipped


def ids_of(model: Model, ids: Ids | None, recording: Activations | None) -> tuple[list[int], list[int] | None]:
    """The input of the passes, and of an encoder–decoder the source: what was given, else what was recorded, else ids
    from all over the vocabulary (of which the target takes the first half, after its start)."""

    def checked(listed: Ids) -> list[int]:
        prompt = prompt_of_ids(parse_ids(listed), model.tokenizer, None)
        check_prompt(model, prompt)
        return prompt.ids

    sizes, source_ids = model.config.sizes, None
    chosen = spread_ids(sizes.V, min(TOKENS, sizes.context)) if ids is None else checked(ids)
    if model.can("source"):
        start_id: int = model.config.start_id  # type: ignore[attr-defined]
        chosen, source_ids = [start_id, *chosen[: len(chosen) // 2]], chosen
    if ids is None and recording is not None:
        if recording.ids is not None:
            chosen = checked(recording.ids)
        if source_ids is not None and recording.source_ids is not None:
            source_ids = checked(recording.source_ids)
    return chosen, source_ids
