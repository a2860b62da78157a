"""`explore`: how long the screen takes to follow, to start, and what 2,000 random keys leave in memory."""

from __future__ import annotations

import asyncio
import random
import resource
import statistics
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.bench.report import Bench

SENTENCE = "Alice gave Bob her book because she had read it twice"
TYPED = " and wanted to talk"
LETTERS = "abc1"


def keys_of() -> list[str]:
    """Every key but the one that leaves, and the one that writes a file."""
    from llminspect.commands.explore.keys import KEYS

    return [key for keys, action, _ in KEYS if action not in ("quit", "write") for key in keys.split(",")]


def soak(model: Model, *, keys: int, seed: int, text: str = "A cat sat.") -> list[int]:
    """Press so many random keys, letters among them; the memory in kB after each tenth of them."""
    return asyncio.run(_soak(model, keys, seed, text))


async def _soak(model: Model, keys: int, seed: int, text: str) -> list[int]:
    from llminspect.analysis.explore.kept import kept
    from llminspect.analysis.explore.session import Session
    from llminspect.analysis.explore.state import ExploreState
    from llminspect.commands.explore.app import Explorer

    draws, known, sizes = random.Random(seed), [*keys_of(), *LETTERS], list[int]()
    app = Explorer(Session(kept(model), ExploreState(text)))
    async with app.run_test(size=(90, 30)) as pilot:
        for number in range(keys):
            await pilot.press(draws.choice(known))
            if draws.random() < 0.05:
                await pilot.resize_terminal(draws.randint(30, 200), draws.randint(8, 60))
            if number % max(1, keys // 10) == 0:
                sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return sizes


async def _latencies(model: Model) -> tuple[list[float], float]:
    """Seconds from a key in the text to the new next tokens, and to the first screen with an answer."""
    from llminspect.analysis.explore.kept import kept
    from llminspect.analysis.explore.session import Session
    from llminspect.analysis.explore.state import ExploreState
    from llminspect.commands.explore.app import Explorer

    begun = time.perf_counter()
    app = Explorer(Session(kept(model), ExploreState(SENTENCE)))
    found = []

    async def until_done(pilot: Any) -> None:
        while not (app.shown.done and app.shown.state == app.session.state):
            await asyncio.sleep(0.001)

    async with app.run_test(size=(100, 30)) as pilot:
        await until_done(pilot)
        start = time.perf_counter() - begun
        await pilot.press("i")
        for letter in TYPED:
            begun = time.perf_counter()
            await pilot.press("space" if letter == " " else letter)
            await until_done(pilot)
            found.append(time.perf_counter() - begun)
    return found, start


def explore(bench: Bench) -> None:
    """On SmolLM2: from a key to the next tokens, the first screen, and the soak on a toy."""
    from llminspect.opening import open_model

    model = open_model("smollm2", offline=True)
    asyncio.run(_latencies(model))  # What is imported, and read from the disk, the first time.
    found, start = asyncio.run(_latencies(model))
    sizes = soak(open_model("toy-attention"), keys=2000, seed=7)
    print("\n### explore\n")
    print("| what | |\n|---|---|")
    print(f"| first screen with an answer, the model open | {start * 1000:.0f} ms |")
    print(f"| from a key in a sentence to its next tokens, median | {statistics.median(found) * 1000:.0f} ms |")
    print(f"| the slowest of {len(found)} | {max(found) * 1000:.0f} ms |")
    print(
        f"| 2,000 random keys: most memory after 200, after all | {sizes[1] / 1e3:.0f} MB, {sizes[-1] / 1e3:.0f} MB |"
    )
