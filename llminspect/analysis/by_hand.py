"""Sums by hand: each formula, the formula with the numbers in it, the result.

`forward --steps`: a model that fits on a page (the toys) is written out whole; of a larger one the steps that end in
the answer, each sum with its first terms. `attend --query`: one query's products with every key, scale, softmax,
weighted sum of the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from llminspect.analysis.attribution import unembedding
from llminspect.analysis.candidates import Candidate, token_text
from llminspect.analysis.passes import run_until
from llminspect.analysis.result import Dims
from llminspect.core.array import one_hot
from llminspect.core.attention import score_parts, softmax
from llminspect.core.attention_measures import habit
from llminspect.core.cache import Cache, LayerCache
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import number, vector
from llminspect.core.tap import Capture, Chain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llminspect.analysis.attention import WatchedAttention
    from llminspect.core.array import Array
    from llminspect.model.opened import Model

PAGE = 8
"""A model with no more numbers than this in a vector and words in its vocabulary fits on a page."""
WHOLE_PASS = 1024
"""Up to so many tokens the steps are taken from one pass; of a longer text only the query's own row is worked out, and
only the keys that it may see are there."""
_STEPS = (
    *("query.projected", "query.normed", "query.turned", "query"),
    *("key.projected", "key.normed", "key.turned", "key", "value"),
    *("scores", "scaled", "capped", "masked", "weights", "mixed"),
)
_SHARED = ("key", "value", "key.projected", "key.normed", "key.turned")
"""Of these there is one for each key/value head."""
_FIELDS = {"keys": "key", "values": "value"} | {step: step for step in "query scores scaled masked weights".split()}
"""Of a Query: the step that each is."""


@dataclass(frozen=True)
class Written:
    """One line of a calculation: what is computed, by which formula, with which numbers, and what comes out."""

    name: str
    formula: str
    with_numbers: str | None
    value: Array | str
    """The result; at the last step the token's text."""


def fits_on_a_page(model: Model) -> bool:
    sizes = model.config.sizes
    return max(sizes.D, sizes.V, sizes.F, sizes.L * PAGE) <= PAGE


def by_hand(
    model: Model, capture: Capture, ids: list[int], position: int, logits_V: Array, answer: Candidate
) -> list[Written]:
    """The calculation for one position of one text."""
    whole = fits_on_a_page(model)
    steps = [*_whole(model, capture, ids, position)] if whole else [*_ending(model, capture, position, answer)]
    return [*steps, *_choice(logits_V, answer, whole)]


def _whole(model: Model, capture: Capture, ids: list[int], position: int) -> Iterator[Written]:
    sizes, params = model.config.sizes, model.params
    word = token_text(model, ids[position])
    hot_V = one_hot(np.asarray([ids[position]]), sizes.V)[0]
    yield Written("x", f"one-hot row of {word!r}, id {ids[position]}", None, hot_V)
    embedded_D = capture["embedding.output"][position]
    yield Written("e", "x · E", f"row {ids[position]} of E = {_rows(params['embedding.weight'])}", embedded_D)
    layer = params.layer(0)
    if "layers.0.attention.weights" in capture.arrays:
        yield from _attention(capture, layer["attention.query.weight"], position)
        last = "x′"
    else:
        weight_DF, bias_F = layer["feedforward.weight"], layer["feedforward.bias"]
        written = f"{vector(embedded_D)} · {_rows(weight_DF)} + {vector(bias_F)}"
        yield Written("h", "e · W + b", written, capture["layers.0.feedforward.hidden"][position])
        last = "h"
    stream_D = capture["layers.0.output"][position]
    yield Written("logits", f"{last} · Eᵀ", f"{vector(stream_D)} · Eᵀ", capture["final.logits"][0])


