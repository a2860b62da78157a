"""Products with x rounded to 8 bits, as llama.cpp rounds it (whole.c), and how far off the logits are then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from llminspect.backends.kernels.matrices import BESIDE, UNIT, WHOLE, Blocks
from llminspect.core.array import Array
from llminspect.errors import ModelError, UserError
from llminspect.model.opened import Model

PROBE = "The capital of France is the city of"
PROBED = 8
"""Tokens of it at most: each costs a part of an exact pass."""


class RoundedBlocks(Blocks):
    """The same matrix; float32 x is rounded before it is multiplied with."""

    def _digits_of_a_row(self) -> int:
        return 1

    def _arranged(self, x_NI: Array) -> tuple[int, int, Array]:
        number, width = x_NI.shape
        pieces = np.empty(number * width // UNIT * (UNIT + BESIDE), np.uint8)
        self._library.write_pieces(1, self._kind.number, x_NI.ctypes.data, number, width, pieces.ctypes.data)
        return WHOLE, 1, pieces


def rounded(exact: Model, in_blocks: Mapping[str, Any]) -> Model:
    """The model with products that round, in place of those of its matrices that are `in_blocks`.

    Its provenance says so, and by how much its logits differ from the exact ones over a few tokens. Raises UsageError
    where there is no matrix to round for.
    """
    rounding = {name: found for name, matrix in in_blocks.items() if (found := matrix.becoming(RoundedBlocks))}
    if not rounding:
        from llminspect.backends.kernels import nothing_quantized

        raise nothing_quantized(exact.name, rounding=True)
    inexact = replace(exact, params=exact.params.replacing(rounding))
    return replace(inexact, provenance={**exact.provenance, "rounding": difference(exact, inexact)})


def difference(exact: Model, inexact: Model) -> dict[str, Any]:
    """How far the logits of two models of one vocabulary are apart, over the same few tokens.

    `tokens`; `largest`, the largest difference of two logits; `relative`, ‖a − b‖ / ‖b‖ of all; `same_best`, after how
    many of the tokens the same one comes next. Of a model without logits the last layer's vectors are compared.
    """
    ids, logits = _probe(exact), exact.no_next_token() is None
    given_TV, true_TV = (_computed(model, ids, logits) for model in (inexact, exact))
    apart_TV = given_TV - true_TV
    found = {
        "activations": "int8",
        "of": "logits" if logits else "vectors",
        "tokens": len(ids),
        "largest": float(np.abs(apart_TV).max()),
        "relative": float(np.linalg.norm(apart_TV) / max(np.linalg.norm(true_TV), np.finfo(float).tiny)),
    }
    return found | ({"same_best": int((given_TV.argmax(-1) == true_TV.argmax(-1)).sum())} if logits else {})


def _probe(model: Model) -> list[int]:
    size = model.config.sizes.V
    try:
        ids = [] if model.tokenizer is None else model.tokenizer.encode_ids(PROBE)
    except (ModelError, UserError):  # Of a tokenizer that cannot be read.
        ids = []
    return (ids or [size * (index + 1) // (PROBED + 1) for index in range(PROBED)])[:PROBED]


def _computed(model: Model, ids: list[int], logits: bool) -> Array:
    cache = model.encode_source(ids) if model.can("source") else None
    stream_TD = model.run(ids, cache=cache).stream_TD
    numbers: Array = (model.logits(stream_TD) if logits else stream_TD).astype(np.float64)
    return numbers
