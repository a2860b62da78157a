"""Cold starts: whole processes, from the shell's point of view."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.folder import encodings_folder
from tests.bench.measure import PEERS, interleaved, medians, run_process
from tests.bench.report import TEXT, Bench, milliseconds, say, table, times, title, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

READ_ONCE = """
import numpy, sys
weights = numpy.memmap(sys.argv[1], numpy.float32, "r")
weights.sum()
"""


def start(bench: Bench) -> None:
    """Help, tokens, attention, the next token."""
    title("Cold start")
    say(
        "Whole processes, weights prepared, the files in the system's cache; "
        f"median of {bench.rounds} runs that take turns."
    )
    commands = {
        "python -c 'import typer'": [sys.executable, "-c", "import typer"],
        "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
        "import numpy, read the weights once": [sys.executable, "-c", READ_ONCE, str(prepared_file(bench))],
        "llminspect --help": [*bench.program, "--help"],
        **{
            f"llminspect {name} TEXT --json": [*bench.program, name, TEXT, "--json", "--model", bench.model]
            for name in ("tokenize", "attend", "forward")
        },
        "llminspect tokenize TEXT --json -m o200k_base": [
            *bench.program,
            "tokenize",
            TEXT,
            "--json",
            "-m",
            "o200k_base",
        ],
    }
    if "ttok" in bench.installed:
        commands["ttok --encode (o200k_base)"] = [bench.peers_python, "-m", "ttok", "-m", "gpt-4o", "--encode", TEXT]
    if "transformers" in bench.installed:
        script = str(PEERS / "transformers_script.py")
        for name in ("attend", "forward"):
            commands[f"transformers: {name}"] = [bench.peers_python, script, name, str(bench.peers_folder), TEXT]
    tables = str(encodings_folder(bench.scratch))
    runs = interleaved({name: _runner(command, tables) for name, command in commands.items()}, bench.rounds)
    seconds = medians({name: [run.seconds for run in ran] for name, ran in runs.items()})
    megabytes = medians({name: [run.megabytes for run in ran] for name, ran in runs.items()})
    fastest = {name: min(run.seconds for run in ran) for name, ran in runs.items()}
    rows = [
        (f"`{name}`", milliseconds(seconds[name]), milliseconds(fastest[name]), f"{megabytes[name]:.0f} MB")
        for name in commands
    ]
    table(("process", "median", "fastest", "most memory"), rows)
    _targets(seconds)


def _runner(command: list[str], tables: str) -> Callable[[], object]:
    return lambda: run_process(command, TIKTOKEN_CACHE_DIR=tables)


def _targets(seconds: dict[str, float]) -> None:
    typer = seconds["python -c 'import typer'"]
    reading = seconds["import numpy, read the weights once"]
    help_ratio = seconds["llminspect --help"] / typer
    tokenize_ratio = seconds["llminspect tokenize TEXT --json"] / typer
    rows = [
        ("`--help` / import typer", times(help_ratio), "under 2.5×", verdict(help_ratio < 2.5)),
        ("`tokenize` / import typer", times(tokenize_ratio), "under 4×", verdict(tokenize_ratio < 4)),
    ]
    for name in ("attend", "forward"):
        ours = seconds[f"llminspect {name} TEXT --json"]
        rows.append(
            (
                f"`{name}` − reading the weights",
                milliseconds(ours - reading),
                "under 300 ms",
                verdict(ours - reading < 0.3),
            )
        )
        if f"transformers: {name}" in seconds:
            ratio = seconds[f"transformers: {name}"] / ours
            rows.append((f"transformers / `{name}`", times(ratio), "at least 15×", verdict(ratio >= 15)))
    table(("", "measured", "to reach", ""), rows)


def prepared_file(bench: Bench) -> Path:
    """The file of prepared weights, made if it is not there."""
    from llminspect.files.home import home
    from llminspect.files.locate import locate

    run_process([*bench.program, "forward", TEXT, "--json", "--model", bench.model])
    return next((home() / "prepared").glob(f"{locate(bench.model, offline=True).identity}*"))


def first_use(bench: Bench) -> None:
    """The GGUF opened, dequantized and prepared."""
    from llminspect.files.locate import locate

    title("First use")
    gguf = locate(bench.model, offline=True).path
    bare = {}

    def first() -> float:
        with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
            copy = Path(folder) / "model.gguf"
            shutil.copy(gguf, copy)
            home = str(Path(folder) / "home")
            command = [*bench.program, "forward", TEXT, "--json", "--model", str(copy)]
            seconds = run_process(command, LLMINSPECT_HOME=home).seconds
            bare["again"] = run_process(command, LLMINSPECT_HOME=home).seconds
        return seconds

    def repeated() -> float:
        return bare["again"]

    seconds = medians(interleaved({"first": first, "repeated": repeated}, bench.rounds))
    table(("`llminspect forward TEXT --json --model FILE.gguf`", "time"), [
        ("first use: opened, hashed, dequantized, prepared, answered", milliseconds(seconds["first"])),
        ("from then on", milliseconds(seconds["repeated"])),
    ])  # fmt: skip
    say(f"To reach: under 1.5 s for the first use: {verdict(seconds['first'] < 1.5)}.")
