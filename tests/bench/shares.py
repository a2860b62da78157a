"""Where the time of a pass goes."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest import mock

from tests.bench.growth import some_ids
from tests.bench.passes import LENGTHS
from tests.bench.report import Bench, milliseconds, say, table, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llminspect.model.opened import Model

INTO, ATTENTION, OUT = "norm, queries, keys, values", "attention", "output map, norm, feed forward"
STEPS = {"into_attention": INTO, "attend": ATTENTION, "out_of_mixers": OUT}


def shares(bench: Bench) -> None:
    """The parts of a layer, as the thread that waits for them sees them, all attention captured."""
    from llminspect.opening import open_model

    title("Where the time of a pass goes")
    model, rows = open_model(bench.model, offline=True), []
    for tokens in LENGTHS:
        runs = [_clocked(model, tokens) for _ in range(bench.rounds + 2)][2:]
        total = median(run["total"] for run in runs)
        parts = {name: median(run[name] for run in runs) for name in STEPS.values()}
        rest = total - sum(parts.values())
        rows.append((tokens, milliseconds(total), *(f"{part / total:.0%}" for part in (*parts.values(), rest))))
    table(("tokens", "a pass", *STEPS.values(), "the rest"), rows)
    say("In all layers together, all attention captured. From 448 tokens on each part is done by two threads.")


def _clocked(model: Model, tokens: int) -> dict[str, float]:
    from llminspect.core.tap import Capture

    seconds = dict.fromkeys(STEPS.values(), 0.0)
    with _watched(seconds):
        start = time.perf_counter()
        model.run(some_ids(tokens), Capture("layers.*.attention.weights"))
        seconds["total"] = time.perf_counter() - start
    return seconds


@contextmanager
def _watched(seconds: dict[str, float]) -> Iterator[None]:
    from llminspect.core import attention, threads

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments, **more)
            # The rows of a layer are handed to `by_rows` as a method of it.
            step = getattr(arguments[0], "__name__", function.__name__)
            seconds[STEPS[step]] += time.perf_counter() - start
            return result

        return run

    with ExitStack() as stack:
        stack.enter_context(mock.patch("llminspect.model.transformer.by_rows", timed(threads.by_rows)))
        stack.enter_context(mock.patch("llminspect.core.attention.attend", timed(attention.attend)))
        yield
