"""What of a Result is a number at a place that other texts have as well: for `--over`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from llminspect.analysis.swept import HEADS
from llminspect.arguments.forward import SweptPart
from llminspect.core.array import Array
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.attribution import Attribution
    from llminspect.analysis.forward_result import ForwardResult
    from llminspect.analysis.silencing import Silencing
    from llminspect.analysis.sweeping import Sweep

Where: TypeAlias = tuple[str, int | None, int | None, int | None]
"""What is measured; layer, head and position, as far as it has them."""
Numbers: TypeAlias = dict[Where, float]

TARGET_FIRST = "target is first"
CORRELATION = "correlation with estimates from gradients"


def numbers_of_forward(result: ForwardResult, aligned: bool) -> Numbers:
    """The numbers of `forward`. `aligned`: all texts have as many tokens, so that their positions can be compared."""
    return {where: float(value) for where, value in _of_forward(result, aligned)}


def _of_forward(result: ForwardResult, aligned: bool) -> Iterator[tuple[Where, float]]:
    if result.surprise is not None:
        bits = [math.nan if value is None else value for value in result.surprise.bits]
        # Of a single token nothing is scored: no number, at the same places as those of the other texts.
        scored, perplexity = result.surprise.scored, result.surprise.perplexity
        yield ("bits per token", None, None, None), result.surprise.total_bits / scored if scored else math.nan
        yield ("perplexity", None, None, None), math.nan if perplexity is None else perplexity
        for position, value in enumerate(bits if aligned else []):
            yield ("bits", None, None, position), value
        return
    if result.target is not None:
        if result.change is None:
            yield ("target probability", None, None, None), result.target.prob
        yield (TARGET_FIRST, None, None, None), result.target.rank == 0
    for layer in result.lens or []:
        if layer.target is not None:
            yield ("lens: target probability", layer.layer, None, None), layer.target.prob
            yield ("lens: target rank", layer.layer, None, None), layer.target.rank
    if result.attribution is not None:
        yield from _of_attribution(result.attribution)
    if result.sweep is not None:
        yield from _of_sweep(result.sweep, aligned)
    if result.silencing is not None:
        yield from _of_silencing(result.silencing, aligned)
    if result.change is not None:
        yield ("KL in bits", None, None, None), result.change.kl
        for name, shift in (("target", result.change.target), ("versus", result.change.versus)):
            if shift is not None:
                yield (f"{name} probability before", None, None, None), shift.prob_before
                yield (f"{name} probability after", None, None, None), shift.prob_after
                yield (f"{name} logit change", None, None, None), shift.logit_change


def _of_attribution(found: Attribution) -> Iterator[tuple[Where, float]]:
    yield ("logit", None, None, None), found.logit
    yield ("embedding", None, None, None), found.embedding
    yield ("bias", None, None, None), found.bias
    for share in found.layers:
        for head, value in enumerate(share.heads):
            yield ("head", share.layer, head, None), value
    for name in ("attention", "feedforward", "cross", "state"):
        for share in found.layers:
            value = getattr(share, name)
            if value is not None:
                yield (name, share.layer, None, None), value


def _of_sweep(found: Sweep, aligned: bool) -> Iterator[tuple[Where, float]]:
    yield ("before", None, None, None), found.before
    yield ("after", None, None, None), found.after
    if found.agreement is not None:
        yield (CORRELATION, None, None, None), found.agreement.correlation
    name = "restored" if found.direction == "denoising" else "lost"
    for layer, value in enumerate(found.together or []):
        yield (f"{name} by all that differs", layer, None, None), value
    heads = found.heads if found.part == "head-position" else None
    yield from _of_maps(name, found.part, found.restored, heads, aligned, found.together is None)


def _of_silencing(found: Silencing, aligned: bool) -> Iterator[tuple[Where, float]]:
    number = "log p" if found.of == "logprob" else "logit difference"
    yield (f"{number} before", None, None, None), found.before
    if found.agreement is not None:
        yield (CORRELATION, None, None, None), found.agreement.correlation
    for name, map_LT, heads, together in (
        (f"change of {number}", found.change, found.heads, found.together),
        ("KL in bits", found.kl, found.heads_kl, found.together_kl),
    ):
        if map_LT is not None:
            heads = heads if found.part == "head-position" else None
            for layer, value in enumerate(together or []):
                yield (f"{name}, all positions", layer, None, None), value
            yield from _of_maps(name, found.part, map_LT, heads, aligned, together is None)


def _of_maps(
    name: str, part: SweptPart, map_LT: Array, heads: Array | None, aligned: bool, alone: bool
) -> Iterator[tuple[Where, float]]:
    """A map of heads, and of these at single positions, or of positions, where all texts have the same."""
    if part in HEADS:
        for (layer, head), value in np.ndenumerate(map_LT):
            yield (name, layer, head, None), value
        if heads is not None and aligned:
            for (layer, head, position), value in np.ndenumerate(heads):
                yield (f"{name} at one position", layer, head, position), value
    elif aligned:
        for (layer, position), value in np.ndenumerate(map_LT):
            yield (name, layer, None, position), value
    elif alone:
        raise UsageError(
            f"--sweep {part} works position by position, and the texts have different lengths",
            "take texts with the same number of tokens, or --sweep head",
        )


def numbers_of_attend(result: AttendResult) -> Numbers:
    """The numbers of `attend`: with --find each head's weight and excess, else its measures."""
    found: Numbers = {}
    if result.find is not None:
        for entry in result.find.heads:
            found["weight", entry.layer, entry.head, None] = entry.weight
            found["excess", entry.layer, entry.head, None] = math.nan if entry.excess is None else entry.excess
        return dict(sorted(found.items(), key=lambda item: (item[0][0] != "excess", *item[0][1:3])))
    if result.overview is not None:
        for name, values_LH in result.overview.measures.items():
            for (layer, head), value in np.ndenumerate(values_LH):
                found[name, layer, head, None] = float(value)
    else:
        for measure in result.heads[0].measures if result.heads else ():
            for one in result.heads:
                found[measure, one.layer, one.head, None] = float(one.measures[measure])
    return found
