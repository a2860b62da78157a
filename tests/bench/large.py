"""Models as large as those that people have, beside llama.cpp: whole processes, what they held and what they wrote."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measure import PEERS, ROOT, THREADS, Worker, environment, interleaved
from tests.bench.report import Bench, compiled, say, table, times, title, verdict
from tests.bench.shapes import MIXTURES, SHAPES, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

LENGTHS = (8, 64, 512, 2048)
MOST_FOR_NUMPY = 64
"""Tokens up to which the pass on float32 weights is measured as well."""
MOST_CAPTURED = 512
"""Tokens up to which all attention is: 8 B of 2,048 has 17 GB of it."""
MEASURED = ("--measure", "entropy")
"""What `attend` says of every head: the weights themselves are too many for JSON from 64 tokens of 8 B on."""
WRITTEN = 16
LLAMA_CPP = "llama.cpp"
EXACT, ROUNDED, PLAIN = "llminspect", "`--precision int8`", "`--kernels none`"


@dataclass(frozen=True)
class Seen:
    """One run of a process."""

    seconds: float
    processor: float
    gigabytes: float
    """The most memory beside mapped files."""


def large(bench: Bench) -> None:
    """Passes and writing of each chosen size, in 4 bits of two kinds."""
    title("Models of 1.5 and 8 billion weights")
    chosen = bench.sizes or tuple(SHAPES)
    folder = tempfile.TemporaryDirectory(dir=bench.scratch) if bench.folder is None else nullcontext(bench.folder)
    with folder as where, tempfile.TemporaryDirectory(dir=bench.scratch) as home:
        for size in chosen:
            for mixture in MIXTURES:
                path = Path(where) / f"{size}-{mixture}.gguf"
                if not path.exists():
                    write(path, SHAPES[size], mixture)
                _of_file(bench, size, mixture, path, Path(home))
                if bench.folder is None:
                    path.unlink()


def _of_file(bench: Bench, size: str, mixture: str, path: Path, home: Path) -> None:
    shape = SHAPES[size]
    print(f"\n### {size}, {mixture}\n")
    say(
        f"{shape.layers} layers, width {shape.width}, {shape.vocabulary:,} tokens in the vocabulary: "
        f"{shape.parameters / 1e9:.2f} billion random weights in {path.stat().st_size / 1e9:.2f} GB."
    )
    rows: list[tuple[str, ...]] = []
    ratios: dict[int, float] = {}
    for tokens in bench.lengths or LENGTHS:
        contenders = _passes(bench, path, home, tokens)
        seen = interleaved(
            {name: partial(watched, command, home) for name, command in contenders.items()}, bench.rounds, 0
        )
        if not rows:
            _first_use(bench, path, contenders[EXACT])
        for name, runs in seen.items():
            rows.append((f"{tokens:,} tokens", name, *_columns(runs, seen.get(LLAMA_CPP))))
        if LLAMA_CPP in seen:
            ratios[tokens] = _median(seen[EXACT]) / _median(seen[LLAMA_CPP])
    table(("forward, whole process", "", "time", "× llama.cpp", "processor", "memory beside the file"), rows)
    written = sum(each.stat().st_size for each in home.rglob("*") if each.is_file())
    say(f"Written to disk by llminspect, for all of this: {written / 1e6:.1f} MB.")
    if ratios:
        reached = all(ratio <= 1.5 for tokens, ratio in ratios.items() if tokens <= 64)
        say(f"To reach: 8 and 64 tokens in at most 1.5 × llama.cpp's time: {verdict(reached)}.")
    _writing(bench, path)


def _passes(bench: Bench, path: Path, home: Path, tokens: int) -> dict[str, list[str]]:
    ids = ",".join(str(5 + index * 7919 % 40000) for index in range(tokens))
    ours = ["--ids", ids, "--json", "--offline", "--model", str(path)]
    found = {}
    if LLAMA_CPP in bench.installed:
        found[LLAMA_CPP] = [bench.peers_python, str(PEERS / "llama_cpp_script.py"), str(path), str(THREADS), ids]
    found[EXACT] = [*bench.program, "forward", *ours]
    if compiled():
        found[ROUNDED] = [*found[EXACT], "--precision", "int8"]
    if tokens <= MOST_CAPTURED:
        found["`attend`, all attention captured"] = [*bench.program, "attend", *ours, *MEASURED]
    if tokens <= MOST_FOR_NUMPY and bench.plain:
        found[PLAIN] = [*found[EXACT], "--kernels", "none"]
    return found


def _columns(runs: Sequence[Seen], peers: Sequence[Seen] | None) -> tuple[str, ...]:
    ratio = "" if peers is None else times(_median(runs) / _median(peers))
    return f"{_median(runs):.2f} s", ratio, f"{_processor(runs):.2f} s", f"{max(run.gigabytes for run in runs):.2f} GB"


def _processor(runs: Sequence[Seen]) -> float:
    return statistics.median(run.processor for run in runs)


def _median(runs: Sequence[Seen]) -> float:
    return statistics.median(run.seconds for run in runs)


def _first_use(bench: Bench, path: Path, command: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=bench.scratch) as fresh:
        first = watched(command, Path(fresh))
    say(f"First use, `forward`, nothing prepared: {first.seconds:.2f} s.")


def _writing(bench: Bench, path: Path) -> None:
    """Tokens a second, one after the other, once the model is open."""
    workers: dict[str, Callable[[], AbstractContextManager[Worker]]] = {}
    if LLAMA_CPP in bench.installed:
        workers[LLAMA_CPP] = partial(Worker, bench.peers_python, "use_llama_cpp.py", str(path), str(THREADS))
    workers[EXACT] = partial(Worker, sys.executable, "use_llminspect.py", str(path), "compiled")
    if compiled():
        workers[ROUNDED] = partial(Worker, sys.executable, "use_llminspect.py", str(path), "int8")
    with ExitStack() as stack:
        wanted = {
            name: partial(stack.enter_context(make()).ask, "decode", tokens=WRITTEN) for name, make in workers.items()
        }
        seconds = {name: statistics.median(taken) for name, taken in interleaved(wanted, bench.rounds).items()}
    peer = seconds.get(LLAMA_CPP)
    rows = [
        (name, f"{each * 1e3:,.0f} ms", f"{1 / each:.1f}", "" if peer is None else times(peer / each))
        for name, each in seconds.items()
    ]
    table(("one token after another", "a token", "tokens a second", "× llama.cpp's speed"), rows)
    if peer is not None:
        goals = [(name, least) for name, least in ((EXACT, 0.6), (ROUNDED, 0.9)) if name in seconds]
        reached = (f"{name} at least {least} ×: {verdict(peer / seconds[name] >= least)}" for name, least in goals)
        say(f"To reach: {'; '.join(reached)}.")


def watched(command: Sequence[str], home: Path) -> Seen:
    """Run a process to its end. RuntimeError: it failed, with the end of what it said."""
    with tempfile.TemporaryFile() as captured:
        start, most = time.perf_counter(), 0
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=captured,
            env=environment(LLMINSPECT_HOME=str(home)),
            cwd=ROOT,
        )
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            most = max(most, _anonymous(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            captured.seek(0)
            raise RuntimeError(f"{json.dumps(command)[:200]}: {captured.read().decode(errors='replace')[-400:]}")
    return Seen(seconds, usage.ru_utime + usage.ru_stime, most * 1024 / 1e9)


def _anonymous(process: int) -> int:
    """Kilobytes that are in memory and in no file, on Linux."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")), 0)
