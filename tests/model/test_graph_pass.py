"""The pass as a graph: on every kind of model its own pass, and any graph patched as taps alone would do it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.circuit_scores import Contrast, Contrasts, edge_scores, last_slope
from llminspect.analysis.verify import in_float64
from llminspect.core.attribution import output_of_heads
from llminspect.core.tap import Capture, Chain, Edit
from llminspect.errors import UsageError
from llminspect.model.graph_pass import graph_pass
from tests.closeness import SINGLE, assert_close
from tests.model.cover import covering, parts
from tests.model.golden import NAMES

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.graph_pass import GraphPass
    from llminspect.model.opened import Model
    from tests.model.conftest import Opened

KINDS = covering(NAMES, parts)
PATCHED = ("llama", "gpt2", "gpt-neox", "cohere", "granite", "qwen3-moe", "bloom", "gpt-oss")
"""Shared keys, learned positions, steps side by side, norms of heads, scales, experts, ALiBi, sinks and windows."""
TEXTS = (3, 1, 4, 1, 5, 2), (3, 1, 6, 1, 5, 7)


def texts(model: Model) -> list[list[int]]:
    return [[token_id % model.config.sizes.V for token_id in ids] for ids in TEXTS]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_adds_up_or_is_refused(name: str, opened: Opened) -> None:
    _, model = opened(name)
    try:
        passes = graph_pass(model, len(TEXTS[0]))
    except UsageError as error:
        assert len(error.message.splitlines()) == 1 and error.message.startswith("circuit: ")
        return
    (clean_TD, clean), (_, corrupt) = ((passes.embedded(ids), ids) for ids in texts(model))
    streams = passes.plain(passes.embedded(corrupt))
    for kept_RU, ids in ((passes.wiring.possible_RU, clean), (passes.wiring.possible_RU & False, corrupt)):
        assert_close(passes.patched(kept_RU[None], clean_TD, streams)[0], model.run(ids).stream_TD, SINGLE)
    assert_close(passes.plain(clean_TD).last_TD, model.run(clean).stream_TD, SINGLE)


@pytest.mark.parametrize("name", PATCHED)
def test_graphs_are_patched_as_taps_do_it_part_by_part(name: str, opened: Opened) -> None:
    model = in_float64(opened(name)[1])
    passes, (clean, corrupt) = graph_pass(model, len(TEXTS[0])), texts(model)
    wiring, chance = passes.wiring, np.random.default_rng(11)
    streams = passes.plain(passes.embedded(corrupt))
    drawn = [wiring.possible_RU & (chance.random(wiring.possible_RU.shape) < share) for share in (0.3, 0.7)]
    together_GTD = passes.patched(np.array(drawn), passes.embedded(clean), streams)
    for kept_RU, found_TD in zip(drawn, together_GTD, strict=True):
        assert_close(found_TD, PartByPart(model, passes, clean, corrupt, kept_RU).last_TD, 1e-12)
        # What stands on no way through changes nothing.
        assert_close(
            passes.patched(wiring.connected(kept_RU)[None], passes.embedded(clean), streams)[0, -1], found_TD[-1], 1e-12
        )


class PartByPart:
    """Path patching by the model's own passes and taps: one or more whole passes for each part."""

    def __init__(self, model: Model, passes: GraphPass, clean: list[int], corrupt: list[int], kept_RU: Array) -> None:
        self.model, self.ids = model, clean
        other = self.plain(corrupt)
        now: dict[str, Array] = {"embedding": self.seen("layers.0.input")}
        for node in passes.wiring.nodes:
            inputs: list[Any] = []
            for row in node.reads:
                before = [writer.name for writer in passes.wiring.writers[: node.before]]
                carried = [(now if kept_RU[row, at] else other)[name] for at, name in enumerate(before)]
                inputs.append(sum(carried) + self.constant(node.layer, node.kind))
            if node.kind == "head":
                now[node.name] = self.head(int(node.name.split(".")[0]), int(node.name.split(".")[1]), inputs)
            elif node.kind == "feedforward":
                now[node.name] = self.fed_forward(node.layer, inputs[0])
            elif node.kind == "logits":
                self.last_TD = inputs[0]

    def seen(self, name: str, *edits: tuple[str, Any], ids: list[int] | None = None) -> Array:
        kept = Capture(name)
        self.model.run(self.ids if ids is None else ids, Chain([*(Edit(at, change) for at, change in edits), kept]))
        return kept[name]

    def constant(self, layer: int | None, kind: str) -> Any:
        """What the biases of the attentions before have added."""
        config = self.model.config
        through = config.sizes.L if layer is None else layer + (kind == "feedforward" and not config.parallel)
        found: Any = 0.0
        for index in range(through):
            bias_D = self.model.params.layer(index).get("attention.output.bias")
            found = found + (0.0 if bias_D is None else bias_D * config.residual_scale)
        return found

    def written(self, layer: int, mixed_TE: Array, head: int) -> Array:
        """What one head adds, [T, D]."""
        sizes, weight = self.model.config.sizes, self.model.params.layer(layer)["attention.output.weight"]
        alone_THE = np.zeros((len(mixed_TE), sizes.H, mixed_TE.shape[-1]))
        alone_THE[:, head] = mixed_TE
        rows = [output_of_heads(alone_HE, weight)[head] for alone_HE in alone_THE]
        return np.stack(rows) * self.model.config.residual_scale

    def plain(self, ids: list[int]) -> dict[str, Array]:
        found = {"embedding": self.seen("layers.0.input", ids=ids)}
        for layer in range(self.model.config.sizes.L):
            mixed_HTE = self.seen(f"layers.{layer}.attention.mixed", ids=ids)
            for head, mixed_TE in enumerate(mixed_HTE):
                found[f"{layer}.{head}"] = self.written(layer, mixed_TE, head)
            found[f"{layer}.feedforward"] = self.seen(f"layers.{layer}.feedforward.output", ids=ids)
        return found

    def head(self, layer: int, head: int, inputs: list[Array]) -> Array:
        """A pass for each of query, key and value, and one in which the head works with these."""
        name, sizes = f"layers.{layer}.attention", self.model.config.sizes
        edits = []
        for part, stream_TD in zip(("query", "key", "value"), inputs, strict=True):
            made = self.seen(f"{name}.{part}", (f"layers.{layer}.input", lambda _, put=stream_TD: put))
            row = head if part == "query" else head // (sizes.H // len(made))
            edits.append((f"{name}.{part}", lambda array, row=row, made=made: with_row(array, row, made[row])))
        return self.written(layer, self.seen(f"{name}.mixed", *edits)[head], head)

    def fed_forward(self, layer: int | None, stream_TD: Array) -> Array:
        at = "input" if self.model.config.parallel else "middle"
        return self.seen(f"layers.{layer}.feedforward.output", (f"layers.{layer}.{at}", lambda _: stream_TD))


