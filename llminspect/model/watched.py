"""The steps of a layer that are made for some tokens at a time where nobody looks at any of them."""

from __future__ import annotations

from collections.abc import Iterator

from llminspect.core.tap import Tap, rows_wanted
from llminspect.model.config import Config


def watched(tap: Tap, config: Config, front: str) -> bool:
    """Whether somebody looks at a step that would be made for some tokens at a time."""
    steps = list(steps_within(config.sizes.X))
    return any(tap.wants(f"{front}layers.{index}.{step}") for index in range(config.sizes.L) for step in steps)


def rows_inside(tap: Tap, feedforward: str, experts: int) -> frozenset[int] | None:
    """At which rows somebody looks inside a layer's feed-forward step, whose full name is given; None: at all."""
    each = [rows_wanted(tap, f"{feedforward}.{step}") for step in steps_of_feedforward(experts)]
    return None if None in each else frozenset().union(*(rows for rows in each if rows))


def steps_within(experts: int) -> Iterator[str]:
    """Their names, without the layer's in front."""
    yield from ("middle.once", "middle.twice", "convolution.hidden", "convolution.output", "convolution.sum")
    yield from ("attention.norm", "middle.sum", "middle", "crossed.sum", "crossed", "feedforward.norm", "output.sum")
    yield from ("attention.gate", "state.norm", "state.unnormed", "state.output")
    yield "attention.distances"
    for part in ("query", "key"):
        yield from (f"attention.{part}{step}" for step in (".projected", ".normed", ".turned", ""))
    for part in ("query.latent", "latent"):
        yield from (f"attention.{part}{step}" for step in (".projected", ""))
    yield "attention.key.shared"
    yield from (f"attention.{step}" for step in ("value", "scores", "scaled", "capped", "masked", "unnormed", "output"))
    crossing = ("norm", "query", "scores", "scaled", "capped", "masked", "weights", "mixed", "unnormed", "output")
    yield from (f"cross_attention.{step}" for step in crossing)
    yield from ("laurel.low", "laurel.unnormed", "laurel.output", "attention.value.projected", "unscaled")
    yield from (f"per_layer.{step}" for step in ("gate", "activation", "unnormed", "output"))
    for step in ("mixed", "unnormed", "output", *steps_of_feedforward(experts)):
        yield f"feedforward.{step}"


def steps_of_feedforward(experts: int) -> Iterator[str]:
    """The names of what lies between what a feed-forward step reads and what it gives, without its own in front."""
    yield from ("gate.projected", "gate", "up", "hidden", "activation")
    if not experts:
        return
    yield from (f"router.{step}" for step in ("norm", "scores", "weights"))
    yield from (f"routed.{step}" for step in ("norm", "narrow", "sum", "unnormed", "output"))
    shared = ("norm", "gate", "up", "hidden", "activation", "share", "unnormed", "output")
    yield from (f"shared.{step}" for step in shared)
    for expert in range(experts):
        yield from (f"experts.{expert}.{step}" for step in ("gate", "up", "hidden", "activation", "output"))
