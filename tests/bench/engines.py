"""numpy and JAX side by side on this processor, the time to compile apart."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.bench.measure import Worker, interleaved, medians
from tests.bench.report import Bench, milliseconds, say, table, times, title

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTHS = (16, 128, 512)


def engines(bench: Bench) -> None:
    """Passes with and without all attention captured, and decoding."""
    title("numpy and JAX on the CPU")
    rows = []
    with (
        Worker(sys.executable, "use_llminspect.py", bench.model) as plain,
        Worker(sys.executable, "use_llminspect.py", bench.model, "jax") as compiled,
    ):

        def compare(what: str, do: str, **given: object) -> None:
            contenders: dict[str, Callable[[], float]] = {
                name: partial(worker.ask, do, **given) for name, worker in (("numpy", plain), ("jax", compiled))
            }
            seconds = medians(interleaved(contenders, bench.rounds))
            cost = "" if do == "decode" else milliseconds(compiled.ask("first", **given) - seconds["jax"])
            numpy, jax = seconds["numpy"], seconds["jax"]
            rows.append((what, milliseconds(numpy), milliseconds(jax), times(numpy / jax), cost))

        for tokens in LENGTHS:
            compare(f"{tokens} tokens in one pass", "run", tokens=tokens, capture=False)
            compare(f"{tokens} tokens, all attention captured", "run", tokens=tokens, capture=True)
        compare("one token after a cache", "decode", tokens=32)
    table(("", "numpy", "JAX", "numpy / JAX", "compiling, once a shape"), rows)
    say("Compiling is the first pass less one of those that follow. Decoding compiles twice in its first round.")
