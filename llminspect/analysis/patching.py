"""`--patch TEXT --into PLACE`: put in what another text gave at the same positions. Shared by `forward` and `generate`.

Wang et al. 2022, "Interpretability in the Wild" (activation patching).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token, token_text
from llminspect.analysis.experiments import Experiment
from llminspect.analysis.passes import captured
from llminspect.analysis.prompt import check_prompt, prompt_of_ids, with_source
from llminspect.analysis.result import Dims
from llminspect.analysis.states import check_attention
from llminspect.analysis.token_scores import TOKENS_AT_ONCE, with_gradients
from llminspect.arguments.alignment import Aligned, parse_alignment
from llminspect.arguments.experiments import PatchOptions, parse_place
from llminspect.arguments.option import Texts, each
from llminspect.arguments.ranges import parse_choice
from llminspect.core.array import Array, namespace
from llminspect.core.dataclass import dataclass
from llminspect.core.intervention import Place, replaced
from llminspect.core.numbers import ranges
from llminspect.core.tap import Capture, Chain, Edit, Tap
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.model.opened import Model


@dataclass(frozen=True)
class Other:
    """What is patched from: a text, and the model that reads it.

    That is the model which is patched. Of an encoder–decoder it is its decoder after another source, and what it reads
    is the same target.
    """

    model: Model
    ids: Sequence[int]
    aligned: Aligned | None = None
    """Which positions take from which, where the user says it."""

    def differing(self, model: Model, ids: Sequence[int]) -> list[int]:
        """The positions at which the two read something different; after another source that is every one."""
        if self.model is not model:
            return list(range(len(ids)))
        return [index for index, (here, there) in enumerate(zip(ids, self.ids, strict=True)) if here != there]


def other_text(model: Model, ids: Sequence[int], given_ids: Sequence[int], align: Texts | None = None) -> Other:
    """The text `given_ids` to patch `ids` from. Raises UsageError where that cannot go position by position, and where
    `align` does not say which stands for which."""
    check_prompt(model, prompt_of_ids(given_ids, None, None))
    if model.source is not None:
        if align is not None:
            raise UsageError("--align: the positions are those of the target, which is the same", "leave it out")
        return Other(with_source(model, given_ids), ids)
    if align is not None:
        here, there = (prompt_of_ids(text, model.tokenizer, None) for text in (ids, given_ids))
        return Other(model, given_ids, parse_alignment(align, here, there))
    if len(ids) != len(given_ids):
        strips = ["|".join(token_text(model, token_id) for token_id in text) for text in (ids, given_ids)]
        raise UsageError(
            f"--patch replaces position by position: the texts have {len(ids)} and {len(given_ids)} tokens",
            "choose words with the same number of tokens, or say with --into and --align which stand for which: "
            f"{strips[0]} and {strips[1]}",
        )
    return Other(model, given_ids)


def into_places(
    model: Model, ids: Sequence[int], other: Other, patch: PatchOptions, taps: Sequence[Tap]
) -> tuple[list[Tap], list[Experiment]]:
    """The taps that patch where --into and --position say, and what they are."""
    places = [parse_place(model, text, "--into", stream=True) for text in each(patch.into)]
    positions = parse_choice(patch.position, "position", len(ids))
    if other.aligned is None:
        # Each position by its number: a pass may go on after this text, and what comes there is not patched.
        at = list(range(len(ids))) if positions is None else positions
        return patch_taps(places, at, other, taps), patches_made(patch, places, positions)
    aligned = _chosen(other.aligned, positions)
    _check_patterns(places, aligned, len(ids), len(other.ids))
    made = [
        replace(entry, aligned=aligned) for entry in patches_made(patch, places, positions, "every aligned position")
    ]
    return patch_taps(places, [at for at, _ in aligned.pairs], other, taps, [at for _, at in aligned.pairs]), made


def _chosen(aligned: Aligned, positions: Sequence[int] | None) -> Aligned:
    """Of what is aligned that at the positions. Raises UsageError for one that stands for none."""
    if positions is None:
        return aligned
    missing = [at for at in positions if at in aligned.left_out]
    if missing:
        known = ranges([at for at, _ in aligned.pairs])
        raise UsageError(f"--position {missing[0]} stands for no token of the other text", f"aligned are {known}")
    return replace(aligned, pairs=[pair for pair in aligned.pairs if pair[0] in positions])


def _check_patterns(places: Sequence[Place], aligned: Aligned, tokens: int, others: int) -> None:
    """Raise UsageError for patterns of which a column would be another token's."""
    patterns = [place for place in places if place.part == "pattern"]
    if patterns and (tokens != others or any(here != there for here, there in aligned.pairs)):
        raise UsageError(
            f"--into {patterns[0]}: a pattern has a column for each token of its text, and cannot be aligned",
            "choose texts with the same number of tokens, or patch its query or key",
        )


def patch_taps(
    places: Sequence[Place],
    positions: Sequence[int],
    other: Other,
    taps: Sequence[Tap] = (),
    there: Sequence[int] | None = None,
) -> list[Tap]:
    """Taps that put what `other` gave into `places`, at `positions`; what it gave at the same ones, or at `there`.
    `taps` act on both texts; what is taken is what stood there before they acted, since they act on it again where it
    is put."""
    if not positions:
        return []
    capture, taken = captured(other.model, other.ids, (place.tap for place in places), taps), there or positions
    return [replaced(place, capture[place.tap][place.index(taken)], positions) for place in places]


