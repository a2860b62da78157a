"""`--ablate each`: every head, or every step at every position, silenced in turn, exactly or by gradients.

Michel et al. 2019, "Are Sixteen Heads Really Better than One?" (both); Wang et al. 2022, "Interpretability in the Wild"
(what stands in the place of a part: nothing, its mean, another text's).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token
from llminspect.analysis.result import Dims
from llminspect.analysis.swept import HEADS, Agreement, SweepMaps, Swept, Watcher, agreement, places_of
from llminspect.analysis.token_scores import with_gradients
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import SweptPart
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Capture, Chain, Tap
from llminspect.core.unembed import Score, log_softmax
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.ablation import Instead
    from llminspect.analysis.corpus import CorpusRead


@dataclass(frozen=True)
class Silencing:
    """What comes of it when one place at a time is silenced."""

    part: SweptPart
    what: str
    """What stands in its place."""
    of: Literal["logprob", "difference"]
    """What is measured: the log-probability of the target (in nats), or its logit less that of versus."""
    target: NamedToken
    versus: NamedToken | None
    before: float
    """The number with nothing silenced."""
    change: Array
    """[layers][positions], for heads at all positions [layers][heads]: the number with that place silenced, less the
    number with nothing silenced."""
    kl: Array | None = None
    """KL(before ‖ after) of the next token's distributions, in bits; not by gradients, to which it is flat."""
    together: list[float] | None = None
    """`change` with all positions silenced at once, one number for each layer …"""
    together_kl: list[float] | None = None
    """… and their KL."""
    by: Literal["silencing", "gradient"] = "silencing"
    heads: Annotated[Array, Dims("L H T")] | None = None
    """For heads: `change` at each position, by gradients or with `head-position` …"""
    heads_kl: Annotated[Array, Dims("L H T")] | None = None
    """… and their KL."""
    first_order: Array | None = None
    """With --gradient --exact: by gradients, of the shape of `heads`, or where that is not there of `change` …"""
    agreement: Agreement | None = None
    """… and how well the two agree."""
    opened: list[int] | None = None
    """Layers of --layer, whose heads are drawn at each position."""
    read: CorpusRead | None = None
    """Of a mean over a corpus: what was read of it."""


def silence_each(
    model: Model,
    ids: Sequence[int],
    position: int,
    part: SweptPart,
    answers: Sequence[int | None],
    taps: Sequence[Tap],
    options: ExperimentOptions,
    instead: Instead | None = None,
    *,
    gradient: bool = False,
    exact: bool = False,
    watcher: Watcher | None = None,
) -> Silencing:
    """Silence every head at all positions (with `head-position` also at each), or every step at every position.

    `answers` are target and versus; without a target it is the most probable token. By `gradient` what that finds as
    far as it is a straight line; with `exact` both, and how well they agree.
    """
    from llminspect.analysis.experiments import divergence

    names = [place.tap for place in places_of(model, part)]
    seen, begun = Capture(*names), time.perf_counter()
    stream_TD = model.run(ids, Chain([*taps, seen])).stream_TD
    if watcher is not None:  # Of the first pass much is reading the weights.
        begun = time.perf_counter()
        model.run(ids, Chain(taps))
    seconds = (time.perf_counter() - begun) / len(ids)
    before_V: Any = model.logits(stream_TD[position][None])[0].astype(np.float64)
    target = int(np.argmax(before_V)) if answers[0] is None else answers[0]
    score, log_before_V = Score(position, target, answers[1]), log_softmax(before_V)
    what, put = _put(model, ids, part, seen, taps, options, instead)
    before, tokens = float(score.of(before_V)), len(ids)
    live = list(range(min(position + 1, tokens) if model.config.causal else tokens))
    first_order, maps = None, None
    if gradient:
        _, values, slopes = with_gradients(model).gradients(ids, names, score, Chain(taps))
        first_order = np.stack([((put[name] - values[name]) * slopes[name]).sum(axis=-1) for name in names])
    if exact or first_order is None:

        def measured(logits_BV: Array) -> Array:
            kl_B = divergence(log_before_V, log_softmax(logits_BV))
            return np.stack([np.asarray(score.of(logits_BV)) - before, kl_B], axis=-1)

        swept = Swept(model, ids, position, part, put, taps, seconds, watcher)
        maps = swept.maps(live, [] if part in HEADS else live, measured, np.zeros(2))
    return Silencing(
        part, what, "logprob" if answers[1] is None else "difference", named_token(model, target),
        None if answers[1] is None else named_token(model, answers[1]), before,
        **_fields(part, maps, first_order), read=None if instead is None else instead.read,
    )  # fmt: skip


def _fields(part: SweptPart, maps: SweepMaps | None, first_order: Array | None) -> dict[str, Any]:
    """What was measured, or to first order, as the Result has it."""
    if maps is None:
        assert first_order is not None
        whole = first_order.sum(axis=-1)
        if part in HEADS:
            return {"change": whole, "heads": first_order, "by": "gradient"}
        return {"change": first_order, "together": whole.tolist(), "by": "gradient"}
    found: dict[str, Any] = {"change": maps.each[..., 0], "kl": maps.each[..., 1]}
    if maps.heads is not None:
        found |= {"heads": maps.heads[..., 0], "heads_kl": maps.heads[..., 1]}
    if maps.together is not None:
        found |= {"together": maps.together[:, 0].tolist(), "together_kl": maps.together[:, 1].tolist()}
    if first_order is not None:
        exact = found.get("heads", found["change"])
        both = first_order.sum(axis=-1) if exact.ndim < first_order.ndim else first_order
        found |= {"first_order": both, "agreement": agreement(part, exact, both)}
    return found


def _put(
    model: Model,
    ids: Sequence[int],
    part: SweptPart,
    seen: Capture,
    taps: Sequence[Tap],
    options: ExperimentOptions,
    instead: Instead | None,
) -> tuple[str, dict[str, Array]]:
    """What stands in the place of each part, of the shape of what it gives; and how that reads."""
    from llminspect.analysis.experiments import check_resampled, text_of, what_of_mean

    check_resampled(options, instead)
    places = places_of(model, part)
    if instead is not None and instead.means:
        means = {place.tap: instead.means[str(place)][..., None, :] for place in places}
        return what_of_mean(instead), {name: _like(seen[name], mean) for name, mean in means.items()}
    if instead is not None:
        other, capture = instead.other_text(ids), Capture(*seen.arrays)
        model.run(other.ids, Chain([*taps, capture]))
        return f"resample: “{text_of(model, other.ids)}”", dict(capture.arrays)
    if options.ablate_with == "mean":
        arrays = seen.arrays.items()
        return "mean", {name: _like(array, array.mean(axis=-2, keepdims=True)) for name, array in arrays}
    return "zero", {name: np.zeros_like(array) for name, array in seen.arrays.items()}


def _like(array: Array, value: Array) -> Array:
    found: Array = np.broadcast_to(value, array.shape).astype(array.dtype)
    return found
