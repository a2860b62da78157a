"""One more token of a text through all layers in one call of compiled code (token.c), where nobody looks on.

Of decoders of Llama's kind (Touvron et al. 2023, "LLaMA", section 2.2), with biases and norms of queries and keys as
Qwen has them, and matrices as the file quantizes them. Every other model goes step by step, and so does every pass that
is looked at.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from llminspect.backends.kernels.library import Matrix, address, library
from llminspect.backends.kernels.matrices import BESIDE, UNIT, Blocks, Row
from llminspect.core.array import Array
from llminspect.core.cache import Cache, LayerCache
from llminspect.core.feedforward import Glu
from llminspect.core.threads import number
from llminspect.model.config import Config, DecoderConfig
from llminspect.model.params import OnDemand, Params
from llminspect.model.sizes import Sizes

INTO = ("attention.query", "attention.key", "attention.value")
OUTPUT, WIDE, DOWN = ("attention.output",), ("feedforward.gate", "feedforward.up"), ("feedforward.down",)
NORMS = ("attention.norm.weight", "feedforward.norm.weight")
NEEDED = {*NORMS, *(f"{name}.weight" for name in (*INTO, *OUTPUT, *WIDE, *DOWN))}
HEAD_NORMS = ("attention.query.norm.weight", "attention.key.norm.weight")
ALLOWED = NEEDED | {*HEAD_NORMS, *(f"{name}.bias" for name in INTO)}
"""Of a layer's arrays: one more is one step more, which the compiled code has not."""
FREE = {"sizes", "norm_epsilon", "scale", "rotary", "tied", "biased", "head_norms", "window", "windowed"} | {
    *("embedding_scale", "logit_cap", "logit_scale", "layers_after")  # Before the layers and after them.
}
"""Settings that may have any value here; all others have that of a plain decoder."""
FREE_SIZES = {"L", "D", "H", "K", "E", "F", "V", "context"}


class _Layer(ctypes.Structure):
    """As `token_layer` in token.c."""

    _fields_: ClassVar = [
        *(
            (name, ctypes.c_void_p)
            for name in ("attention_norm", "feedforward_norm", "biases", "query_norm", "key_norm", "order")
        ),
        *(("into", Matrix * 3), ("output", Matrix), ("wide", Matrix * 2), ("down", Matrix)),
    ]


