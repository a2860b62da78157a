"""What the layers with a state keep of each token: their effective weights, and which layers have attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np

from llminspect.analysis.passes import run_until
from llminspect.analysis.result import Dims
from llminspect.arguments.attend import AttendOptions, parse_shown
from llminspect.arguments.ranges import parse_choice
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import ranges
from llminspect.core.tap import Visit
from llminspect.errors import UsageError
from llminspect.model.opened import Model

AT_ONCE = 1 << 27
"""Effective weights of a layer that are made at once, in 512 MB; more are refused."""


@dataclass(frozen=True)
class StateLayer:
    """A layer that keeps a state: y[t] = Σ weight[t, s] · value[s], exactly, with weights of either sign."""

    layer: int
    kind: str
    heads: int
    """How many heads the state has, or channels that go each by themselves."""
    each: Literal["head", "channel"]
    on_itself: float
    """Of the sizes of all weights the share that is on the token itself."""
    distance: float
    """How far back the weights reach: the mean distance, each weight counting by its size."""
    head: int | None = None
    """The head that was chosen …"""
    weights: Annotated[Array, Dims("T S")] | None = None
    """… and its effective weights; without a head the mean of their sizes over all heads."""


def watch_states(
    model: Model, ids: Sequence[int], layers: Sequence[int], head: int | None = None, *, keep: bool
) -> list[StateLayer]:
    """What the states of `layers` keep of a text; with `keep` the weights as well. UsageError for too long a text."""
    state = model.config.state
    if state is None or not layers:
        return []
    if state.heads * len(ids) ** 2 > AT_ONCE:
        most = int((AT_ONCE / state.heads) ** 0.5)
        raise UsageError(
            f"the effective weights of {len(ids):,} tokens are too many numbers for {state.heads:,} heads of a state",
            f"take a text of up to {most:,} tokens",
        )
    found: list[StateLayer] = []

    def look(name: str, weights_JTS: Array) -> None:
        sizes_TS = np.abs(weights_JTS).mean(axis=0, dtype=np.float64)
        if head is not None:
            sizes_TS = np.abs(weights_JTS[head]).astype(np.float64)
        whole, place_T = float(sizes_TS.sum()) or 1.0, np.arange(len(ids))
        kept_TS = (sizes_TS.astype(weights_JTS.dtype) if head is None else weights_JTS[head].copy()) if keep else None
        itself = float(np.trace(sizes_TS)) / whole
        reach = float((sizes_TS * np.abs(place_T[:, None] - place_T)).sum()) / whole
        found.append(
            StateLayer(int(name.split(".")[1]), state.named, state.heads, state.each, itself, reach, head, kept_TS)
        )

    names = [f"layers.{layer}.state.weights" for layer in layers]
    run_until(model, ids, Visit(look, *names), names)
    return found


def chosen_states(model: Model, options: AttendOptions, ids: Sequence[int]) -> list[StateLayer]:
    """What the chosen layers keep that have a state, or all of them; none where a question is about the attention.

    Raises UsageError for several heads of a state.
    """
    state, sizes = model.config.state, model.config.sizes
    chosen = parse_choice(options.layer, "layer", sizes.L)
    if state is None or options.asks or options.mean:
        return []
    if chosen is None and options.head is not None and not model.config.attending:
        chosen = list(range(sizes.L))  # Without attention a head is one of every state.
    layers = [layer for layer in chosen or range(sizes.L) if model.config.state_of(layer) is not None]
    heads = None if chosen is None or not layers else parse_choice(options.head, "head", state.heads)
    if heads is not None and len(heads) > 1:
        raise UsageError("--head: of a state one head is shown at a time, or all together", "name one, or leave it out")
    return watch_states(model, ids, layers, heads[0] if heads else None, keep=chosen is not None)


def of_attention(options: AttendOptions) -> dict[str, object]:
    """What is wanted that only an attention has, by its option."""
    return {
        "--query": options.query is not None,
        "--find": options.find is not None,
        "--show": parse_shown(options.show) != ("weights",),
        "--mean": options.mean,
        "--measure": options.measure,
    }


def check_attention(model: Model, layers: Iterable[int], wanted: Mapping[str, object]) -> None:
    """Raise UsageError where something is wanted, by its option, of a layer that has no attention."""
    config, lacking = model.config, [layer for layer in layers if not model.config.attends(layer)]
    name = next((name for name, value in wanted.items() if value), None)
    if not lacking or name is None:
        return
    which = f"layer{'s' if len(lacking) > 1 else ''} {ranges(lacking)} of {model.name}"
    stateful = config.state is not None and set(lacking) <= set(config.state_layers)
    instead = f", but keeps a state by {config.state.named}" if stateful and config.state is not None else ""
    raise UsageError(f"{name}: {which} ha{'ve' if len(lacking) > 1 else 's'} no attention{instead}", where(model))


def where(model: Model) -> str:
    """Which layers have attention."""
    attending = model.config.attending
    if not attending:
        return f"no layer of {model.name} has attention"
    return f"the layer{'s' if len(attending) > 1 else ''} with attention: {ranges(attending)}"
