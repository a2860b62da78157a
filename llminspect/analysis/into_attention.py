"""`attend --query --steps`: from the residual stream to a query, a key and a value, and how positions turn them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np

from llminspect.analysis.by_hand import Written, products
from llminspect.analysis.passes import run_until
from llminspect.analysis.query import Query
from llminspect.analysis.result import Dims
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import number
from llminspect.core.rotary import Rotary
from llminspect.core.tap import Capture
from llminspect.model.head_maps import rows_of
from llminspect.model.opened import Model
from llminspect.model.toy import ToyConfig

START = 4
"""So many numbers of a long vector are printed."""
SEEN = 20
"""From how many degrees on one sees that an angle is another."""
CLOSE = 1e-3
"""How far a sum that is written out may be from the number that the pass gave, of the larger one's size."""


@dataclass(frozen=True)
class Turn:
    """A pair of numbers of the query and of the key that gets most weight, before and after it is turned."""

    numbers: tuple[int, int]
    """Which two of a head's numbers are turned together."""
    degrees: float
    """By how much for each position."""
    key_index: int
    query_before: Annotated[Array, Dims("2")]
    query_after: Annotated[Array, Dims("2")]
    key_before: Annotated[Array, Dims("2")]
    key_after: Annotated[Array, Dims("2")]
    score: float
    """What the pair adds to the score."""


@dataclass(frozen=True)
class IntoAttention:
    """How the query, and the key and the value of the token that gets most weight, came from the residual stream."""

    key_index: int
    steps: list[Written]
    turns: list[Turn]
    """Empty where positions do not turn queries and keys."""


def into_attention(model: Model, ids: Sequence[int], query: Query) -> IntoAttention:
    """The steps before the scores of `query`, for its own token and the one that gets most weight."""
    best, prefix = int(query.weights.argmax()), f"layers.{query.layer}"
    names = [f"{prefix}.input", f"{prefix}.attention.norm"]
    projected = [f"{prefix}.attention.{part}" for part in ("query.projected", "key.projected", "query", "key", "value")]
    capture = Capture(*names, *projected, optional=True)
    run_until(model, ids, capture, [f"{prefix}.attention.scores"])
    arrays = {name.removeprefix(f"{prefix}."): array for name, array in capture.arrays.items()}
    return IntoAttention(best, list(_steps(model, arrays, query, best)), turns(model, query, best, len(ids)))


def _steps(model: Model, arrays: dict[str, Array], query: Query, best: int) -> Iterator[Written]:
    layer, normed = query.layer, "attention.norm" in arrays
    read_TD, reads = (arrays["attention.norm"], "z") if normed else (arrays["input"], "x")
    lent = model.config.keys_of(layer) != layer
    of_key = [] if lent else [(best, "key", query.kv_head), (best, "value", query.kv_head)]
    seen: set[int] = set()
    for index, part, head in [(query.index, "query", query.head), *of_key]:
        if index not in seen:
            seen.add(index)
            yield Written(f"x of token {index}", f"residual stream before layer {layer}", None, arrays["input"][index])
            if normed:
                yield Written(f"z of token {index}", "norm(x)", None, read_TD[index])
        made = arrays.get(f"attention.{part}.projected", arrays.get(f"attention.{part}"))
        if made is None:
            continue
        letter, row_E, toy = part[0], made[head, index], isinstance(model.config, ToyConfig)
        yield Written(f"{letter} of token {index}", f"x W{letter}" if toy else f"W{letter} {reads}", None, row_E)
        written = _first_product(model, layer, part, head, read_TD[index], float(row_E[0]))
        if written is not None:
            formula = f"x · first column of W{letter}" if toy else f"first row of W{letter} · {reads}"
            yield Written(f"{letter}[0]", formula, written, row_E[0])
    if lent:
        source = model.config.keys_of(layer)
        yield Written("k, v", f"this layer makes none: those of layer {source}", None, query.keys[best])


def _first_product(model: Model, layer: int, part: str, head: int, read_D: Array, found: float) -> str | None:
    """The sum that makes the first number of a query, a key or a value; None where more than one matrix makes it."""
    params = model.params.layer(layer)
    if f"attention.{part}.weight" not in params:
        return None
    if isinstance(model.config, ToyConfig):
        params = {name: array.T for name, array in params.items()}
    heads = model.config.sizes.H if part == "query" else model.config.heads_of(layer)[0]
    row_ED, bias_E = rows_of(params, part, head, heads)
    if row_ED.shape[-1] != len(read_D):
        return None
    constant, terms_D = 0.0 if bias_E is None else float(bias_E[0]), row_ED[0].astype(np.float64) * read_D
    if abs(float(terms_D.sum()) + constant - found) > CLOSE * float(np.abs(terms_D).max(initial=abs(found))):
        return None
    return products(row_ED[0], read_D, START) + ("" if bias_E is None else f" + {number(constant, 3)}")


def turns(model: Model, query: Query, best: int, length: int) -> list[Turn]:
    """The pair that adds most to the score of the query and its best key, and that which does so of the pairs between
    whose hands the angle changes so much that one sees it."""
    rotary = model.config.rotary_of(query.layer)
    if rotary is None or query.query_unrotated is None or query.keys_unrotated is None:
        return []
    found, speeds = [], rotary.speeds(length)
    before, after = (query.query_unrotated, query.keys_unrotated[best]), (query.query, query.keys[best])
    for pair, speed in enumerate(speeds):
        i, j = _numbers(rotary, pair, model.config.sizes.M if query.rotary_from else 0)
        both = [(array_E[i], array_E[j]) for array_E in (*before, *after)]
        if _is_turned(both[0], both[2], speed * query.index) and _is_turned(both[1], both[3], speed * best):
            query_before, key_before, query_after, key_after = (np.asarray(pair, np.float32) for pair in both)
            score = float(np.dot(query_after, key_after))
            found.append(
                Turn((i, j), math.degrees(speed), best, query_before, query_after, key_before, key_after, score)
            )
    most = sorted(found, key=lambda turn: -abs(turn.score))
    seen = [turn for turn in most if turn.degrees * abs(query.index - best) >= SEEN]
    return [*most[:1], *(turn for turn in seen[:1] if turn is not most[0])]


def _numbers(rotary: Rotary, pair: int, start: int) -> tuple[int, int]:
    if rotary.pairs == "interleaved":
        return start + 2 * pair, start + 2 * pair + 1
    return start + pair, start + pair + rotary.width // 2


def _is_turned(before: tuple[float, float], after: tuple[float, float], radians: float) -> bool:
    """Whether one is the other turned so far, and no more was done to it."""
    turned = complex(*map(float, before)) * complex(math.cos(radians), math.sin(radians))
    return abs(turned - complex(*map(float, after))) <= CLOSE * max(abs(turned), 1e-9) * 10
