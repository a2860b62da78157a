"""Decoding with tokens that are guessed from what stood before, and checked (`generate --lookup`)."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.report import Bench, compiled, milliseconds, say, table, times, title

if TYPE_CHECKING:
    from llminspect.model.opened import Model

SENTENCES = (
    "The harbour master counted seventeen boats before breakfast, wrote their names into the green book, and sent the "
    "boy to ask each captain how many barrels of salted herring he wished to unload before the tide turned at noon. "
)
TEXTS = {
    "a text is copied": SENTENCES + "Once more, word for word: " + SENTENCES[:60],
    "a story goes on": "Once upon a time, in a small village by the sea, there lived an old woman who",
}
TOKENS = 48
GUESSED = (0, 3, 8)


def lookup(bench: Bench) -> None:
    """Greedy text of the same length with none, some and many guesses a pass, on numpy and on compiled kernels."""
    from llminspect.opening import open_model

    title("Decoding with guesses")
    models = {"numpy": open_model(bench.model, offline=True)}
    if compiled():
        models["compiled, 4 bits"] = open_model(bench.model, offline=True, kernels="compiled")
    rows = []
    for what, text in TEXTS.items():
        for engine, model in models.items():
            alone, least = 0.0, list[int]()
            for most in GUESSED:
                runs = [_written(model, text, most) for _ in range(bench.rounds + 1)][1:]
                seconds, ids, passes = median(run[0] for run in runs), runs[0][1], runs[0][2]
                alone, least = (seconds, ids) if not most else (alone, least)
                if ids != least:
                    raise RuntimeError("guessing changed the text")
                faster = times(alone / seconds)
                rows.append((what, engine, most, milliseconds(seconds), f"{len(ids) / passes:.1f}", faster))
    table(("", "on", "guesses a pass", "a token", "tokens a pass", "as fast as without"), rows)
    say(f"{TOKENS} tokens, greedily, the prompt's pass shared out among them; the same text each time.")


def _written(model: Model, text: str, most: int) -> tuple[float, list[int], int]:
    """Seconds a token, the tokens, and the passes that they took."""
    from llminspect.analysis.completion import Limits, complete
    from llminspect.core.sampling import Sampling

    assert model.tokenizer is not None
    prompt = model.tokenizer.encode_ids(text)
    start = time.perf_counter()
    done = complete(model, prompt, Sampling(temperature=0), Limits(TOKENS, (), True), seed=None, lookup=most)
    seconds = time.perf_counter() - start
    return seconds / len(done.ids), done.ids, done.passes or len(done.ids)
