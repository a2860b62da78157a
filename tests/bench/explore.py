"""`explore`: how long the screen takes to follow, to start, and what 2,000 random keys leave in memory."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.report import milliseconds, say, table, title
from tests.bench.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.model.opened import Model
    from tests.bench.report import Bench

SENTENCE = "Alice gave Bob her book because she had read it twice"
TYPED = " and wanted to talk"
LETTERS = "abc1"
TAKEN = 15


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


@dataclass(frozen=True)
class Pressed:
    """What some keys took, from each to the last of its answer."""

    seconds: list[float]
    processor: float
    """Seconds that processors worked for each, on average, the wait after it with it."""

    def shown(self) -> list[str]:
        return [milliseconds(of) for of in (statistics.median(self.seconds), max(self.seconds), self.processor)]


def _pressed(terminal: Terminal, keys: Sequence[bytes]) -> Pressed:
    before = terminal.processor()
    seconds = [terminal.press(key) for key in keys]
    return Pressed(seconds, (terminal.processor() - before) / len(keys))


def _ours(bench: Bench, typed: str, *options: str) -> list[str]:
    """The first screen with an answer; each letter to the next tokens; Enter, which takes the most probable token; the
    memory."""
    terminal = Terminal([*bench.program, "explore", SENTENCE, "--model", bench.model, *options], b"%")
    start = terminal.started()
    terminal.send(b"i")
    letters = _pressed(terminal, [letter.encode() for letter in typed])
    terminal.send(b"\r")  # Out of the text.
    taken = _pressed(terminal, [b"\r"] * TAKEN)
    return [milliseconds(start), *letters.shown(), *taken.shown(), f"{terminal.leave(b'q') / 1e6:.0f} MB"]


def _token_explorer(bench: Bench, checkout: Path) -> list[str]:
    """The same of token-explorer, which has a text of a file, and takes the most probable token with l."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "token-explorer")
        shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns(".git"))
        settings = (folder / "config.toml").read_text("utf-8")
        theirs = settings.replace("Qwen/Qwen2.5-0.5B", str(bench.peers_folder.resolve()))
        assert theirs != settings, "its config.toml names another model"
        (folder / "config.toml").write_text(theirs, "utf-8")
        (folder / "sentence.txt").write_text(SENTENCE, "utf-8")
        python = os.environ.get("LLMINSPECT_TOKEN_EXPLORER_PYTHON", bench.peers_python)
        terminal = Terminal([python, "main.py", "--input", "sentence.txt"], b"0.", folder)
        start = terminal.started()
        taken = _pressed(terminal, [b"l"] * TAKEN)
        return [milliseconds(start), *["none"] * 3, *taken.shown(), f"{terminal.leave(bytes([0x11])) / 1e6:.0f} MB"]


def explore(bench: Bench) -> None:
    """On SmolLM2: from a key to the next tokens, the first screen, memory; and the soak on a toy."""
    from llminspect.opening import open_model

    title("explore")
    _ours(bench, TYPED[:1])  # What is read from the disk the first time.
    rows = [["explore", *_ours(bench, TYPED)]]
    checkout = os.environ.get("LLMINSPECT_TOKEN_EXPLORER")
    if checkout:
        rows.append(["token-explorer", *_token_explorer(bench, Path(checkout))])
    of_keys = ["median", "slowest", "processor"]
    head = ["", "first answer", *(f"{what}, {of}" for what in ("letter", "token taken") for of in of_keys), "memory"]
    table(head, rows)
    say("From a key to the last of the next tokens on the terminal. Processor: the work of all cores for a key.")
    if not checkout:
        say("token-explorer was not measured: `LLMINSPECT_TOKEN_EXPLORER` names a checkout of willkurt/token-explorer, "
            "`LLMINSPECT_TOKEN_EXPLORER_PYTHON` an interpreter that has what it needs.")  # fmt: skip
    sizes = soak(open_model("toy-attention"), keys=2000, seed=7)
    say(
        f"2,000 random keys: most memory after 200 of them {sizes[1] / 1e3:.0f} MB, after all {sizes[-1] / 1e3:.0f} MB."
    )
