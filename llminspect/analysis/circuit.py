"""`circuit`: which heads and feed-forward steps, by which edges, make the difference between two texts.

Edges are scored by attribution patching (`circuit_scores`); in the order of the scores the smallest graph is searched
that keeps a share of the effect, and what it keeps is measured by exact path patching (`model/graph_pass.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from llminspect.analysis.candidates import named_token, token_text
from llminspect.analysis.circuit_page import with_page
from llminspect.analysis.circuit_result import CircuitEdge, CircuitNode, CircuitResult, GraphControl, MethodAreas
from llminspect.analysis.circuit_scores import Contrast, Contrasts, contrast, edge_scores
from llminspect.analysis.circuit_search import Graphs, cmd, cpr, curve, planned, random_graphs, smallest
from llminspect.analysis.labels import no_next_token
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.prompt import check_prompt
from llminspect.analysis.result import token_documents
from llminspect.arguments.circuit import CircuitOptions
from llminspect.arguments.words import one_token
from llminspect.core.array import Array
from llminspect.core.edges import Wiring
from llminspect.core.numbers import duration
from llminspect.errors import UsageError
from llminspect.model.opened import Model, not_numbers
from llminspect.text.prompt import Prompt

Progress = Callable[[str, int, int], object]

SMALLEST_EFFECT = 1e-4
"""Logits; what is less is rounding."""
OTHER_STEPS = 5
"""Of EAP-IG, where EAP is what was wanted and it stands beside it (Hanna et al. 2024, section 4)."""
GRADIENT, TOGETHER = 3, 0.5
"""About so many passes a gradient takes, and a graph of which several are measured together."""


def circuit(
    model: Model,
    clean: Prompt,
    corrupt: Prompt,
    options: CircuitOptions,
    progress: Progress | None = None,
    announce: Callable[[str], object] | None = None,
    *,
    page: bool = False,
) -> CircuitResult:
    """The circuit that tells two texts apart. `announce` is given what it costs before the work starts, `progress` what
    is done of it; `page`: with what the interactive page shows.

    Raises UsageError for texts that have not as many tokens, for two that give the same, and for a model whose parts do
    not add up.
    """
    check_texts(model, clean, corrupt)
    target, versus = (
        None if token is None else one_token(model, token, option)
        for token, option in ((options.target, "--target"), (options.versus, "--versus"))
    )
    found = contrast(model, clean.ids, corrupt.ids, (target, versus))
    check_different(found)
    check_effect(Contrasts((found,)))
    if announce is not None:
        announce(cost(found, options, seconds_of(found)))
    work = Work(progress, options, 1, int(found.wiring.possible_RU.sum()))
    scored = [edge_scores(found, steps, work.scored) for steps in methods_of(options)]
    result, graphs, size = searched(Contrasts((found,)), scored, options, work)
    result = replace(
        result,
        text=clean.text,
        tokens=token_documents(clean.tokens),
        corrupt_text=corrupt.text,
        corrupt_tokens=token_documents(corrupt.tokens),
        target=named_token(model, found.target),
        versus=named_token(model, found.versus),
        notes=beyond_context(model, len(clean.ids)),
    )
    return with_page(result, graphs, size, model, clean.ids) if page else result


def methods_of(options: CircuitOptions) -> tuple[int, int]:
    """The steps of the method that was wanted, and of the other."""
    return options.steps, OTHER_STEPS if options.steps == 1 else 1


def searched(
    contrasts: Contrasts, scored: list[Array], options: CircuitOptions, work: Work
) -> tuple[CircuitResult, Graphs, int]:
    """What is found by the scores of both methods, without what says of which texts; and the graphs by the size of the
    scores of the first, with the number of edges of the one that was found."""
    by_size = [Graphs(contrasts, np.abs(score_RU), work.measured) for score_RU in scored]
    sizes = smallest(by_size, options.keep)
    curves = [curve(graphs) for graphs in by_size]
    areas = [
        MethodAreas(
            method_of(steps), steps, int(graphs.of(size).sum()),
            cpr(curve(Graphs(contrasts, score_RU, work.measured))), cmd(points),
        )
        for steps, graphs, size, score_RU, points in zip(
            methods_of(options), by_size, sizes, scored, curves, strict=True
        )
    ]  # fmt: skip
    wiring, score_RU, kept_RU = contrasts.wiring, scored[0], by_size[0].of(sizes[0])
    (without,) = contrasts.faithfulness(wiring.connected(wiring.possible_RU & ~kept_RU))
    randoms = random_graphs(contrasts, int(kept_RU.sum()), options.controls, options.seed, work.measured)
    result = CircuitResult(
        text=None, tokens=None, corrupt_text=None, corrupt_tokens=None, target=None, versus=None, over=None, pairs=None,
        difference=contrasts.whole, corrupt_difference=contrasts.nothing,
        method=method_of(options.steps), steps=options.steps, keep=options.keep,
        nodes=nodes_of(wiring, kept_RU, score_RU), edges=edges_of(wiring, kept_RU, score_RU),
        faithfulness=by_size[0].measured[sizes[0]], completeness=1 - without,
        of_nodes=len(wiring.nodes), of_edges=int(wiring.possible_RU.sum()),
        control=GraphControl(len(randoms), float(np.mean(randoms)), min(randoms), max(randoms), options.seed),
        methods=areas, curve=curves[0],
        scores=score_RU, readers=wiring.readers(), writers=[node.name for node in wiring.writers],
    )  # fmt: skip
    return result, by_size[0], sizes[0]


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


def check_different(found: Contrast) -> None:
    """Raise UsageError where two texts lead to one token, ModelError where logits are no numbers."""
    if not np.isfinite(found.whole - found.nothing):
        raise not_numbers("logits")
    if found.target == found.versus:
        name = token_text(found.passes.model, found.target)
        raise UsageError(
            f"target and versus are the same token, {name!r}",
            "name two with --target and --versus, or choose texts that lead to different words",
        )


def check_effect(found: Contrasts) -> None:
    """Raise UsageError where there is nothing to explain."""
    if abs(found.whole - found.nothing) < SMALLEST_EFFECT:
        raise UsageError(
            f"the difference of the two logits is {found.whole:.3g} after both texts: there is nothing to explain",
            "name --target and --versus, or choose texts that lead to different words",
        )


def method_of(steps: int) -> Literal["EAP-IG", "EAP"]:
    return "EAP-IG" if steps > 1 else "EAP"


def seconds_of(found: Contrast) -> float:
    """How long a pass over a pair takes."""
    begun = time.perf_counter()
    found.kept(found.wiring.possible_RU[None])
    return time.perf_counter() - begun


def cost(found: Contrast, options: CircuitOptions, seconds: float, pairs: int = 1) -> str:
    """What the work will take; `seconds`: one pass. Pairs are taken to be like this one."""
    wiring, gradients = found.wiring, sum(methods_of(options))
    edges = int(wiring.possible_RU.sum())
    graphs = planned(edges, options.controls)
    takes = pairs * seconds * (gradients * GRADIENT + graphs * TOGETHER)
    size = (2 + pairs) * found.clean.written_UTD.nbytes / 1e9
    of = "" if pairs == 1 else f"{pairs:,} pairs, each "
    return (
        f"{len(wiring.nodes):,} nodes, {edges:,} edges: {of}{gradients} gradients and at most {graphs} passes over "
        f"{found.passes.tokens} tokens, about {duration(takes)} and {max(size, 0.01):.2f} GB beside the model"
    )


class Work:
    """Says what is done of the work, of so many pairs, where anybody listens."""

    def __init__(self, progress: Progress | None, options: CircuitOptions, pairs: int, edges: int) -> None:
        self.progress, self.gradients = progress, pairs * sum(methods_of(options))
        self.graphs, self.done, self.scores = planned(edges, options.controls), 0, 0

    def scored(self, gradients: int) -> None:
        """So many gradients more."""
        self.scores += gradients
        if self.progress is not None:
            self.progress("scoring edges", self.scores, self.gradients)

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
