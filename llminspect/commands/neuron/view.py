"""How `neuron` looks: what it reads, what it writes, where it fires, and what the numbers hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from llminspect.commands.head.view import listed, notes, read_of
from llminspect.core.numbers import aligned, number, percent, several
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import quoted, visible
from llminspect.render.section import headed, paged, remark, section
from llminspect.render.table import Cell, Column, table
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from llminspect.analysis.firing import Firing, FiringPlace
    from llminspect.analysis.neuron import NeuronResult


@paged
def render(result: NeuronResult) -> Iterator[RenderableType]:
    """The neuron, part by part."""
    of = "" if result.expert is None else f" · expert {result.expert}"
    title = f"Layer {result.layer}{of} · neuron {result.neuron}"
    yield headed(title, f"activation = {result.formula}")
    yield reads(result)
    yield writes(result)
    if result.firing is not None and result.examples is not None:
        yield firing_part(result.firing, result.examples)
    yield Group(*(remark(line) for line in notes(result)))


def reads(result: NeuronResult) -> RenderableType:
    """The ends of each row."""
    rows: list[Sequence[Cell]] = []
    for entry in result.reads:
        for way, tokens in (("most", entry.top), ("least", entry.bottom)):
            first = tokens[0].product if tokens else None
            rows.append([f"{entry.row}, {way}", first, listed(tokens)])
    columns = [Column("row", whole=True), Column("product", "right", digits=3, whole=True), Column("tokens")]
    note = "products with tokens that are alone in the stream; the number is that of the first token"
    return section("What it reads", table(columns, rows, note=note))


def writes(result: NeuronResult) -> RenderableType:
    """What is raised and lowered."""
    rows: list[Sequence[Cell]] = [
        [way, tokens[0].logit if tokens else None, listed(tokens)]
        for way, tokens in (("raises", result.writes), ("lowers", result.lowers))
    ]
    columns = [Column("", whole=True), Column("logit", "right", digits=3, whole=True), Column("tokens")]
    note = f"for an activation of 1; size {number(result.size, 3)} (root mean square over the vocabulary)"
    return section("What it writes: logits, through the final norm", table(columns, rows, note=note))


def firing_part(firing: Firing, places: Sequence[FiringPlace]) -> RenderableType:
    """The sums, and the places with their tokens coloured."""
    if not firing.count:
        return section("Where it fires", remark("no token of the corpus chose its expert"), note=read_of(firing.read))
    most = max(abs(firing.highest), abs(firing.lowest)) or 1.0
    signed = firing.lowest < 0
    shown: list[RenderableType] = []
    lowest, highest, *at_places = aligned(firing.lowest, firing.highest, *(one.activation for one in places), digits=3)
    for index, place in enumerate(places):
        token = quoted(place.tokens[place.index])
        where = Text.assemble((at_places[index], theme.STRONG), f" at {token} in {visible(place.path)}")
        strip = value_strip(
            place.tokens, place.activations, scale="diverging" if signed else "sequential",
            limits=(-most * signed, most), name="activation", key=index == len(places) - 1,
        )  # fmt: skip
        shown += [where, strip, Text()]
    part = "" if firing.count == firing.read.tokens else f"{several(firing.count, 'token')}: "
    spread = (
        f"{part}mean {number(firing.mean, 3)}, standard deviation {number(firing.std, 3)}, "
        f"from {lowest} to {highest}, {percent(firing.above)} above 0; "
    )
    return section("Where it fires", *shown[:-1], note=spread + read_of(firing.read))
