"""Models small enough to check by hand; their numbers are exact.

`toy` is the whole process with the smallest matrices that show it: a vocabulary of three words, two numbers a word,
output = e W + b, logits = output · Eᵀ.

`toy-relu` is a feed-forward step: h = W e + b, a = max(h, 0), output = W₂ a + b₂, whole numbers throughout. Each word
leads to the next of three. Without the activation another would follow.

`toy-attention` is one attention head over "A cat sat.". The four numbers of a query say how much a word looks for an
article, a noun, a verb, a full stop; those of a key say which of them it is. `cat` looks for its verb (4) and its
article (2), so it finds `sat` first and `A` second, and takes along what they offer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from llminspect.core import attention
from llminspect.core.array import Array, look_up, namespace, overwrite
from llminspect.core.cache import Cache, Pass, extend, span
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import plain
from llminspect.core.mask import causal_mask, hide
from llminspect.core.tap import Tap
from llminspect.core.unembed import logits
from llminspect.errors import ModelError
from llminspect.model import toy_induction as induction
from llminspect.model import toy_translation as translation
from llminspect.model.config import Config, Sizes
from llminspect.model.params import Params
from llminspect.model.spec import Architecture, TensorSpec
from llminspect.model.transformer import encode_source


@dataclass(frozen=True, kw_only=True)
class ToyConfig(Config):
    activation: str = "none"  # f(h) = h.
    norm_epsilon: float = 0.0


@dataclass(frozen=True)
class Toy:
    """A built-in model: everything that a file would hold."""

    architecture: Architecture
    config: Config
    params: Params
    vocabulary: tuple[str, ...]
    special: tuple[str, ...] = ()
    """Words that no text has; of an encoder–decoder the target starts with the first."""
    ends: tuple[str, ...] = ()
    """Words after which nothing is written."""


def _not_in_files(_: Any) -> ToyConfig:
    raise ModelError("the toy models are built in; no file holds one")


def _specs(config: ToyConfig, shapes: Mapping[str, str]) -> list[TensorSpec]:
    """Of the embedding and of the one layer's arrays, by their names in it."""
    layer = [TensorSpec(f"layers.0.{name}", shape) for name, shape in shapes.items()]
    return [TensorSpec("embedding.weight", "V D"), *layer]


def hand_forward(
    params: Params, config: ToyConfig, ids_T: Array, tap: Tap, cache: Cache | None = None, hidden_S: Array | None = None
) -> Pass:
    """output = e W + b, or W₂ f(W e + b) + b₂, each word alone: nothing is added to a stream."""
    stream_TD = tap("layers.0.input", tap("embedding.output", look_up(params["embedding.weight"], ids_T)))
    layer, name = params.layer(0), "layers.0.feedforward"
    if "feedforward.down.weight" in layer:
        stream_TD = plain(stream_TD, layer, "feedforward", activation=config.ungated, tap=tap, name=name)
    else:  # Nothing is bent: f(h) = h.
        hidden_TF = overwrite("add", stream_TD @ layer["feedforward.weight"], layer["feedforward.bias"])
        stream_TD = tap(f"{name}.activation", tap(f"{name}.hidden", hidden_TF))
    stream_TD = tap("layers.0.output", tap(f"{name}.output", stream_TD))
    return Pass(stream_TD, Cache((cache.length if cache else 0) + ids_T.shape[-1]))


def attention_forward(
    params: Params, config: ToyConfig, ids_T: Array, tap: Tap, cache: Cache | None = None, hidden_S: Array | None = None
) -> Pass:
    """q = e Wq, k = e Wk, v = e Wv, one head, and its result added to the stream."""
    xp, sizes, name = namespace(ids_T), config.sizes, "layers.0.attention"
    tokens = ids_T.shape[-1]
    start, keys, first = span(cache, tokens)
    stream_TD = tap("layers.0.input", tap("embedding.output", look_up(params["embedding.weight"], ids_T)))
    layer = params.layer(0)
    query_HTE, key_KTE, value_KTE = (
        tap(f"{name}.{part}", attention.split_heads(stream_TD @ layer[f"attention.{part}.weight"], heads))
        for part, heads in (("query", sizes.H), ("key", sizes.K), ("value", sizes.K))
    )
    seen = extend(cache, 0, key_KTE, value_KTE)
    mask_TS = causal_mask(xp, tokens, keys, first=first) if config.causal else None
    mixed_HTE = attention.attend(
        query_HTE,
        seen.key_KSE,
        seen.value_KSE,
        scale=sizes.E**-0.5,
        mask_TS=hide(mask_TS, hidden_S),
        tap=tap,
        name=name,
    )
    added_TD = tap(f"{name}.output", attention.merge_heads(mixed_HTE))
    stream_TD = tap("layers.0.output", tap("layers.0.middle", stream_TD + added_TD))
    return Pass(stream_TD, Cache(start + tokens, (seen,)))


