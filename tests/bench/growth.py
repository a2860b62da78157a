"""Memory, the lens, long texts, and how the cost grows with each size of the model."""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench.measure import interleaved, medians
from tests.bench.report import Bench, milliseconds, say, table, times, title, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.model.opened import Model

LENS_TOKENS = 512
LONG = 8192
MB = 1e6


def lens(bench: Bench) -> None:
    """What each layer would say at each of 512 positions, beside the products with the vocabulary alone."""
    from llminspect.analysis.lens import TOGETHER, lens_grid
    from llminspect.core.tap import Capture
    from llminspect.opening import open_model

    title("The lens over all layers")
    model = open_model(bench.model, offline=True)
    sizes, ids = model.config.sizes, some_ids(LENS_TOKENS)
    names = [f"layers.{layer}.output" for layer in range(sizes.L)]
    kept = Capture(*names)
    model.run(ids, kept)

    def products() -> None:
        for name in names:
            for start in range(0, LENS_TOKENS, TOGETHER):
                model.logits(kept[name][start : start + TOGETHER])

    def grid() -> object:
        streams = Capture(*names)
        model.run(ids, streams)
        return lens_grid(model, np.stack([streams.arrays.pop(name) for name in names]))

    rounds = max(1, bench.rounds // 3)
    contenders: dict[str, Callable[[], Any]] = {
        "pass": lambda: _seconds(lambda: model.run(ids, Capture(*names))),
        "products": lambda: _seconds(products),
        "lens": lambda: _seconds(grid),
    }
    seconds = medians(interleaved(contenders, rounds))
    most = _allocated(grid)
    ratio = seconds["lens"] / (seconds["pass"] + seconds["products"])
    table(("", "measured"), [
        (f"the pass of {LENS_TOKENS} tokens, streams kept", milliseconds(seconds["pass"])),
        (f"the products, {sizes.L} layers × {LENS_TOKENS} tokens × {sizes.V}", milliseconds(seconds["products"])),
        ("`lens_grid`: the pass, the products, the best token of each", milliseconds(seconds["lens"])),
        ("lens / (pass + products)", times(ratio)),
        ("most memory, beside the weights", f"{most / MB:.0f} MB"),
        ("layers × tokens × vocabulary would be", f"{4 * sizes.L * LENS_TOKENS * sizes.V / MB:,.0f} MB"),
    ])  # fmt: skip
    say(f"To reach: within 1.5 times the products: {verdict(ratio <= 1.5)}.")


def long_texts(bench: Bench) -> None:
    """Memory of a pass without capture, against its length; SmolLM2 is only asked for its numbers, not for sense."""
    from llminspect.opening import open_model

    title("Long texts without capture")
    model = open_model(bench.model, offline=True)
    heads = model.config.sizes.H
    rows, lengths, memory = [], (1024, 2048, 4096, LONG), []
    for tokens in lengths:
        ids = some_ids(tokens)
        start = time.perf_counter()
        memory.append(_allocated(lambda ids=ids: model.run(ids)))  # type: ignore[misc]
        seconds = time.perf_counter() - start
        whole = 4 * heads * tokens**2
        rows.append((tokens, milliseconds(seconds), f"{memory[-1] / MB:,.0f} MB", f"{whole / MB:,.0f} MB"))
    table(("tokens", "time", "most memory beside the weights", "the scores of one layer would be"), rows)
    exponent = fitted(lengths, memory)
    say(f"Memory grows with T to the power of {exponent:.2f}. To reach: about 1, not 2: {verdict(exponent < 1.3)}.")


def growth(bench: Bench) -> None:
    """Time of a pass against tokens, layers and width, on models of random weights; the exponent of the best line."""
    title("Growth")
    base = {"tokens": 256, "layers": 4, "width": 512}
    varied = {"tokens": (128, 256, 512, 1024, 2048), "layers": (2, 4, 8, 16), "width": (256, 512, 1024)}
    rows = []
    for what, values in varied.items():
        seconds = []
        for value in values:
            given = {**base, what: value}
            model, ids = random_model(given["layers"], given["width"]), some_ids(given["tokens"], 1000)
            run = {"pass": lambda model=model, ids=ids: _seconds(lambda: model.run(ids))}
            seconds.append(medians(interleaved(run, bench.rounds))["pass"])
        cells = ", ".join(f"{value}: {milliseconds(each)}" for value, each in zip(values, seconds, strict=True))
        rows.append((what, cells, f"{fitted(values, seconds):.2f}"))
    table(("", "time of a pass", "exponent"), rows)
    say(
        f"What is not varied is {base['tokens']} tokens, {base['layers']} layers, width {base['width']} "
        "(heads of 64, a feed-forward step 4 times as wide, a vocabulary of 1,000)."
    )


def memory(bench: Bench) -> None:
    """The most memory of a pass, beside the float32 weights."""
    from llminspect.core.tap import Capture
    from llminspect.opening import open_model

    title("Memory")
    model = open_model(bench.model, offline=True)
    weights = sum(array.nbytes for array in model.params.arrays.values())
    ids, rows, reached = some_ids(512), [], True
    for what, kept in (
        ("512 tokens, nothing kept", ()),
        ("512 tokens, all attention", ("layers.*.attention.weights",)),
    ):
        capture = Capture(*kept)
        most = _allocated(lambda capture=capture: model.run(ids, capture))  # type: ignore[misc]
        wanted = sum(array.nbytes for array in capture.arrays.values())
        ratio = (weights + most - wanted) / weights
        reached &= ratio <= 1.15
        rows.append((what, f"{weights / MB:.0f} MB", f"{wanted / MB:.0f} MB", f"{most / MB:.0f} MB", times(ratio)))
    table(("", "weights (mapped)", "kept", "most allocated", "(weights + allocated − kept) / weights"), rows)
    say(f"To reach: 1.15 times the weights: {verdict(reached)}.")


def random_model(layers: int, width: int) -> Model:
    """A Llama of that size, with random weights."""
    from llminspect.model.opened import Model
    from llminspect.model.params import Params
    from llminspect.model.registry import architecture_for
    from llminspect.model.spec import expanded_shape

    architecture = architecture_for("llama", "huggingface")
    config = architecture.config_from_huggingface(
        {
            "model_type": "llama",
            "hidden_act": "silu",
            "vocab_size": 1000,
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // 64,
            "num_key_value_heads": width // 64,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
        }
    )
    random = np.random.default_rng(0)
    arrays = {
        spec.name: random.standard_normal(expanded_shape(spec.shape, config.sizes), dtype=np.float32) / width**0.5
        for spec in architecture.tensors(config)
        if not spec.optional
    }
    return Model("random", architecture, config, Params(arrays), None)


def fitted(sizes: Any, costs: Any) -> float:
    """The exponent of the power that fits best: the slope of the line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def some_ids(tokens: int, vocabulary: int = 40000) -> list[int]:
    return [5 + (index * 7919) % (vocabulary - 5) for index in range(tokens)]


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _allocated(run: Callable[[], object]) -> float:
    """The most bytes of numpy's arrays and Python's objects that it held at once; mapped files do not count."""
    gc.collect()
    tracemalloc.start()
    try:
        run()
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
