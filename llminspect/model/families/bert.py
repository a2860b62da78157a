"""BERT and its kin RoBERTa and DistilBERT: encoders, in which every token sees every other.

Devlin et al. 2019, "BERT", section 3; Liu et al. 2019, "RoBERTa", section 4; Sanh et al. 2019, "DistilBERT", section 2.
The norm stands after each sum, as in Vaswani et al. 2017. Sentence encoders such as all-MiniLM are BERTs without the
head that predicts words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.core.array import mapped, namespace
from llminspect.core.embedding import look_up
from llminspect.core.feedforward import ACTIVATIONS
from llminspect.core.mask import hide
from llminspect.core.unembed import logits
from llminspect.errors import ModelError
from llminspect.model.spec import Pass, Sizes
from llminspect.model.steps import encoder_layer, layer_normed, learned_positions, output_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params


@dataclass(frozen=True)
class BertConfig:
    sizes: Sizes
    norm_epsilon: float
    activation: str
    positions: int
    """Rows of the position table."""
    segments: int
    """Rows of the table of segments; a text is all of segment 0."""
    padding_id: int | None = None
    """RoBERTa counts positions from after this id, and only tokens that are not it."""
    tied: bool = True
    causal: bool = False


def forward(
    params: Params,
    config: BertConfig,
    ids_T: Array,
    tap: Tap,
    cache: Cache | None = None,
    hidden_S: Array | None = None,
) -> Pass:
    """All of a text at once: a token sees those after it, so nothing can be kept for a longer text."""
    stream_TD = embed(params, config, ids_T, tap)
    mask_TS = hide(None, hidden_S)

    def step(
        index: int, layer: Mapping[str, Array], stream_TD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, None]:
        name, heads = f"layers.{index}", config.sizes.H
        stream_TD = encoder_layer(layer, stream_TD, heads, config.activation, config.norm_epsilon, tap, name, mask_TS)
        return stream_TD, None

    stream_TD, _ = params.through(step, stream_TD, config.sizes.L, tap)
    if "pooler.weight" in params and tap.wants("final.pooled"):
        # What the first token says of the whole text; no step of this program goes on from it.
        tap("final.pooled", namespace(stream_TD).tanh(mapped(params, "pooler", stream_TD[..., 0, :])))
    return Pass(stream_TD, None)


def embed(params: Params, config: BertConfig, ids_T: Array, tap: Tap) -> Array:
    """Token, position and segment, added and normed, [..., T, D]."""
    tokens_TD = tap("embedding.tokens", look_up(params["embedding.weight"], ids_T))
    sum_TD = tokens_TD + tap("embedding.positions", positions(params, config, ids_T))
    if config.segments:
        sum_TD = sum_TD + tap("embedding.segment", params["segment.weight"][0])
    sum_TD = tap("embedding.sum", sum_TD)
    return tap("embedding.output", layer_normed(params, "embedding.norm", sum_TD, config.norm_epsilon))


def positions(params: Params, config: BertConfig, ids_T: Array) -> Array:
    """The row of the position table for each token, [..., T, D]."""
    if config.padding_id is None:
        return learned_positions(params, 0, ids_T.shape[-1])
    xp = namespace(ids_T)
    learned_positions(params, config.padding_id + 1, ids_T.shape[-1])  # Refuses a text that is too long.
    counted_T = (ids_T != config.padding_id).astype(ids_T.dtype)
    return look_up(params["position.weight"], xp.cumsum(counted_T, axis=-1) * counted_T + config.padding_id)


def readout(params: Params, config: BertConfig, stream_TD: Array, tap: Tap) -> Array:
    """The head that predicts words: one more layer and norm, then the product with the vocabulary."""
    if "head.weight" not in params:
        raise ModelError("this model encodes text; it has no output matrix to predict words with")
    hidden_TD = ACTIVATIONS[config.activation](mapped(params, "head", stream_TD))
    hidden_TD = tap("final.norm", layer_normed(params, "head.norm", hidden_TD, config.norm_epsilon))
    return tap("final.logits", logits(hidden_TD, output_matrix(params), params["unembedding.bias"]))