def _attention(capture: Capture, weight_DE: Array, position: int) -> Iterator[Written]:
    steps = ("query", "scores", "scaled", "weights", "mixed")
    query_E, scores_S, scaled_S, weights_S, mixed_E = (
        capture[f"layers.0.attention.{step}"][0, position] for step in steps
    )
    yield Written("q", "e · Wq", f"e · {_rows(weight_DE)}", query_E)
    yield Written("scores", "q · k for each key", f"{vector(query_E)} · Kᵀ", scores_S)
    yield Written("scaled", "scores / √E", f"{vector(scores_S)} / √{query_E.size}", scaled_S)
    yield Written("weights", "softmax(scaled)", f"e^{vector(scaled_S)} / Σ", weights_S)
    pairs = zip(weights_S, capture["layers.0.attention.value"][0], strict=True)
    terms = " + ".join(f"{number(weight, 3)}·{vector(value)}" for weight, value in pairs)
    yield Written("mixed", "Σ weight · v", terms, mixed_E)
    embedded = vector(capture["embedding.output"][position])
    yield Written("x′", "e + mixed", f"{embedded} + {vector(mixed_E)}", capture["layers.0.output"][position])


def _ending(model: Model, capture: Capture, position: int, answer: Candidate) -> Iterator[Written]:
    """From the last stream to the answer's logit."""
    stream_D = capture[f"layers.{model.config.sizes.L - 1}.output"][position]
    yield Written("x", "residual stream after the last layer", None, stream_D)
    hidden_D, hidden = capture.arrays.get("final.norm"), "z"
    if hidden_D is None:
        # The last layer's norm comes after its sum.
        hidden_D, hidden = stream_D, "x"
    else:
        hidden_D = hidden_D[0]
        yield Written("z", "norm(x)", f"norm({vector(stream_D, 3)})", hidden_D)
    if (after_head_D := capture.arrays.get("final.head")) is not None:
        yield Written("h", "head(z)", "one more layer and norm", after_head_D[0])
        hidden_D, hidden = after_head_D[0], "h"
    if (narrow_M := capture.arrays.get("final.narrow")) is not None:
        yield Written("m", f"{hidden} · Mᵀ", "in as few numbers as a row of the embedding has", narrow_M[0])
        hidden_D, hidden = narrow_M[0], "m"
    row_D = unembedding(model)[answer.id]
    yield Written(f"U[{answer.text}]", f"row {answer.id} of the unembedding", None, row_D)
    bias_V = model.params.get("unembedding.bias")
    bias, added = ("", "") if bias_V is None else (" + b", f" + {number(float(bias_V[answer.id]), 3)}")
    name, logit = f"logit[{answer.text}]", capture["final.logits"][0, answer.id]
    formula, numbers = f"{hidden} · U[{answer.text}]{bias}", products(hidden_D, row_D) + added
    if (scale := model.config.logit_scale) != 1:
        formula, numbers = f"{number(scale)} · ({formula})", f"{number(scale)} · ({numbers})"
    yield Written(name, formula, numbers, logit)


def products(left_D: Array, right_D: Array, shown: int = 3) -> str:
    """`0.3·1 + 0.4·2`; of a long sum the first terms and how many there are."""
    terms = [f"{_factor(number(a, 3))}·{_factor(number(b, 3))}" for a, b in zip(left_D, right_D, strict=True)]
    more = f" + …  ({len(terms)} products)" if len(terms) > max(shown, PAGE) else ""
    return " + ".join(terms[: shown if more else None]) + more


def _factor(text: str) -> str:
    return f"({text})" if text.startswith("-") else text


def _choice(logits_V: Array, answer: Candidate, whole: bool) -> Iterator[Written]:
    probabilities_V = softmax(logits_V)
    if whole:
        written = f"e^{vector(logits_V)} / Σ e^logit = {vector(np.exp(logits_V))} / {number(np.exp(logits_V).sum())}"
        yield Written("probabilities", "softmax(logits)", written, probabilities_V)
        yield Written("next", "the most probable", f"id {answer.id}", answer.text)
        return
    total = np.exp(logits_V - logits_V.max(), dtype=np.float64).sum()
    written = f"e^({number(answer.logit)} − {number(logits_V.max())}) / {number(total)}"
    name = f"p[{answer.text}]"
    yield Written(name, "e^(logit − largest logit) / Σ e^(logit − largest logit)", written, probabilities_V[answer.id])