def with_row(array: Array, row: int, value: Array) -> Array:
    changed = array.copy()
    changed[row] = value
    return changed


def between(passes: GraphPass, clean_TD: Array, corrupt_TD: Array) -> Contrast:
    streams = passes.plain(clean_TD), passes.plain(corrupt_TD)
    found = Contrast(passes, 5, 9, *streams, 0.0, 0.0)
    return replace(
        found, whole=float(found.number(streams[0].last_TD)), nothing=float(found.number(streams[1].last_TD))
    )


@pytest.mark.parametrize("name", ["llama", "gpt-neox", "qwen3-moe", "gpt-oss"])
def test_a_score_is_what_patching_its_edge_alone_takes_away_where_texts_hardly_differ(
    name: str, opened: Opened
) -> None:
    model = in_float64(opened(name)[1])
    passes, (clean, _) = graph_pass(model, len(TEXTS[0])), texts(model)
    clean_TD, chance = passes.embedded(clean), np.random.default_rng(4)
    step_TD = 1e-5 * np.abs(clean_TD).mean() * chance.standard_normal(clean_TD.shape)
    found = between(passes, clean_TD, clean_TD + step_TD)
    score_RU, possible_RU = edge_scores(found, 1), passes.wiring.possible_RU
    largest = np.abs(score_RU).max()
    assert largest > 0 and not score_RU[~possible_RU].any()
    edges = list(zip(*np.nonzero(possible_RU), strict=True))
    for edge in chance.permutation(edges)[:80]:
        kept_RU = possible_RU.copy()
        kept_RU[tuple(edge)] = False
        lost = found.whole - float(found.number(passes.patched(kept_RU[None], clean_TD, found.corrupt)[0]))
        assert abs(lost - score_RU[tuple(edge)]) < 2e-4 * largest


def test_integrated_gradients_are_the_mean_along_the_line(opened: Opened) -> None:
    model = in_float64(opened("llama")[1])
    passes, (clean, corrupt) = graph_pass(model, len(TEXTS[0])), texts(model)
    ends = passes.embedded(clean), passes.embedded(corrupt)
    found = between(passes, *ends)
    change_UTD = found.clean.written_UTD - found.corrupt.written_UTD
    expected_RU = np.zeros(passes.wiring.possible_RU.shape)
    for share in (1 / 3, 2 / 3, 1):
        streams = passes.plain(share * ends[0] + (1 - share) * ends[1])
        for rows, before, slope_NTD in passes.slopes(streams, last_slope(found, streams)):
            for row, slope_TD in zip(rows, slope_NTD, strict=True):
                for column in range(before):
                    expected_RU[row, column] += (slope_TD * change_UTD[column]).sum() / 3
    assert_close(edge_scores(found, 3), expected_RU, 1e-12)
    assert np.abs(edge_scores(found, 3) - edge_scores(found, 1)).max() > 1e-3 * np.abs(expected_RU).max()


def test_faithfulness_is_nought_without_edges_and_one_with_all(opened: Opened) -> None:
    model = opened("llama")[1]
    passes, ids = graph_pass(model, len(TEXTS[0])), texts(model)
    found = between(passes, *(passes.embedded(each) for each in ids))
    possible_RU = passes.wiring.possible_RU
    assert Contrasts((found,)).faithfulness(possible_RU & False, possible_RU) == [0, pytest.approx(1, abs=1e-4)]
    ends = [model.logits(model.run(each).stream_TD[-1:])[0] for each in ids]
    assert [found.whole, found.nothing] == pytest.approx([float(end[5] - end[9]) for end in ends], abs=1e-5)
