"""How `features` looks: the dictionary, what is on at each token, how well it rebuilds, single features, a change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from llminspect.analysis.feature_result import FeatureByItself, FeaturesResult
from llminspect.analysis.result import shown_text
from llminspect.commands.forward import answers
from llminspect.commands.head.view import listed, notes, read_of
from llminspect.commands.neuron.view import firing_part
from llminspect.core.numbers import aligned, count, number, several
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.section import page, remark, section
from llminspect.render.table import Cell, Column, table
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from llminspect.analysis.opened_dictionary import DictionaryFacts

SHOWN = 24
"""Tokens of a text whose features are listed."""
BAR = 10
NAMES = {"jumprelu": "JumpReLU", "relu": "ReLU", "standard": "ReLU", "topk": "TopK", "groupmax": "GroupMax"}


def render(result: FeaturesResult) -> RenderableType:
    """The parts, one below the other."""
    return page(_parts(result))


def _parts(result: FeaturesResult) -> Iterator[RenderableType]:
    yield _headline(result.dictionary)
    if result.features is not None:
        yield _tokens(result)
        if result.positions is None:
            yield _quality(result)
    for feature in result.chosen or ():
        yield from _by_itself(result, feature)
    if result.change is not None and result.baseline is not None:
        yield answers.change(result.baseline, result.change)
    if result.features or result.chosen:
        yield Group(*(remark(line) for line in notes(result)))


def _headline(facts: DictionaryFacts) -> RenderableType:
    line = Text(f"{count(facts.features)} features of {facts.reads}", theme.TITLE)
    written = "" if facts.writes == facts.reads else f", written to {facts.writes}"
    made_for = "" if facts.trained_on is None else f", made for {visible(facts.trained_on)}"
    what = f"{facts.maker}, {kind_of(facts.kind)}, at {visible(facts.hook)}{written}{made_for}"
    return Group(line, remark(what))


def kind_of(kind: str) -> str:
    """What a file calls the kind of its features, by the names that the papers have.

    >>> kind_of("jumprelu_skip_transcoder"), kind_of("topk transcoder"), kind_of("standard")
    ('JumpReLU skip transcoder', 'TopK transcoder', 'ReLU')
    """
    return " ".join(NAMES.get(word, word) for word in visible(kind).replace("_", " ").split(" "))


def _tokens(result: FeaturesResult) -> RenderableType:
    """For each token its features, highest first."""
    assert result.features is not None and result.tokens is not None and result.active is not None
    counts = dict(zip(result.positions or range(len(result.tokens)), result.active, strict=True))
    shown = list(counts)[-SHOWN:]
    most = max((feature.activation for feature in result.features if feature.token in shown), default=1.0)
    rows: list[Sequence[Cell]] = []
    for token in shown:
        here = [feature for feature in result.features if feature.token == token]
        name: Cell = visible(shown_text(result.tokens[token]), spaces=True)
        on: Cell = count(counts[token])
        for feature in here:
            bar = BarCell(feature.activation / most, BAR)
            words = listed(feature.writes)
            rows.append([name, on, str(feature.index), feature.activation, bar, words])
            name, on = "", ""
        if not here:
            rows.append([name, on, "", "", "", ""])
    columns = [
        Column("token", whole=True), Column("on", "right", whole=True), Column("feature", "right", whole=True),
        Column("activation", "right", digits=3, whole=True), Column("", spared=1), Column("raises most"),
    ]  # fmt: skip
    cut = f"the last {SHOWN} of {count(len(counts))} tokens; " if len(counts) > SHOWN else ""
    return section("What is on", table(columns, rows, note=f"{cut}on: how many features are above 0 at the token"))


def _quality(result: FeaturesResult) -> RenderableType:
    """How well the vectors are rebuilt, and what the loss loses."""
    assert result.active is not None
    facts = [(number(sum(result.active) / len(result.active), 3), " features on, mean over the tokens")]
    if result.explained_variance is not None:
        without = result.explained_variance_without_first
        explained, *rest = aligned(result.explained_variance, *([] if without is None else [without]))
        aside = f" ({rest[0]} without the first token)" if rest else ""
        facts.append((explained, f" of the variance explained{aside}"))
    loss, note = result.loss, ""
    if loss is not None and loss.recovered is not None:
        facts.append((number(loss.recovered), " of the loss recovered"))
    if loss is not None:
        costs = aligned(loss.model, loss.rebuilt, loss.zero)
        note = "bits per token: {} with the model's own vectors, {} with the rebuilt ones, {} with zeros".format(*costs)
    lines = Text("\n").join(Text.assemble((value, theme.STRONG), what) for value, what in facts)
    return section("How well it rebuilds", lines, note=note)


def _by_itself(result: FeaturesResult, feature: FeatureByItself) -> Iterator[RenderableType]:
    rows: list[Sequence[Cell]] = [
        [way, tokens[0].logit if tokens else None, listed(tokens)]
        for way, tokens in (("raises", feature.writes), ("lowers", feature.lowers))
    ]
    columns = [Column("", whole=True), Column("logit", digits=3), Column("tokens")]
    note = (
        f"for an activation of 1, which writes a vector of length {number(feature.length, 3)} into the stream; "
        f"size {number(feature.size, 3)} (root mean square over the vocabulary)"
    )
    yield section(f"Feature {feature.index}: what it writes, through the final norm", table(columns, rows, note=note))
    if feature.activations is not None and result.tokens is not None:
        labels = [shown_text(token) for token in result.tokens]
        highest = max(feature.activations, default=0.0) or 1.0
        strip = value_strip(labels, feature.activations, limits=(0.0, highest), name="activation")
        above = sum(value > 0 for value in feature.activations)
        yield section("In the text", strip, note=f"on at {count(above)} of {several(len(labels), 'token')}")
    if feature.firing is not None and feature.examples is not None:
        if feature.examples:
            yield firing_part(feature.firing, feature.examples)
        else:
            yield section("Where it fires", remark("at no token of what was read"), note=read_of(feature.firing.read))
