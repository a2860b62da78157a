"""Sums by hand: each formula, the formula with the numbers in it, the result.

`forward --steps`: a model that fits on a page (the toys) is written out whole; of a larger one the steps that end in
the answer, each sum with its first terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from llminspect.analysis.attribution import unembedding
from llminspect.analysis.candidates import Candidate, token_text
from llminspect.core.array import Array, one_hot
from llminspect.core.attention import softmax
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import column, fixed, number, vector
from llminspect.core.tap import Capture
from llminspect.core.written import digits_for, read, read_all
from llminspect.model.opened import Model
from llminspect.model.toy import ToyConfig

PAGE = 8
"""A model with no more numbers than this in a vector and words in its vocabulary fits on a page."""
_BENT = ("hidden", "activation", "output")


@dataclass(frozen=True)
class Written:
    """One line of a calculation: what is computed, by which formula, with which numbers, and what comes out."""

    name: str
    formula: str
    with_numbers: str | None
    value: Array | str
    """The result; at the last step the token's text."""


def fits_on_a_page(model: Model) -> bool:
    """A toy of few numbers; a file may hold as few, but in other steps."""
    sizes = model.config.sizes
    return isinstance(model.config, ToyConfig) and max(sizes.D, sizes.V, sizes.F, sizes.L * PAGE) <= PAGE


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
    table = _rows(params["embedding.weight"])
    yield Written("e", "x · E", f"row {ids[position]} (counted from 0) of E = {table}", embedded_D)
    layer = params.layer(0)
    if "layers.0.attention.weights" in capture.arrays:
        yield from _attention(capture, layer["attention.query.weight"], position)
        last = "x′"
    elif "feedforward.down.weight" in layer:
        yield from _feed_forward(capture, layer, position)
        last = "y"
    else:
        weight_DF, bias_F = layer["feedforward.weight"], layer["feedforward.bias"]
        written = f"{vector(embedded_D)} · {_rows(weight_DF)} + {vector(bias_F)}"
        yield Written("h", "e · W + b", written, capture["layers.0.feedforward.hidden"][position])
        last = "h"
    stream_D = capture["layers.0.output"][position]
    yield Written("logits", f"{last} · Eᵀ", f"{vector(stream_D)} · Eᵀ", capture["final.logits"][0])


def _feed_forward(capture: Capture, layer: Mapping[str, Array], position: int) -> Iterator[Written]:
    embedded_D, hidden_F, bent_F, output_D = (
        capture[name][position] for name in ("embedding.output", *(f"layers.0.feedforward.{s}" for s in _BENT))
    )
    up, down = (_rows(layer[f"feedforward.{part}.weight"]) for part in ("up", "down"))
    up_F, down_D = (vector(layer[f"feedforward.{part}.bias"]) for part in ("up", "down"))
    yield Written("h", "W · e + b", f"{up} · {vector(embedded_D)} + {up_F}", hidden_F)
    yield Written("a", "max(h, 0)", f"max({vector(hidden_F)}, 0)", bent_F)
    yield Written("y", "W₂ · a + b₂", f"{down} · {vector(bent_F)} + {down_D}", output_D)


