"""Sparse dictionaries: a vector as a sum of few of many features, each with a direction of its own.

Bricken et al. 2023, "Towards Monosemanticity"; Cunningham et al. 2023, "Sparse Autoencoders Find Highly Interpretable
Features in Language Models". A transcoder writes another vector than the one that it reads: what a step makes of it
(Dunefsky et al. 2024, "Transcoders Find Interpretable LLM Feature Circuits").

Letters: T tokens, D numbers that are read, O numbers that are written, F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass

Rule = Literal["relu", "topk", "jumprelu", "gated", "groupmax"]
Scaling = Literal["none", "length", "layer_norm"]
NUMBERS = 1 << 24
"""Activations that are held at once."""


@dataclass(frozen=True)
class Dictionary:
    """How activations are made of a vector, and a vector of activations."""

    encoder_DF: Array
    bias_F: Array
    decoder_FO: Array
    bias_O: Array
    rule: Rule
    """Which features are on: those above 0 (relu), the `k` largest of these (topk), those above their threshold
    (jumprelu), those whose gate is open (gated; Rajamanoharan et al. 2024), the largest of each of `k` groups."""
    k: int = 0
    threshold_F: Array | None = None
    gate_F: Array | None = None
    """Of gated ones: the bias of the gate …"""
    stretch_F: Array | None = None
    """… and how much longer a row is for the activation, as its logarithm."""
    subtracts: bool = False
    """Whether the decoder's bias is taken away from what is read."""
    scaling: Scaling = "none"
    """What is done to a vector first, and undone at the end: its length made √D, or mean 0 and deviation 1."""
    restores: bool = True
    """Whether it is undone: not where another vector is written."""
    by_length: bool = False
    """Whether activations count times the length of what they write."""
    skip_OD: Array | None = None
    """What of the vector read goes straight to the one that is written."""

    @property
    def features(self) -> int:
        return len(self.decoder_FO)

    def rows(self, features: list[int]) -> Array:
        """What an activation of 1 writes, [N, O], before scaling is undone."""
        rows_NO: Array = np.asarray(self.decoder_FO[features], np.float32)
        return rows_NO / np.linalg.norm(rows_NO, axis=-1, keepdims=True) if self.by_length else rows_NO


def scales(dictionary: Dictionary, x_TD: Array) -> tuple[Array, Array]:
    """The mean and the size of each vector by which it is scaled, [T, 1] both; 0 and 1 where it is not."""
    if dictionary.scaling == "length":
        return np.zeros((len(x_TD), 1), x_TD.dtype), np.linalg.norm(x_TD, axis=-1, keepdims=True) / np.sqrt(
            np.float32(x_TD.shape[-1])
        )
    if dictionary.scaling == "layer_norm":
        return x_TD.mean(axis=-1, keepdims=True), x_TD.std(axis=-1, keepdims=True, ddof=1)
    return np.zeros((len(x_TD), 1), x_TD.dtype), np.ones((len(x_TD), 1), x_TD.dtype)


def encode(dictionary: Dictionary, x_TD: Array) -> Array:
    """The activations of all features [T, F]; none is below 0."""
    mean_T1, size_T1 = scales(dictionary, x_TD)
    # SAELens adds 1e-5 to the deviation where it divides, and not where it multiplies.
    epsilon = np.float32(1e-5 if dictionary.scaling == "layer_norm" else 0)
    read_TD = (x_TD - mean_T1) / (size_T1 + epsilon) if dictionary.scaling != "none" else x_TD
    if dictionary.subtracts:
        read_TD = read_TD - dictionary.bias_O
    product_TF = read_TD @ dictionary.encoder_DF
    if dictionary.rule == "gated":
        assert dictionary.gate_F is not None and dictionary.stretch_F is not None
        open_TF = product_TF + dictionary.gate_F > 0
        return np.maximum(product_TF * np.exp(dictionary.stretch_F) + dictionary.bias_F, 0) * open_TF
    before_TF = product_TF + dictionary.bias_F
    if dictionary.by_length:
        before_TF = before_TF * np.linalg.norm(dictionary.decoder_FO, axis=-1)
    found_TF = np.maximum(before_TF, 0)
    if dictionary.threshold_F is not None:
        return found_TF * (before_TF > dictionary.threshold_F)
    if dictionary.rule == "topk" and dictionary.k < found_TF.shape[1]:
        on_TF = np.zeros(found_TF.shape, bool)
        np.put_along_axis(on_TF, np.argpartition(before_TF, -dictionary.k, axis=-1)[:, -dictionary.k :], True, axis=-1)
        return found_TF * on_TF
    if dictionary.rule == "groupmax":
        groups_TKG = found_TF.reshape(len(found_TF), dictionary.k, -1)
        on_TKG = np.zeros(groups_TKG.shape, bool)
        np.put_along_axis(on_TKG, np.argmax(groups_TKG, axis=-1)[..., None], True, axis=-1)
        return found_TF * on_TKG.reshape(found_TF.shape)
    return found_TF