def _rows(matrix: Array) -> str:
    """A small matrix on one line."""
    return "[" + ", ".join(vector(row) for row in matrix) + "]"


@dataclass(frozen=True)
class Query:
    """The sum of one query in one head. Keys that the mask hides have the weight 0, and null where there is no number.

    scores = query · key; scaled = scores × scale (+ bias); capped; weights = softmax; output = Σ weight · value.
    """

    index: int
    text: str
    layer: int
    head: int
    kv_head: int
    chosen_by: Literal["you", "excess"]
    """Whether the head was chosen, or is the one that gives a token other than 0 and itself most beyond the usual."""
    scale: float
    query: Annotated[Array, Dims("E")]
    keys: Annotated[Array, Dims("S E")]
    values: Annotated[Array, Dims("S E")]
    scores: Annotated[Array, Dims("S")]
    scaled: Annotated[Array, Dims("S")]
    masked: Annotated[Array, Dims("S")]
    weights: Annotated[Array, Dims("S")]
    output: Annotated[Array, Dims("E")]
    query_unnormed: Annotated[Array, Dims("E")] | None = None
    """Before the norm that some models put on queries and keys."""
    query_unrotated: Annotated[Array, Dims("E")] | None = None
    """Before it was turned by its position."""
    keys_unrotated: Annotated[Array, Dims("S E")] | None = None
    compressed: Annotated[Array, Dims("S")] | None = None
    """The part of the scores that knows no position, where keys are made of a shorter vector …"""
    rotary: Annotated[Array, Dims("S")] | None = None
    """… and the part that is turned by it: both sum to the scores."""
    rotary_from: int | None = None
    """From which number of a query or a key on the rotary part is."""
    bias: Annotated[Array, Dims("S")] | None = None
    """What the model adds to the scaled scores for the distance."""
    capped: Annotated[Array, Dims("S")] | None = None
    usual: Annotated[Array, Dims("S")] | None = None
    """Where the head was not chosen: what of each weight would be there anyway, since the other tokens give as much to
    the same key, or to the key that stands as far from them …"""
    mean_of_heads: Annotated[Array, Dims("S")] | None = None
    """… the mean of the weights of all the heads that could have been chosen …"""
    habit: str | None = None
    """… and what the head does on the whole text: sink, previous, next, self, same, induction, diffuse or mixed."""
    to_sink: float | None = None
    """The weight that goes to the head's own sink and to no token, so that the others do not sum to one."""


def query_by_hand(
    model: Model, ids: Sequence[int], index: int, text: str, layer: int, head: int, **beside: Any
) -> Query:
    """Every step of one query's attention in one head, as the model itself computed it; `beside` are further fields."""
    steps = _captured(model, ids, index, layer, head)
    step = "normed" if "query.normed" in steps else "projected"
    unnormed = steps.get("query.turned", steps["query.projected"] if step == "normed" else None)
    # At position 0 the rotation leaves everything as it is, so the keys tell whether there is one.
    after = steps.get("key.turned", steps["key"])
    turned = f"key.{step}" in steps and not np.array_equal(steps[f"key.{step}"], after)
    scale, bias_S = scale_and_bias(steps["scores"], steps["scaled"])
    total, sizes = float(steps["weights"].sum(dtype=np.float64)), model.config.sizes
    compressed_S, rotary_S = score_parts(steps["query"], steps["key"], sizes.M) if sizes.Z else (None, None)
    arrays: dict[str, Any] = {field: steps[step] for field, step in _FIELDS.items()}
    return Query(
        index=index,
        text=text,
        layer=layer,
        head=head,
        kv_head=head * model.config.heads_of(layer)[0] // model.config.sizes.H,
        scale=scale,
        output=steps["mixed"],
        **arrays,
        query_unnormed=unnormed,
        query_unrotated=steps[f"query.{step}"] if turned else None,
        keys_unrotated=steps[f"key.{step}"] if turned else None,
        compressed=compressed_S,
        rotary=rotary_S,
        rotary_from=sizes.M or None,
        bias=bias_S,
        capped=steps.get("capped"),
        to_sink=1 - total if total < 1 - 1e-3 else None,
        **beside,
    )


