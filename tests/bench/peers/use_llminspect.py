"""llminspect as a library: passes and decoding. Arguments: the model; jax, compiled or int8, if that is to compute."""

import sys
import threading
import time
from typing import Any

import numpy as np
from serve import ids, serve

from llminspect.core.tap import NO_TAP, Capture
from llminspect.opening import open_model

more: dict[str, Any] = {"compiled": {"kernels": "compiled"}, "int8": {"precision": "int8"}}
model = open_model(sys.argv[1], offline=True, **more.get("".join(sys.argv[2:]), {"kernels": "none"}))
if sys.argv[2:] == ["jax"]:
    from llminspect.backends.jax.settings import EngineSettings
    from llminspect.backends.jax.start import on_jax

    model = on_jax(model, EngineSettings())


PIECE = 1 << 20


def run(tokens: int, capture: bool = True) -> None:
    tap = Capture("layers.*.attention.weights") if capture else NO_TAP
    stream_TD = model.run(ids(tokens), tap).stream_TD
    model.logits(stream_TD[-1:])


def first(tokens: int, capture: bool = True) -> None:
    """As `run`, with nothing compiled yet."""
    model.engine.programs.clear()  # type: ignore[union-attr]
    run(tokens, capture)


def decode(tokens: int) -> float:
    """Seconds a token, greedily, after a prompt of 16."""
    done = model.run(ids(16))
    start = 0.0
    for index in range(tokens + 1):
        if index == 1:
            start = time.perf_counter()
        best = int(np.argmax(model.logits(done.stream_TD[-1:])))
        done = model.run([best], cache=done.cache)
    return (time.perf_counter() - start) / tokens


def read() -> float:
    """Seconds for every weight to come from memory once, on two threads: sums of whole pieces."""
    arrays = [model.params[name].reshape(-1) for name in model.params.arrays if "embedding" not in name]
    arrays.append(model.params["embedding.weight"].reshape(-1))
    pieces = [array[start : start + PIECE] for array in arrays for start in range(0, len(array), PIECE)]
    start = time.perf_counter()
    other = threading.Thread(target=lambda: [piece.sum() for piece in pieces[1::2]])
    other.start()
    for piece in pieces[::2]:
        piece.sum()
    other.join()
    return time.perf_counter() - start


serve(run=run, first=first, decode=decode, read=read)