def encode_some(dictionary: Dictionary, x_TD: Array, features: list[int]) -> Array:
    """The activations of some features [T, N]: of those alone, unless which are on is settled among all."""
    if dictionary.rule in ("topk", "groupmax"):
        return encode(dictionary, x_TD)[:, features]
    encoder_DN, stretch_F = dictionary.encoder_DF[:, features], dictionary.stretch_F
    threshold_F, gate_F = dictionary.threshold_F, dictionary.gate_F
    fewer = replace(
        dictionary, encoder_DF=encoder_DN, bias_F=dictionary.bias_F[features],
        decoder_FO=dictionary.decoder_FO[features],
        threshold_F=None if threshold_F is None else threshold_F[features],
        gate_F=None if gate_F is None else gate_F[features],
        stretch_F=None if stretch_F is None else stretch_F[features],
    )  # fmt: skip
    return encode(fewer, x_TD)


def decode(dictionary: Dictionary, activation_TF: Array, x_TD: Array) -> Array:
    """The vectors [T, O] that activations stand for; `x_TD` is what was read."""
    if dictionary.by_length:
        activation_TF = activation_TF / np.linalg.norm(dictionary.decoder_FO, axis=-1)
    rebuilt_TO = activation_TF @ dictionary.decoder_FO + dictionary.bias_O
    if dictionary.scaling != "none" and dictionary.restores:
        mean_T1, size_T1 = scales(dictionary, x_TD)
        rebuilt_TO = rebuilt_TO * size_T1 + mean_T1
    if dictionary.skip_OD is not None:
        rebuilt_TO = rebuilt_TO + x_TD @ dictionary.skip_OD.T
    return rebuilt_TO


def some_at_a_time(dictionary: Dictionary, x_TD: Array) -> Iterator[tuple[slice, Array]]:
    """The activations of some tokens after the other, [t, F], and which tokens these are."""
    for part in _parts(dictionary, x_TD):
        yield part, encode(dictionary, x_TD[part])


def activations_of(dictionary: Dictionary, x_TD: Array, features: list[int]) -> Array:
    """`encode_some` of many tokens, with no more of it held at once than `some_at_a_time` does."""
    return np.concatenate([encode_some(dictionary, x_TD[part], features) for part in _parts(dictionary, x_TD)])


def _parts(dictionary: Dictionary, x_TD: Array) -> Iterator[slice]:
    size = max(1, NUMBERS // dictionary.features)
    return (slice(start, min(start + size, len(x_TD))) for start in range(0, len(x_TD), size))


def explained_variance(x_TD: Array, rebuilt_TD: Array) -> float:
    """1 − Σ (x − x̂)² / Σ (x − mean)², the mean over the tokens; NaN where the vectors do not vary.

    The fraction of variance unexplained is 1 less this (Gao et al. 2024, "Scaling and evaluating sparse autoencoders").
    """
    x_TD, rebuilt_TD = x_TD.astype(np.float64), rebuilt_TD.astype(np.float64)
    whole = float(((x_TD - x_TD.mean(axis=0)) ** 2).sum())
    return 1 - float(((x_TD - rebuilt_TD) ** 2).sum()) / whole if whole else float("nan")