def least_usual_head(watched: WatchedAttention, index: int, chosen: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Of the chosen heads the one in which the query gives another token most beyond what is usual, and what stands
    beside it: fields of `Query`."""
    rows_LHS, usual_LHS = np.stack(watched.rows), np.stack(watched.usual)
    excess_LHS = np.nan_to_num(rows_LHS - usual_LHS, nan=-9)
    excess_LHS[:, :, not_looked_for(rows_LHS.shape[-1], index)] -= 3
    layer, head = max(chosen, key=lambda place: float(excess_LHS[place].max()))
    return {
        "layer": layer,
        "head": head,
        "chosen_by": "excess",
        "usual": usual_LHS[layer, head],
        "mean_of_heads": np.mean([rows_LHS[place] for place in chosen], axis=0, dtype=np.float64).astype(np.float32),
        "habit": habit({name: float(by_layer[layer][head]) for name, by_layer in watched.measures.items()}),
    }


def not_looked_for(tokens: int, index: int) -> list[int]:
    """Token 0 is where heads rest, and every token looks at itself: neither says what a head looks for."""
    return [0, index] if tokens > 2 else []


def scale_and_bias(scores_S: Array, scaled_S: Array) -> tuple[float, Array | None]:
    """How the scaled scores came from the scores: one factor for all, or else something was added to each."""
    known = np.isfinite(scores_S) & np.isfinite(scaled_S)
    scores, scaled = scores_S[known].astype(np.float64), scaled_S[known].astype(np.float64)
    factor = float(scores @ scaled / (scores @ scores)) if scores.any() else 1.0
    if np.allclose(scores * factor, scaled, rtol=1e-4, atol=1e-4):
        return factor, None
    # Two unknowns a model has, the factor and what is added; families that add for the distance do not scale (T5).
    return 1.0, scaled_S - scores_S


def _captured(model: Model, ids: Sequence[int], index: int, layer: int, head: int) -> dict[str, Array]:
    """The query's row of each step, and the keys and values that it may see; what the model has not is not there."""
    name, kv_head = f"layers.{layer}.attention", head * model.config.heads_of(layer)[0] // model.config.sizes.H
    names = {step: f"{name}.{step}" for step in _STEPS}
    capture, earlier, row = Capture(*names.values()), Capture(*(names[step] for step in _SHARED)), index
    if len(ids) > WHOLE_PASS and model.config.causal and model.can("generate") and index > 0:
        # All scores of a long text would be gigabytes: the tokens before go into a cache, then the query comes alone.
        cache, row = _cache_before(model, ids[:index], layer, earlier), 0
        run_until(model, ids[index : index + 1], capture, [names["mixed"]], cache)
    else:
        run_until(model, ids, capture, [names["mixed"]])
    found = {}
    for step, array in ((step, capture.arrays[name]) for step, name in names.items() if name in capture.arrays):
        if step in _SHARED:
            pieces = [kept.arrays[names[step]][kv_head] for kept in (earlier, capture) if names[step] in kept.arrays]
            found[step] = np.concatenate(pieces)
        else:
            found[step] = array[head, row].copy()
    return found


def _cache_before(model: Model, ids: Sequence[int], layer: int, earlier: Capture) -> Cache:
    """What the layers up to `layer` keep of the tokens before the query; `earlier` sees them as well."""
    if model.config.state is not None:
        cache = model.run(ids, earlier).cache
        assert cache is not None
        return cache
    names = [f"layers.{at}.attention.{step}" for at in range(layer + 1) for step in ("key", "value")]
    kept = Capture(*names)
    run_until(model, ids, Chain([kept, earlier]), names[-2:])
    pairs = zip(names[::2], names[1::2], strict=True)
    return Cache(len(ids), tuple(LayerCache(kept[key], kept[value]) for key, value in pairs))