def patches_made(
    patch: PatchOptions, places: Sequence[Place], positions: Sequence[int] | None, every: str = "every position"
) -> list[Experiment]:
    """What is patched, for the Result."""
    where = every if positions is None else "position " + ", ".join(map(str, positions))
    return [Experiment("patch", str(place), f"“{patch.patch}” at {where}", heads=_heads(place)) for place in places]


def _heads(place: Place) -> list[int] | None:
    """The heads that a change of one head's keys or values changes, where they are several."""
    if place.head is None or place.sharing == 1:
        return None
    first = place.head // place.sharing * place.sharing
    return list(range(first, first + place.sharing))


SweptPart = Literal["stream", "attention", "feedforward", "head"]


@dataclass(frozen=True)
class Sweep:
    """How much of the other text's answer comes back when one place at a time is patched."""

    part: SweptPart
    target: NamedToken
    """The other text's answer."""
    versus: NamedToken
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
    if isinstance(array, np.ndarray) and not chosen.any():
        return array
    swapped: Array = namespace(array).where(chosen, other, array)
    return swapped


def _batch_patch(changes: Sequence[tuple[int, list[int]]], places: Sequence[Place], source: Capture) -> list[Tap]:
    """Each text of a batch patched at a place of its own: the layer, and which heads or positions. An `Edit` for every
    layer, so that all batches are one program for an engine that compiles."""
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
    answers: Sequence[int | None],
    taps: Sequence[Tap],
    *,
    gradient: bool = False,
) -> Sweep:
    """Patch every layer at every position (every head at all positions) in turn.

    `answers` are target and versus; None: the other text's most probable token, and this text's. By `gradient` what
    that finds as far as it is a straight line: (the other's value − this text's) · gradient, for all places in a few
    passes and one back (Nanda 2023, "Attribution Patching"; Syed et al. 2023).
    """
    if part in ("head", "attention"):
        check_attention(model, range(model.config.sizes.L), {f"--sweep {part}": True})
    if part == "feedforward" and not model.config.sizes.F:
        raise UsageError(f"--sweep feedforward: {model.name} has no feed-forward step", "--sweep stream")
    engine = with_gradients(model) if gradient else None
    places, differing = [Place(layer, part) for layer in range(model.config.sizes.L)], other.differing(model, ids)
    source = Capture(*(place.tap for place in places))
    streams = other.model.run(other.ids, Chain([*taps, source])).stream_TD, model.run(ids, Chain(taps)).stream_TD
    ends = [model.logits(stream_TD[position][None])[0] for stream_TD in streams]
    target, versus = (
        int(np.argmax(end_V)) if answer is None else answer for answer, end_V in zip(answers, ends, strict=True)
    )
    after, before = (float(end_V[target]) - float(end_V[versus]) for end_V in ends)
    heads = None
    if engine is not None:
        names = [place.tap for place in places]
        before, values, slopes = engine.gradients(ids, names, position, target, versus, Chain(taps))
        moved = np.stack([((source[name] - values[name]) * slopes[name]).sum(axis=-1) for name in names])
        restored = _shares(moved, after - before)
        together = restored[:, differing].sum(axis=-1)
        if part == "head":
            heads, restored = restored, restored.sum(axis=-1)
    else:
        across = model.config.sizes.H if part == "head" else len(ids)
        changes = [(layer, [at]) for layer in range(len(places)) for at in range(across)]
        changes += [(layer, differing) for layer in range(len(places))] if part == "stream" else []
        scores = _patched(model, ids, position, changes, places, source, (target, versus), taps)
        shares, grid = _shares(np.asarray(scores) - before, after - before), len(places) * across
        restored, together = shares[:grid].reshape(len(places), across), shares[grid:]
    return Sweep(
        part=part,
        target=named_token(model, target),
        versus=named_token(model, versus),
        before=before,
        after=after,
        restored=restored,
        differing=differing,
        together=together.tolist() if part == "stream" else None,
        by="gradient" if gradient else "patching",
        heads=heads,
    )


def _shares(moved: Array, gap: float) -> Array:
    return moved / gap if abs(gap) > 1e-6 else np.zeros_like(moved)


def _patched(
    model: Model,
    ids: Sequence[int],
    position: int,
    changes: Sequence[tuple[int, list[int]]],
    places: Sequence[Place],
    source: Capture,
    answers: tuple[int, int],
    taps: Sequence[Tap],
) -> list[float]:
    """logit of target − logit of versus after each of the changes, in batches of one size, the last filled up, so that
    an engine that compiles does so once."""
    batches = -(-len(changes) // max(1, TOKENS_AT_ONCE // len(ids)))
    size = -(-len(changes) // batches)
    batch_BT = np.broadcast_to(np.asarray(ids), (size, len(ids)))
    scores: list[float] = []
    for start in range(0, len(changes), size):
        now = changes[start : start + size]
        filled = [*now, *[now[-1]] * (size - len(now))]
        tap = Chain([*taps, *_batch_patch(filled, places, source)])
        exact_BV = model.logits(model.run(batch_BT, tap).stream_TD[:, position]).astype(np.float64)
        scores += (exact_BV[:, answers[0]] - exact_BV[:, answers[1]])[: len(now)].tolist()
    return scores


def deepest(found: Sweep) -> int:
    """The last layer after which the differing words still carry at least half of the answer (else the first)."""
    carried = [layer for layer, share in enumerate(found.together or []) if share >= 0.5]
    return carried[-1] if carried else 0
