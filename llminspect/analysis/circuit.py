"""`circuit`: which heads and feed-forward steps, by which edges, make the difference between two texts.

Edges are scored by attribution patching (`circuit_scores`); in the order of the scores the smallest graph is searched
that keeps a share of the effect, and what it keeps is measured by exact path patching (`model/graph_pass.py`).
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token, token_text
from llminspect.analysis.circuit_scores import contrast, edge_scores
from llminspect.analysis.circuit_search import CurvePoint, cmd, cpr, curve, planned, random_graphs, smallest
from llminspect.analysis.labels import no_next_token
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.prompt import check_prompt
from llminspect.analysis.result import Dims, Result, Tokens, token_documents
from llminspect.arguments.words import one_token
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.opened import not_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.analysis.circuit_scores import Contrast
    from llminspect.arguments.circuit import CircuitOptions
    from llminspect.core.array import Array
    from llminspect.core.edges import Wiring
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt

SMALLEST_EFFECT = 1e-4
"""Logits; what is less is rounding."""
OTHER_STEPS = 5
"""Of EAP-IG, where EAP is what was wanted and it stands beside it (Hanna et al. 2024, section 4)."""
PASSES, GRADIENT = 4, 4
"""How many passes have been made when the cost is said, and about how many a gradient takes."""
NAMES = ("readers", "writers")

CircuitEdge = TypedDict("CircuitEdge", {"from": str, "to": str, "score": float})
"""From what writes to what reads: of a head its `query`, `key` or `value`. The score is in logits."""


@dataclass(frozen=True)
class CircuitNode:
    """A head, a feed-forward step, the embedding or the logits."""

    name: str
    score: float
    """About as much as the difference of the logits falls if it writes what it writes in the corrupt text: the sum of
    the scores of all edges from it, of the logits of those to it."""


@dataclass(frozen=True)
class GraphControl:
    """The faithfulness of random graphs of as many edges, all on ways from the embedding to the logits."""

    graphs: int
    mean: float
    low: float
    high: float
    seed: int


@dataclass(frozen=True)
class MethodAreas:
    """How well the scores of a method order the edges."""

    name: str
    steps: int
    edges: int
    """How many of its edges keep the share that was wanted."""
    cpr: float
    """The area under the curve of faithfulness over the share of edges, by signed scores: the more the better …"""
    cmd: float
    """… and the area between that curve and 1, by the size of scores: the less the better."""


@dataclass(frozen=True)
class CircuitResult(Result):
    """The smallest graph that was found."""

    text: str | None
    tokens: Tokens
    corrupt_text: str | None
    corrupt_tokens: Tokens
    target: NamedToken
    versus: NamedToken
    difference: float
    """logit of target − logit of versus after the clean text …"""
    corrupt_difference: float
    """… and after the corrupt one: the effect is what lies between them."""
    method: Literal["EAP-IG", "EAP"]
    steps: int
    keep: float
    nodes: list[CircuitNode]
    edges: list[CircuitEdge]
    """Those of the graph, the largest score first."""
    faithfulness: float
    """Which share of the effect is there where all other edges carry what the corrupt text gives."""
    completeness: float
    """Which share is lost where all other edges are left and these carry what the corrupt text gives."""
    of_nodes: int
    of_edges: int
    """How many the whole model has."""
    control: GraphControl
    methods: list[MethodAreas]
    curve: list[CurvePoint]
    """By the size of scores."""
    scores: Annotated[Array, Dims("R U")] | None = None
    """In Python: of every edge, with `readers` and `writers`; in the .npz too."""
    readers: list[str] | None = None
    writers: list[str] | None = None


def circuit(
    model: Model,
    clean: Prompt,
    corrupt: Prompt,
    options: CircuitOptions,
    progress: Callable[[str, int, int], object] | None = None,
    announce: Callable[[str], object] | None = None,
) -> CircuitResult:
    """The circuit that tells two texts apart. `announce` is given what it costs before the work starts, `progress` what
    is done of it.

    Raises UsageError for texts that have not as many tokens, for two that give the same, and for a model whose parts do
    not add up.
    """
    check_texts(model, clean, corrupt)
    target, versus = (
        None if token is None else one_token(model, token, option)
        for token, option in ((options.target, "--target"), (options.versus, "--versus"))
    )
    begun = time.perf_counter()
    found = contrast(model, clean.ids, corrupt.ids, (target, versus))
    check_effect(found)
    if announce is not None:
        announce(cost(found, options, (time.perf_counter() - begun) / PASSES))
    work = Work(progress, planned(int(found.wiring.possible_RU.sum()), options.controls))
    methods = (options.steps, OTHER_STEPS if options.steps == 1 else 1)
    scored = [edge_scores(found, steps, work.scored(steps)) for steps in methods]
    graphs = [smallest(found, score_RU, options.keep, work.measured) for score_RU in scored]
    curves = [curve(found, np.abs(score_RU), work.measured) for score_RU in scored]
    areas = [
        MethodAreas(
            method_of(steps), steps, int(graph.kept_RU.sum()), cpr(curve(found, score_RU, work.measured)), cmd(points)
        )
        for steps, graph, score_RU, points in zip(methods, graphs, scored, curves, strict=True)
    ]
    graph, score_RU, wiring = graphs[0], scored[0], found.wiring
    without = found.faithfulness(wiring.possible_RU & ~graph.kept_RU)
    size = int(graph.kept_RU.sum())
    randoms = random_graphs(found, size, options.controls, options.seed, work.measured)
    return CircuitResult(
        clean.text, token_documents(clean.tokens), corrupt.text, token_documents(corrupt.tokens),
        named_token(model, found.target), named_token(model, found.versus), found.whole, found.nothing,
        method_of(options.steps), options.steps, options.keep, nodes_of(wiring, graph.kept_RU, score_RU),
        edges_of(wiring, graph.kept_RU, score_RU), graph.faithfulness, 1 - without, len(wiring.nodes),
        int(wiring.possible_RU.sum()),
        GraphControl(len(randoms), float(np.mean(randoms)), min(randoms), max(randoms), options.seed), areas,
        curves[0], score_RU, wiring.readers(), [node.name for node in wiring.writers],
        notes=beyond_context(model, len(clean.ids)),
    )  # fmt: skip


def check_texts(model: Model, clean: Prompt, corrupt: Prompt) -> None:
    """Raise UsageError where the two cannot be compared position by position, or the model says nothing after them."""
    if not model.can("generate"):
        raise no_next_token(model, "circuit")
    for prompt in (clean, corrupt):
        check_prompt(model, prompt)
    if len(clean.ids) != len(corrupt.ids):
        strips = ["|".join(prompt.labels)[:300] for prompt in (clean, corrupt)]
        raise UsageError(
            f"circuit compares position by position: the texts have {len(clean.ids)} and {len(corrupt.ids)} tokens",
            f"choose words with the same number of tokens: {strips[0]} and {strips[1]}",
        )


def check_effect(found: Contrast) -> None:
    """Raise UsageError where there is nothing to explain."""
    if not np.isfinite(found.whole - found.nothing):
        raise not_numbers("logits")
    if found.target == found.versus:
        name = token_text(found.passes.model, found.target)
        raise UsageError(
            f"target and versus are the same token, {name!r}",
            "name two with --target and --versus, or choose texts that lead to different words",
        )
    if abs(found.whole - found.nothing) < SMALLEST_EFFECT:
        raise UsageError(
            f"the difference of the two logits is {found.whole:.3g} after both texts: there is nothing to explain",
            "name --target and --versus, or choose texts that lead to different words",
        )


def method_of(steps: int) -> Literal["EAP-IG", "EAP"]:
    return "EAP-IG" if steps > 1 else "EAP"


def cost(found: Contrast, options: CircuitOptions, seconds: float) -> str:
    """What the work will take; `seconds`: one pass."""
    wiring, gradients = found.wiring, options.steps + (OTHER_STEPS if options.steps == 1 else 1)
    edges = int(wiring.possible_RU.sum())
    graphs = planned(edges, options.controls)
    takes = seconds * (gradients * GRADIENT + graphs)
    size = 3 * found.clean.written_UTD.nbytes / 1e9
    return (
        f"{len(wiring.nodes):,} nodes, {edges:,} edges: {gradients} gradients and at most {graphs} passes over "
        f"{found.passes.tokens} tokens, about {takes:.0f} s and {max(size, 0.01):.2f} GB beside the model"
    )


class Work:
    """Says what is done of the work, where anybody listens."""

    def __init__(self, progress: Callable[[str, int, int], object] | None, graphs: int) -> None:
        self.progress, self.graphs, self.done = progress, graphs, 0

    def scored(self, steps: int) -> Callable[[int], object]:
        def tell(done: int) -> None:
            if self.progress is not None:
                self.progress(f"scoring edges by {method_of(steps)}", done, steps)

        return tell

    def measured(self) -> None:
        """One graph more."""
        self.done += 1
        if self.progress is not None:
            self.progress("measuring graphs", self.done, self.graphs)


def nodes_of(wiring: Wiring, kept_RU: Array, score_RU: Array) -> list[CircuitNode]:
    """The nodes of a graph, in the order of the pass."""
    found = []
    for node in wiring.touched(kept_RU):
        edges = score_RU[list(node.reads)] if node.writes is None else score_RU[:, node.writes]
        found.append(CircuitNode(node.name, float(edges.sum())))
    return found


def edges_of(wiring: Wiring, kept_RU: Array, score_RU: Array) -> list[CircuitEdge]:
    """The edges of a graph, the largest score first."""
    readers, writers = wiring.readers(), wiring.writers
    places = [place for place in wiring.order(np.abs(score_RU)) if kept_RU.flat[place]]
    found: list[CircuitEdge] = []
    for place in places:
        row, column = divmod(int(place), kept_RU.shape[1])
        found.append({"from": writers[column].name, "to": readers[row], "score": float(score_RU[row, column])})
    return found


def for_json(result: CircuitResult) -> CircuitResult:
    """It without the scores of all edges, which are for programs."""
    return replace(result, scores=None, readers=None, writers=None)


def circuit_arrays(result: CircuitResult) -> dict[str, Array]:
    """What `--save FILE.npz` holds: the score of every edge [R, U], and the names of rows and columns, JSON lists as
    their bytes."""
    names = {name: np.frombuffer(json.dumps(getattr(result, name)).encode(), np.uint8) for name in NAMES}
    assert result.scores is not None
    return {"scores": result.scores, **names}
