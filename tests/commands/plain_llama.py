"""A llama forward pass written as plainly as can be, one head and one token at a time, in float64: the oracle for
what experiments do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from llminspect.model.opened import Model


def plain_forward(
    model: Model,
    ids: Sequence[int],
    *,
    head: Callable[[int, int, int, Any], Any] = lambda layer, head, position, vector: vector,
    added: Callable[[str, int, int, Any], Any] = lambda part, layer, position, vector: vector,
    stream: Callable[[int, int, Any], Any] = lambda layer, position, vector: vector,
    inside: Callable[[str, int, int, int, Any], Any] = lambda part, layer, head, position, vector: vector,
    hidden: int | None = None,
) -> tuple[NDArray[np.float64], list[list[Any]]]:
    """The logits at the last position, and the stream after each layer at each position. The functions may
    change what a head reads, what a step adds, the stream as it leaves a layer, and by head queries, keys (before and
    after they are turned), values and weights; `hidden` is a token nobody sees."""
    config: Any = model.config
    sizes = config.sizes
    get = {name: np.asarray(array, np.float64) for name, array in model.params.arrays.items() if "layers" not in name}
    x = [get["embedding.weight"][token] for token in ids]
    speeds = config.rotary.base ** (-np.arange(0, sizes.E, 2) / sizes.E)
    streams = []

    def norm(vector: Any, weight: Any) -> Any:
        return vector / np.sqrt((vector**2).mean() + config.norm_epsilon) * weight

    def turn(vector: Any, position: int) -> Any:
        first, second = vector[: sizes.E // 2], vector[sizes.E // 2 :]
        cos, sin = np.cos(position * speeds), np.sin(position * speeds)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin])

    for layer in range(sizes.L):
        w = {name: np.asarray(array, np.float64) for name, array in model.params.layer(layer).items()}
        z = [norm(vector, w["attention.norm.weight"]) for vector in x]
        made = [
            [(w[f"attention.{part}.weight"] @ vector).reshape(-1, sizes.E) for vector in z]
            for part in ("query", "key", "value")
        ]
        names = "query.projected", "key.projected", "value"
        q, k, v = (_each(partial(inside, name, layer), each) for name, each in zip(names, made, strict=True))
        turned = [[[turn(part, t) for part in parts] for t, parts in enumerate(each)] for each in (q, k)]
        q, k = (_each(partial(inside, name, layer), each) for name, each in zip(("query", "key"), turned, strict=True))
        after = []
        for t in range(len(ids)):
            read = []
            for h in range(sizes.H):
                group = h // (sizes.H // sizes.K)
                seen = [s for s in range(t + 1) if s != hidden]
                scores = [q[t][h] @ k[s][group] / np.sqrt(sizes.E) for s in seen]
                weights = np.exp(np.array(scores) - max(scores, default=0))
                weights = inside("pattern", layer, h, t, weights / weights.sum() if seen else weights)
                mixed = sum((weight * v[s][group] for weight, s in zip(weights, seen, strict=True)), np.zeros(sizes.E))
                read.append(head(layer, h, t, mixed))
            vector = x[t] + added("attention", layer, t, w["attention.output.weight"] @ np.concatenate(read))
            y = norm(vector, w["feedforward.norm.weight"])
            gate, up = w["feedforward.gate.weight"] @ y, w["feedforward.up.weight"] @ y
            fed = w["feedforward.down.weight"] @ (gate / (1 + np.exp(-gate)) * up)
            after.append(stream(layer, t, vector + added("feedforward", layer, t, fed)))
        x = after
        streams.append(x)
    unembedding = get.get("unembedding.weight", get["embedding.weight"])
    return unembedding @ norm(x[-1], get["final.norm.weight"]), streams


def _each(change: Callable[[int, int, Any], Any], made: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """What each head has at each position, changed."""
    return [[change(head, at, vector) for head, vector in enumerate(vectors)] for at, vectors in enumerate(made)]
