"""The norms around a step folded into its matrices, and the way from the stream to the words: of the weights alone.

A norm divides each vector by its own size, multiplies by a gain and may take the mean away before and add a bias after.
All but the size is linear, the same for every vector, and goes into the next matrix; so a row of the vocabulary meets a
step's matrix in one product, and its size divides what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from llminspect.core.array import Array, ByName, RowsOnDemand, linear
from llminspect.core.circuits import ROWS_AT_ONCE
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.config import Config
from llminspect.model.embedding import of_rows, settled
from llminspect.model.opened import Model
from llminspect.model.toy import ToyConfig
from llminspect.model.transformer import output_matrix, readout


@dataclass(frozen=True)
class FoldedNorm:
    """A norm as its linear part and a size; without any, the stream itself."""

    weight_D: Array | None = None
    bias_D: Array | None = None
    centred: bool = False
    epsilon: float | None = None
    """None: there is no norm."""

    def before(self, matrix_OD: Array) -> Array:
        """A matrix that reads what the norm gives, with the gain and the taking away of the mean folded in."""
        folded_OD = matrix_OD if self.weight_D is None else matrix_OD * self.weight_D
        return folded_OD - folded_OD.mean(axis=1, keepdims=True) if self.centred else folded_OD

    def after(self, matrix_DI: Array) -> Array:
        """A matrix whose result the norm takes, with the same folded in."""
        folded_DI = matrix_DI - matrix_DI.mean(axis=0) if self.centred else matrix_DI
        return folded_DI if self.weight_D is None else folded_DI * np.asarray(self.weight_D)[:, None]

    def scale(self, x_TD: Array) -> Array:
        """1 / the size by which the norm divides each vector, [T]."""
        if self.epsilon is None:
            return np.ones(len(x_TD), x_TD.dtype)
        moved_TD = x_TD - x_TD.mean(axis=-1, keepdims=True) if self.centred else x_TD
        scale_T: Array = 1 / np.sqrt(np.einsum("td,td->t", moved_TD, moved_TD) / x_TD.shape[-1] + self.epsilon)
        return scale_T


def norm_called(arrays: ByName, name: str, config: Config) -> FoldedNorm:
    """The norm of that name, as the family has them; none where there is none."""
    weight_D = arrays.get(f"{name}.weight")
    if weight_D is None and not config.weightless_norms:
        return FoldedNorm()
    centred = config.norm == "layer"
    bias_D = arrays.get(f"{name}.bias") if centred else None
    return FoldedNorm(None if config.weightless_norms else weight_D, bias_D, centred, config.norm_epsilon)


def norm_before(arrays: Mapping[str, Array], step: str, config: Config) -> FoldedNorm:
    """The norm of what a step, "attention" or "feedforward", reads. Steps side by side may share one."""
    shares = config.parallel and f"{step}.norm.weight" not in arrays
    return norm_called(arrays, "attention.norm" if shares else f"{step}.norm", config)


def written(arrays: Mapping[str, Array], step: str, config: Config, matrix_DI: Array) -> Array:
    """What a step's last matrix adds to the stream: with the gain of a norm after it, and scaled, if it is so."""
    if f"{step}.norm_after.weight" in arrays:
        matrix_DI = norm_called(arrays, f"{step}.norm_after", config).after(matrix_DI)
    return matrix_DI * np.float32(config.residual_scale)


def columns(matrix: Array | RowsOnDemand, start: int, stop: int) -> Array:
    """Columns of a matrix, which may have to be made whole for them."""
    return np.asarray(matrix[:, start:stop] if isinstance(matrix, np.ndarray) else np.asarray(matrix)[:, start:stop])


def check_words(model: Model, what: str) -> None:
    """Raise UsageError where the weights alone do not say what a step reads and writes in words."""
    config = model.config
    if model.can("source"):
        raise UsageError(f"{what}: {model.name} is an encoder–decoder", "this works for models with one stack")
    why = model.architecture.without_output(config, model.params)
    if why is not None:
        raise UsageError(f"{what}: {model.name} predicts no words: {why}")
    if model.architecture.readout is not readout and not isinstance(config, ToyConfig):
        raise UsageError(f"{what}: in {model.name} a network of its own stands between the last layer and the words")
    if config.streams > 1:
        raise UsageError(
            f"{what}: {model.name} has {config.streams} streams, and how a layer's result enters each depends on the "
            "text"
        )
    if "distances.weight" in model.params:
        raise UsageError(f"{what}: the scores of {model.name} are made of vectors of distances as well")


def token_vectors(model: Model, start: int, stop: int) -> Array:
    """What enters the stream of the tokens of these ids, without what their place adds, [ids, D]."""
    rows_VD = np.asarray(model.params["embedding.weight"][start:stop])
    return settled(model.params, model.config, of_rows(model.params, model.config, rows_VD))


def vocabulary(model: Model) -> Iterator[tuple[int, Array]]:
    """The same of all tokens, some at a time, and the first id of each."""
    with np.errstate(all="ignore"):
        for start in range(0, model.config.sizes.V, ROWS_AT_ONCE):
            yield start, token_vectors(model, start, min(start + ROWS_AT_ONCE, model.config.sizes.V))


def logits_of(model: Model, direction_ND: Array) -> Array:
    """What directions of the stream add to the logits, [N, V], at a last stream whose size the final norm takes as 1:
    its gain folded in, without biases and before a cap."""
    config, params = model.config, model.params
    final = norm_called(params, "final.norm", config)
    read_ND = final.after(direction_ND.T).T
    if "final.projection.weight" in params:
        read_ND = linear(read_ND, params["final.projection.weight"])
    logits_NV = linear(np.ascontiguousarray(read_ND, np.float32), output_matrix(params, config))
    return logits_NV * np.float32(config.logit_scale)
