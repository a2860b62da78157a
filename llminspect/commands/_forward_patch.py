"""`forward --patch TEXT`: put in what another text gave, at every place in turn.

Meng et al. 2022, "Locating and Editing Factual Associations in GPT" (section 2, causal tracing); Wang et al. 2022,
"Interpretability in the Wild" (activation patching).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from llminspect.commands._documents import Dims
from llminspect.commands._forward_attribution import Named
from llminspect.commands._words import token_text
from llminspect.core.array import namespace
from llminspect.core.intervention import Place
from llminspect.core.tap import Capture, Chain, Edit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.commands._patch import Other
    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model import Model

SweptPart = Literal["stream", "attention", "feedforward", "head"]
TOKENS = 2048
"""How many tokens go through the model at once."""


@dataclass(frozen=True)
class Sweep:
    """How much of the other text's answer comes back when one place at a time is patched."""

    part: SweptPart
    target: Named
    """The other text's answer."""
    versus: Named
    """This text's answer."""
    before: float
    """logit of target − logit of versus without any patch."""
    after: float
    """The same for the other text."""
    restored: Array
    """[layers][positions], for heads [layers][heads]: 0 nothing comes back, 1 all of it."""
    differing: list[int]
    """The positions at which the two texts differ."""
    together: list[float] | None
    """For the stream: all differing positions patched at once, a number a layer."""
    by: Literal["patching", "gradient"] = "patching"
    heads: Annotated[Array, Dims("L H T")] | None = None
    """By gradients, for heads: at each position."""


def _swapped(array: Array, chosen: Array, other: Array) -> Array:
    """`other` where `chosen`; for most layers of a batch that is nowhere."""
    import numpy as np

    if isinstance(array, np.ndarray) and not chosen.any():
        return array
    swapped: Array = namespace(array).where(chosen, other, array)
    return swapped


def _batch_patch(changes: Sequence[tuple[int, list[int]]], places: Sequence[Place], source: Capture) -> list[Tap]:
    """Each text of a batch patched at a place of its own: the layer, and which heads or positions. An `Edit` for every
    layer, so that all batches are one program for an engine that compiles."""
    import numpy as np

    taps: list[Tap] = []
    for layer, place in enumerate(places):
        other = source[place.tap]  # [H, T, E] or [T, D]
        chosen = np.zeros((len(changes), other.shape[0]), dtype=bool)
        for row, (at, rows) in enumerate(changes):
            if at == layer:
                chosen[row, rows] = True
        taps.append(Edit(place.tap, _swapped, chosen.reshape(*chosen.shape, *[1] * (other.ndim - 1)), other))
    return taps


def sweep(
    model: Model,
    ids: Sequence[int],
    other: Other,
    position: int,
    part: SweptPart,
    answers: tuple[int, int],
    taps: Sequence[Tap],
) -> Sweep:
    """Patch every layer at every position (every head at all positions) in turn; `answers` are target and versus."""
    import numpy as np

    sizes = model.config.sizes
    differing = other.differing(model, ids)
    across = sizes.H if part == "head" else len(ids)
    places = [Place(layer, part) for layer in range(sizes.L)]
    changes = [(layer, [at]) for layer in range(sizes.L) for at in range(across)]
    changes += [(layer, differing) for layer in range(sizes.L)] if part == "stream" else []
    source = Capture(*(place.tap for place in places))
    end = other.model.run(other.ids, Chain([*taps, source])).stream_TD[position]
    target, versus = answers

    def score(stream_BD: Array) -> Array:
        logits_BV = model.logits(stream_BD).astype(np.float64)
        result: Array = logits_BV[:, target] - logits_BV[:, versus]
        return result

    after = float(score(end[None])[0])
    before = float(score(model.run(ids, Chain(taps)).stream_TD[position][None])[0])
    # Batches of one size, the last filled up, so that an engine that compiles does so once.
    batches = -(-len(changes) // max(1, TOKENS // len(ids)))
    size = -(-len(changes) // batches)
    batch_BT = np.broadcast_to(np.asarray(ids), (size, len(ids)))
    scores: list[float] = []
    for start in range(0, len(changes), size):
        now = changes[start : start + size]
        filled = [*now, *[now[-1]] * (size - len(now))]
        tap = Chain([*taps, *_batch_patch(filled, places, source)])
        scores += score(model.run(batch_BT, tap).stream_TD[:, position])[: len(now)].tolist()
    gap = after - before
    restored = (np.asarray(scores) - before) / gap if abs(gap) > 1e-6 else np.zeros(len(scores))
    grid = sizes.L * across
    return Sweep(
        part=part,
        target=Named(target, token_text(model, target)),
        versus=Named(versus, token_text(model, versus)),
        before=before,
        after=after,
        restored=restored[:grid].reshape(sizes.L, across),
        differing=differing,
        together=restored[grid:].tolist() if part == "stream" else None,
    )


def first_order(
    model: Model,
    ids: Sequence[int],
    other: Other,
    position: int,
    part: SweptPart,
    answers: tuple[int, int],
    taps: Sequence[Tap],
) -> Sweep:
    """What `sweep` finds, as far as it is a straight line: (the other's value − one's own) · gradient, for all places
    in two passes and one back (Nanda 2023, "Attribution Patching"; Syed et al. 2023)."""
    import numpy as np

    from llminspect.commands._forward_saliency import with_gradients

    engine, sizes, (target, versus) = with_gradients(model), model.config.sizes, answers
    names = [Place(layer, part).tap for layer in range(sizes.L)]
    differing = other.differing(model, ids)
    before, values, slopes = engine.gradients(ids, names, position, target, versus, Chain(taps))
    source = Capture(*names)
    end_TD = other.model.run(other.ids, Chain([*taps, source])).stream_TD
    logits_V = model.logits(end_TD[position][None])[0]
    after = float(logits_V[target]) - float(logits_V[versus])
    gap = after - before
    moved = np.stack([((source[name] - values[name]) * slopes[name]).sum(axis=-1) for name in names])
    shares = moved / gap if abs(gap) > 1e-6 else np.zeros_like(moved)
    return Sweep(
        part=part,
        target=Named(target, token_text(model, target)),
        versus=Named(versus, token_text(model, versus)),
        before=before,
        after=after,
        restored=shares.sum(axis=-1) if part == "head" else shares,
        differing=differing,
        together=shares[:, differing].sum(axis=-1).tolist() if part == "stream" else None,
        by="gradient",
        heads=shares if part == "head" else None,
    )


def deepest(found: Sweep) -> int:
    """The last layer behind which the differing words still carry at least half of the answer (else the first)."""
    carried = [layer for layer, share in enumerate(found.together or []) if share >= 0.5]
    return carried[-1] if carried else 0