def readout(params: Params, config: ToyConfig, stream_TD: Array, tap: Tap) -> Array:
    """logits = output · Eᵀ: the embedding matrix read the other way round."""
    return tap("final.logits", logits(tap("final.norm", stream_TD), params["embedding.weight"]))


HAND = {"feedforward.weight": "D F", "feedforward.bias": "F"}
UP = {"feedforward.up.weight": "F D", "feedforward.up.bias": "F"}
RELU = {**UP, "feedforward.down.weight": "D F", "feedforward.down.bias": "D"}
HEAD = {"attention.query.weight": "D HE", "attention.key.weight": "D KE", "attention.value.weight": "D KE"}


def _array(rows: Any) -> Array:
    return np.array(rows, dtype=np.float32)


def _toy() -> Toy:
    architecture = Architecture("toy", _not_in_files, partial(_specs, shapes=HAND), hand_forward, readout)
    sizes = Sizes(L=1, D=2, H=0, K=0, E=0, F=2, V=3, context=1024)
    arrays = {
        "embedding.weight": _array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]),
        "layers.0.feedforward.weight": _array([[1, 2], [3, 4]]),
        "layers.0.feedforward.bias": _array([0.5, 0.5]),
    }
    return Toy(architecture, ToyConfig(sizes=sizes), Params(arrays), ("hello", "world", "!"))


def _toy_relu() -> Toy:
    architecture = Architecture("toy-relu", _not_in_files, partial(_specs, shapes=RELU), hand_forward, readout)
    sizes = Sizes(L=1, D=2, H=0, K=0, E=0, F=3, V=3, context=1024)
    arrays = {
        "embedding.weight": _array([[1, 0], [0, 1], [-1, 1]]),
        # A row a hidden unit: what it waits for.
        "layers.0.feedforward.up.weight": _array([[1, -1], [1, 2], [-1, 1]]),
        "layers.0.feedforward.up.bias": _array([1, 0, -1]),
        # A column a hidden unit: what it writes.
        "layers.0.feedforward.down.weight": _array([[1, -1, 4], [2, 0, 1]]),
        "layers.0.feedforward.down.bias": _array([0, 1]),
    }
    return Toy(architecture, ToyConfig(sizes=sizes, activation="relu"), Params(arrays), ("hello", "world", "!"))


def _toy_attention() -> Toy:
    architecture = Architecture(
        name="toy-attention",
        read_huggingface=_not_in_files,
        tensors=partial(_specs, shapes=HEAD),
        forward=attention_forward,
        readout=readout,
        only_causal=frozenset(),
    )
    sizes = Sizes(L=1, D=4, H=1, K=1, E=4, F=0, V=4, context=1024)
    arrays = {
        "embedding.weight": _array(np.eye(4)),
        # A row a word: how much it looks for an article, a noun, a verb, a full stop.
        "layers.0.attention.query.weight": _array([[0, 4, 0, 0], [2, 0, 4, 0], [0, 4, 0, 2], [0, 0, 4, 0]]),
        "layers.0.attention.key.weight": _array(np.eye(4)),
        # What it offers to whoever finds it: one of them, an animal, something done, an end.
        "layers.0.attention.value.weight": _array([[1, 0, 0, 0], [0, 2, 0, 0], [0, 1, 3, 0], [0, 0, 0, 1]]),
    }
    return Toy(architecture, ToyConfig(sizes=sizes, causal=False), Params(arrays), ("A", "cat", "sat", "."))


def _toy_translate() -> Toy:
    architecture = Architecture(
        name="toy-translate",
        read_huggingface=_not_in_files,
        tensors=translation.tensors,
        encode_source=encode_source,
        capabilities=frozenset({"generate", "source"}),
    )
    words, params = tuple(translation.WORDS), Params(translation.arrays())
    return Toy(architecture, translation.CONFIG, params, words, (translation.START,), (translation.END,))


def _toy_induction() -> Toy:
    architecture = Architecture("toy-induction", _not_in_files, induction.tensors)
    return Toy(architecture, induction.CONFIG, Params(induction.arrays()), induction.WORDS)


TOYS = {
    "toy": _toy,
    "toy-relu": _toy_relu,
    "toy-attention": _toy_attention,
    "toy-induction": _toy_induction,
    "toy-translate": _toy_translate,
}