def _attention(capture: Capture, weight_DE: Array, position: int) -> Iterator[Written]:
    steps = ("query", "scores", "scaled", "weights", "mixed")
    query_E, scores_S, scaled_S, weights_S, mixed_E = (
        capture[f"layers.0.attention.{step}"][0, position] for step in steps
    )
    yield Written("q", "e · Wq", f"e · {_rows(weight_DE)}", query_E)
    yield Written("scores", "q · k for each key", f"{vector(query_E)} · Kᵀ", scores_S)
    yield Written("scaled", "scores / √(width of q)", f"{vector(scores_S)} / √{query_E.size}", scaled_S)
    yield Written("weights", "softmax(scaled)", f"e^{vector(scaled_S)} / Σ", weights_S)
    pairs = list(zip(weights_S, capture["layers.0.attention.value"][0], strict=True))
    digits = digits_for(lambda most: sum(read(w, most) * read_all(v, 4) for w, v in pairs), column(mixed_E), 3)
    terms = " + ".join(f"{number(weight, digits or 3)}·{vector(value)}" for weight, value in pairs)
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
    yield Written(f"U[{answer.text}]", f"row {answer.id} of the unembedding (counted from 0)", None, row_D)
    bias_V = model.params.get("unembedding.bias")
    bias, added = ("", "") if bias_V is None else (" + b", f" + {number(float(bias_V[answer.id]), 3)}")
    name, logit = f"logit[{answer.text}]", capture["final.logits"][0, answer.id]
    formula, numbers = f"{hidden} · U[{answer.text}]{bias}", products(hidden_D, row_D) + added
    if (scale := model.config.logit_scale) != 1:
        formula, numbers = f"{number(scale)} · ({formula})", f"{number(scale)} · ({numbers})"
    yield Written(name, formula, numbers, logit)


def products(left_D: Array, right_D: Array, seen: int = PAGE) -> str:
    """`0.3·1 + 0.4·2`, each number as in a vector of which `seen` are printed; of a long sum the first terms."""
    size = len(left_D)
    factors = (map(_factor, column(side_D[: seen if size > PAGE else None])) for side_D in (left_D, right_D))
    terms = [f"{a}·{b}" for a, b in zip(*factors, strict=True)]
    return " + ".join(terms) if size <= PAGE else f"{' + '.join(terms[:3])} + …  ({size} products)"


def _factor(text: str) -> str:
    text = text.strip()
    return f"({text})" if text.startswith("-") else text


def _choice(logits_V: Array, answer: Candidate, whole: bool) -> Iterator[Written]:
    probabilities_V = softmax(logits_V)
    if whole:
        yield Written("probabilities", "softmax(logits)", _softmax(logits_V, probabilities_V), probabilities_V)
        yield Written("next", "the most probable", f"id {answer.id}", answer.text)
        return
    total = np.exp(logits_V - logits_V.max(), dtype=np.float64).sum()
    apart = (answer.logit, logits_V.max())
    digits = digits_for(
        lambda most: np.exp(read(apart[0], most) - read(apart[1], most)) / read(total, most),
        [number(probabilities_V[answer.id])],
        4,
    )
    written = None
    if digits is not None:
        written = f"e^({number(apart[0], digits)} - {number(apart[1], digits)}) / {number(total, digits)}"
    name = f"p[{answer.text}]"
    yield Written(name, "e^(logit - largest logit) / Σ e^(logit - largest logit)", written, probabilities_V[answer.id])


def _softmax(logits_V: Array, probabilities_V: Array) -> str:
    """The powers of the logits as they are printed, and their division by their sum: as printed they add up to it."""
    shown = column(probabilities_V)

    def powers_of(digits: int) -> Array:
        return np.exp(read_all(logits_V, digits))

    of_logits = digits_for(lambda digits: powers_of(digits) / powers_of(digits).sum(), shown, 4) or 4
    powers_V = powers_of(of_logits)

    def divided(digits: int) -> list[str]:
        powers = column(powers_V, digits)
        decimals = len(powers[0].partition(".")[2])
        return [*(power.strip() for power in powers), fixed(powers_V.sum(), decimals)]

    def checked(digits: int) -> list[float]:
        *powers, total = map(float, divided(digits))
        return [*(power / total for power in powers), sum(powers) - total]

    *powers, total = divided(digits_for(checked, [*shown, "0.000000"], 4) or 4)
    return f"e^{vector(logits_V, digits=of_logits)} / Σ e^logit = [{', '.join(powers)}] / {total}"


def _rows(matrix: Array) -> str:
    """A small matrix on one line."""
    return "[" + ", ".join(vector(row) for row in matrix) + "]"
