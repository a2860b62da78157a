"""Prompts in one pass, and one token at a time."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench.measure import THREADS, Worker, interleaved, medians
from tests.bench.report import Bench, compiled, milliseconds, say, table, times, title, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTHS = (16, 128, 512, 1024)


def prompts(bench: Bench) -> None:
    """All attention captured, beside the same without capture and beside the peers."""
    title("Prompts in one pass, all attention captured")
    with ExitStack() as stack:
        llminspect = stack.enter_context(Worker(sys.executable, "use_llminspect.py", bench.model))
        workers = _torch_workers(bench, stack)
        rows, reached, ratios = [], True, True
        for tokens in LENGTHS:
            contenders: dict[str, Callable[[], float]] = {
                "captured": partial(in_a_row, llminspect, tokens=tokens),
                "plain": partial(in_a_row, llminspect, tokens=tokens, capture=False),
                **{name: partial(in_a_row, worker, tokens=tokens) for name, worker in workers.items()},
            }
            seconds = medians(interleaved(contenders, bench.rounds))
            cost = seconds["captured"] / seconds["plain"]
            ratios &= cost <= 1.25
            row = [tokens, milliseconds(seconds["captured"]), milliseconds(seconds["plain"]), times(cost)]
            for name in workers:
                ratio = seconds[name] / seconds["captured"]
                reached &= ratio >= 1.3
                row += [milliseconds(seconds[name]), times(ratio)]
            rows.append(row)
    head = ["tokens", "captured", "without", "captured / without"]
    for name in workers:
        head += [name, f"{name} / captured"]
    table(head, rows)
    say(
        "The fastest of three passes in a row, for everybody: memory that a virtual machine has handed back takes long."
    )
    say(f"To reach: captured within 1.25 times the pass without: {verdict(ratios)}."
        + (f" At least 1.3 times as fast as each peer: {verdict(reached)}." if workers else ""))  # fmt: skip


def in_a_row(worker: Worker, **what: Any) -> float:
    """Seconds of the fastest of three passes in a row.

    What the first one keeps may have to be fetched from far: a virtual machine took 2 s for the gigabyte that it had
    handed back.
    """
    return min(float(worker.ask("run", **what)) for _ in range(3))


def decoding(bench: Bench) -> None:
    """Greedy decoding after a prompt of 16 tokens, beside what reading the weights alone takes."""
    title("Decoding, one token at a time")
    with ExitStack() as stack:
        llminspect = stack.enter_context(Worker(sys.executable, "use_llminspect.py", bench.model))
        workers = {"llminspect": llminspect, **_torch_workers(bench, stack, lens=False)}
        if compiled():
            workers["llminspect, compiled, 4 bits"] = stack.enter_context(
                Worker(sys.executable, "use_llminspect.py", bench.model, "compiled")
            )
        if "llama.cpp" in bench.installed:
            from llminspect.files.locate import locate

            gguf = str(locate(bench.model, offline=True).path)
            workers["llama.cpp, 4 bits"] = stack.enter_context(
                Worker(bench.peers_python, "use_llama_cpp.py", gguf, str(THREADS))
            )
        crashed = [name for name, worker in workers.items() if worker is not llminspect and not _decodes(worker)]
        contenders = {
            name: partial(worker.ask, "decode", tokens=32) for name, worker in workers.items() if name not in crashed
        }
        seconds = medians(interleaved({"limit": partial(llminspect.ask, "read"), **contenders}, bench.rounds))
    if crashed:
        say(f"Ended with a crash of its own, so not measured: {', '.join(crashed)}.")
    limit = seconds.pop("limit")
    table(("", "a token", "tokens a second", "of the limit"), [
        ("the float32 weights read once: the limit", milliseconds(limit), f"{1 / limit:.1f}", "1.00"),
        *((name, milliseconds(each), f"{1 / each:.1f}", f"{limit / each:.2f}") for name, each in seconds.items()),
    ])  # fmt: skip
    say(f"To reach: 0.85 of the limit: {verdict(limit / seconds['llminspect'] >= 0.85)}.")
    if "transformers" in seconds:
        ratio = seconds["transformers"] / seconds["llminspect"]
        say(f"Twice as fast as transformers: {times(ratio)}, {verdict(ratio >= 2)}.")


def _decodes(worker: Worker) -> bool:
    """Whether a peer gets to the end of it at all."""
    try:
        worker.ask("decode", tokens=2)
    except RuntimeError:
        return False
    return True


def _torch_workers(bench: Bench, stack: ExitStack, lens: bool = True) -> dict[str, Worker]:
    scripts = {"transformers": "use_transformers.py", "TransformerLens": "use_transformer_lens.py"}
    return {
        name: stack.enter_context(Worker(bench.peers_python, script, str(bench.peers_folder), str(THREADS)))
        for name, script in scripts.items()
        if name in bench.installed and (lens or name != "TransformerLens")
    }