class _Shape(ctypes.Structure):
    """As `token_shape` there."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int) for name in ("threads", "digits", "interleaved")),
        *((name, ctypes.c_float) for name in ("epsilon", "scale")),
        *((name, ctypes.c_ssize_t) for name in ("layers", "width", "inner", "heads", "keys", "of_head", "pairs")),
    ]


class OneToken:
    """A model's layers for one more token: `one_token(stream_1D, rotation_1P, cache)`."""

    def __init__(self, params: Params, config: DecoderConfig, digits: int) -> None:
        sizes, self._window = config.sizes, config.window if config.windowed else None
        self._kept: list[Array] = []
        """What is pointed at from C."""
        self._layers = (_Layer * sizes.L)(*(self._layer(params.layer(index)) for index in range(sizes.L)))
        interleaved, pairs = config.rotary.pairs == "interleaved", config.rotary.width // 2
        numbers = (config.norm_epsilon, config.scale, sizes.L, sizes.D, sizes.F, sizes.H, sizes.K, sizes.E, pairs)
        self._shape = _Shape(number(), digits, interleaved, *numbers)
        widest = max(sizes.D, sizes.F, sizes.H * sizes.E)
        self._room = len(INTO) * widest // UNIT * (UNIT * digits + BESIDE) + UNIT
        made = (sizes.H + 2 * sizes.K) * sizes.E
        self._scratch = sizes.D + made + sizes.H * sizes.E + max(2 * sizes.F, made)
        self._call = ctypes.addressof(self._shape), ctypes.addressof(self._layers)
        self._library = library()

    def __call__(
        self, stream_1D: Array, rotation_1P: Sequence[Array], cache: Cache
    ) -> tuple[Array, tuple[LayerCache, ...]] | None:
        """The stream after the last layer, and what the layers have seen; None where it has to go step by step: beyond
        a window, or with numbers that have no digits near enough (pieces.h)."""
        before = cache.length
        if stream_1D.dtype != np.float32 or (self._window is not None and before >= self._window):
            return None
        seen = tuple(layer.longer(1) for layer in cache.layers)
        rooms = [number for layer in seen for number in _room(layer)]
        stream_1D, cosines, sines = (np.array(each, np.float32) for each in (stream_1D, *rotation_1P))
        scores = self._shape.threads * (before + 8)
        scratch, room = np.empty(self._scratch + scores, np.float32), np.empty(self._room, np.uint8)
        vectors = [address(array) for array in (cosines, sines, stream_1D, scratch, room)]
        kept = (ctypes.c_ssize_t * len(rooms))(*rooms)
        done = self._library.token_through_layers(*self._call, kept, before, *vectors)
        return (stream_1D, seen) if done else None

    def _layer(self, arrays: Mapping[str, Any]) -> _Layer:
        parts = ([self._matrix(arrays[f"{name}.weight"]) for name in names] for names in (INTO, OUTPUT, WIDE, DOWN))
        into, (output,), wide, (down,) = parts
        biases = [
            np.zeros(len(arrays[f"{name}.weight"]), np.float32) if bias is None else bias
            for name, bias in ((name, arrays.get(f"{name}.bias")) for name in INTO)
        ]
        joined = np.concatenate(biases) if any(f"{name}.bias" in arrays for name in INTO) else None
        vectors = [self._pointed(array) for array in (*map(arrays.get, NORMS), joined, *map(arrays.get, HEAD_NORMS))]
        order = self._order([arrays[f"{name}.weight"] for name in INTO])
        return _Layer(*vectors, order, (Matrix * 3)(*into), output, (Matrix * 2)(*wide), down)

    def _order(self, matrices: Sequence[Blocks]) -> int | None:
        """Where the products of each row lie that are made together; None where they are in order."""
        parts = Row(matrices).parts
        if all(isinstance(part, slice) for part in parts):
            return None
        places_O = np.arange(sum(map(len, matrices)), dtype=np.int32)
        self._kept.append(np.concatenate([places_O[part] for part in parts]))
        return int(self._kept[-1].ctypes.data)

    def _matrix(self, matrix: Blocks) -> Matrix:
        self._kept.append(matrix._blocks_OB)
        return Matrix(*matrix._matrix, len(matrix))

    def _pointed(self, array: Array | None) -> int | None:
        if array is None:
            return None
        self._kept.append(np.ascontiguousarray(array, np.float32))
        return int(self._kept[-1].ctypes.data)


def _room(layer: LayerCache) -> tuple[int, int, int]:
    """As `token_room` in token.c."""
    key_KSE, value_KSE = layer.key_KSE, layer.value_KSE
    addresses = (array.__array_interface__["data"][0] for array in (key_KSE, value_KSE))
    return (*addresses, key_KSE.strides[0] // key_KSE.itemsize)


def one_token(params: Params, config: Config) -> OneToken | None:
    """What takes one more token through the layers of these arrays in one call; None where the model does anything more
    than compiled code knows, or has a matrix that is multiplied with otherwise."""
    if type(config) is not DecoderConfig or isinstance(params.arrays, OnDemand):
        return None
    sizes, rotary = config.sizes, config.rotary
    plain = all(getattr(config, each.name) == each.default for each in fields(config) if each.name not in FREE)
    usual_sizes = all(
        getattr(sizes, each.name) == each.default for each in fields(Sizes) if each.name not in FREE_SIZES
    )
    if not plain or not usual_sizes or config.unit != Glu("silu") or rotary.growth is not None:
        return None
    if sizes.E % 8 or sizes.H % sizes.K or rotary.width > sizes.E or sizes.D % UNIT or sizes.F % UNIT:
        return None
    layers = [params.layer(index) for index in range(sizes.L)]
    if not all(NEEDED <= set(arrays) <= ALLOWED for arrays in layers):
        return None
    matrices = [arrays[name] for arrays in layers for name in NEEDED.difference(NORMS)]
    digits = {matrix._digits if isinstance(matrix, Blocks) else 0 for matrix in matrices}
    head_norms = [arrays[name] for arrays in layers for name in HEAD_NORMS if name in arrays]
    if len(digits) != 1 or 0 in digits or any(array.shape != (sizes.E,) for array in head_norms):
        return None
    return OneToken(params, config, digits.pop())
