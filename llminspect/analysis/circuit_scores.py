"""How much each edge of a model's graph counts: edge attribution patching, with integrated gradients or without.

Syed et al. 2023, "Attribution Patching Outperforms Automated Circuit Discovery" (EAP); Hanna et al. 2024, "Have Faith
in Faithfulness" (EAP-IG): (what the writer gave − what it gives in the corrupt text) · the gradient of the number by
what the reader reads, summed over the positions. EAP takes the gradient in the clean text, EAP-IG its mean over passes
whose embeddings lie on the straight line from the corrupt text to the clean one: at k/m of it for k from 1 to m, as in
the paper's equation; the authors' code takes k from 0 to m − 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.edges import Wiring
from llminspect.core.tape import Tape
from llminspect.errors import UsageError
from llminspect.model.graph_pass import ROUNDING, GraphPass, Streams, graph_pass
from llminspect.model.opened import Model, not_numbers

MOST = 4_000_000_000
"""Bytes that what the parts of two texts write may take."""
GRAPHS, STEPS, ROOM = 8, 2, 60_000_000
"""Graphs that are measured together, and steps of gradients, and bytes that what their parts write may take."""


@dataclass(frozen=True)
class Contrast:
    """Two texts of one length, and the number that tells them apart: logit of target − logit of versus, after them."""

    passes: GraphPass
    target: int
    versus: int
    clean: Streams
    corrupt: Streams
    whole: float
    """The number in the clean text …"""
    nothing: float
    """… and in the corrupt one."""

    @property
    def wiring(self) -> Wiring:
        return self.passes.wiring

    def number(self, last_TD: Any) -> Any:
        """It, of the last stream; of several [G, T, D] their sum."""
        logits_V = self.passes.model.logits(last_TD[..., -1, :])
        return (logits_V[..., self.target] - logits_V[..., self.versus]).sum()

    def kept(self, kept_GRU: Array) -> Array:
        """How much of the difference is there, above that of the corrupt text, where only the edges of a graph carry
        what the clean text gives: [G]."""
        last_GTD = self.passes.patched(kept_GRU, self.clean.written_UTD[0], self.corrupt)
        logits_GV = self.passes.model.logits(last_GTD[:, -1])
        differences_G: Array = logits_GV[:, self.target].astype(float) - logits_GV[:, self.versus].astype(float)
        return differences_G - self.nothing

    def without_parts(self) -> Contrast:
        """It without what the parts write in the clean text, which scores alone need."""
        empty = self.clean.written_UTD[:0]
        return replace(self, clean=Streams(self.clean.written_UTD[:1].copy(), empty, empty, self.clean.last_TD))


@dataclass(frozen=True)
class Contrasts:
    """Pairs of texts of one task. What is measured of them is the mean over all, and a share one of the mean effect, as
    Hanna et al. and the benchmark measure it."""

    pairs: tuple[Contrast, ...]

    @property
    def wiring(self) -> Wiring:
        return self.pairs[0].wiring

    @property
    def whole(self) -> float:
        return sum(pair.whole for pair in self.pairs) / len(self.pairs)

    @property
    def nothing(self) -> float:
        return sum(pair.nothing for pair in self.pairs) / len(self.pairs)

    def faithfulness(self, *graphs: Array) -> list[float]:
        """Which share of the effect is there where only the edges of each graph, [R, U], carry what the clean texts
        give."""
        whole = sum(pair.whole - pair.nothing for pair in self.pairs)
        return [float(kept) / whole for kept in self.kept(*graphs).sum(axis=0)]

    def kept(self, *graphs: Array) -> Array:
        """How much of each pair's difference is there, [pairs, G]."""
        kept_GRU = np.array(graphs)
        some = kept_GRU.any(axis=(1, 2))
        found = np.zeros((len(self.pairs), len(graphs)))
        for row, pair in enumerate(self.pairs if some.any() else ()):
            found[row, some] = pair.kept(kept_GRU[some])
        return found

    @property
    def together(self) -> int:
        """How many graphs are measured in one pass: as many as their changes leave room for."""
        most = max(pair.corrupt.written_UTD.nbytes for pair in self.pairs)
        return max(1, min(GRAPHS, ROOM // most))


def contrast(
    model: Model,
    clean: list[int],
    corrupt: list[int],
    answers: tuple[int | None, int | None],
    passes: GraphPass | None = None,
) -> Contrast:
    """The passes of both texts. `answers` are target and versus; None: the most probable token after the clean text,
    and after the corrupt one. `passes` over as many tokens may be there already.

    Raises UsageError where the model is no graph, the texts are too long, or nothing tells them apart.
    """
    passes = passes or graph_pass(model, len(clean))
    writers, size = len(passes.wiring.writers), model.config.sizes.D * 4 * len(clean)
    if 3 * writers * size > MOST:
        most = MOST // (3 * writers * model.config.sizes.D * 4)
        raise UsageError(
            f"what the parts of {model.name} write in {len(clean)} tokens takes {3 * writers * size / 1e9:.3g} GB",
            f"give texts of at most {most} tokens",
        )
    with np.errstate(all="ignore"):
        streams = [passes.plain(passes.embedded(ids)) for ids in (clean, corrupt)]
        for ids, found in zip((clean, corrupt), streams, strict=True):
            check_sum(model, ids, found)
        ends = [model.logits(found.last_TD[-1:])[0] for found in streams]
    target, versus = (
        int(np.argmax(end_V)) if answer is None else answer for answer, end_V in zip(answers, ends, strict=True)
    )
    whole, nothing = (float(end_V[target]) - float(end_V[versus]) for end_V in ends)
    return Contrast(passes, target, versus, streams[0], streams[1], whole, nothing)


def check_sum(model: Model, ids: list[int], found: Streams) -> None:
    """Raise UsageError where the parts do not add up to what the model's own pass gives."""
    stream_TD = model.run(ids).stream_TD
    distance = np.abs(found.last_TD - stream_TD).max()
    if not distance <= ROUNDING * np.abs(stream_TD).max():
        if not np.isfinite(stream_TD).all():
            raise not_numbers("streams")
        raise UsageError(f"circuit: the parts of {model.name} do not add up to what it computes")


def edge_scores(contrast: Contrast, steps: int, progress: Callable[[int], object] | None = None) -> Array:
    """The score of each edge, [R, U], in logits: about as much as the number falls if that edge alone carries what the
    corrupt text gives. `steps` 1 is EAP, more are EAP-IG."""
    passes, wiring = contrast.passes, contrast.wiring
    change_UN = (contrast.clean.written_UTD - contrast.corrupt.written_UTD).reshape(len(wiring.writers), -1)
    from_TD, to_TD = contrast.corrupt.written_UTD[0], contrast.clean.written_UTD[0]
    score_RU = np.zeros(wiring.possible_RU.shape, from_TD.dtype)
    together = max(1, min(STEPS, ROOM // contrast.clean.written_UTD.nbytes))
    with np.errstate(all="ignore"):
        for start in range(0, steps, together):
            shares_G = np.arange(start + 1, min(start + together, steps) + 1) / steps
            mixed_GTD = from_TD + (to_TD - from_TD) * shares_G.astype(from_TD.dtype)[:, None, None]
            streams = contrast.clean if steps == 1 else passes.plain(mixed_GTD)
            for rows, before, slope_NTD in passes.slopes(streams, last_slope(contrast, streams)):
                slope_NN = slope_NTD.reshape(-1, len(rows), change_UN.shape[1]).sum(axis=0)
                score_RU[rows, :before] += slope_NN @ change_UN[:before].T
            if progress is not None:
                progress(len(shares_G))
    if not np.isfinite(score_RU).all():
        raise not_numbers("gradients")
    score_RU /= steps
    return score_RU


def last_slope(contrast: Contrast, streams: Streams) -> Array:
    """How the number changes with the last stream, [T, D]."""
    tape = Tape()
    last_TD = tape.watch(streams.last_TD)
    (slope_TD,) = tape.gradients(contrast.number(last_TD), [last_TD])
    return slope_TD
