"""Tokenizing: five words in a fresh process, and 100 MB of source text counted, whole and line by line."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.folder import encodings_folder
from tests.bench.measure import Ran, interleaved, medians, run_process
from tests.bench.report import TEXT, Bench, milliseconds, say, table, times, title, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BYTES = 100_000_000
PART = 10_000_000
"""Bytes for a tokenizer that takes minutes for the whole."""
ENCODE = "import sys, tiktoken; print(tiktoken.get_encoding(sys.argv[1]).encode(sys.argv[2]))"
READ = "import sys, tiktoken; text = open(sys.argv[1], encoding='utf-8', newline='').read()\n"
ORDINARY = READ + "print(len(tiktoken.get_encoding('o200k_base').encode_ordinary(text)))"
BATCH = (
    READ + "lines = text.splitlines(keepends=True); size = 2000\n"
    "blocks = [''.join(lines[i : i + size]) for i in range(0, len(lines), size)]\n"
    "encode = tiktoken.get_encoding('o200k_base').encode_ordinary_batch\n"
    "print(sum(map(len, encode(blocks, num_threads=int(sys.argv[2])))))"
)
OPENAI_MODELS = {"o200k_base": "gpt-4o", "cl100k_base": "gpt-4"}
"""By which ttok knows the encodings."""


def tokens(bench: Bench) -> None:
    """`tokenize` of five words from a cold start."""
    title("Five words to tokens, cold")
    say(f"Whole processes; median and fastest of {bench.rounds} runs that take turns.")
    commands = {
        f"llminspect tokenize TEXT --json -m {name}": [*bench.program, "tokenize", TEXT, "--json", "-m", name]
        for name in (bench.model, *OPENAI_MODELS)
    }
    if "ttok" in bench.installed:
        for name, model in OPENAI_MODELS.items():
            commands[f"ttok --encode ({name})"] = [bench.peers_python, "-m", "ttok", "-m", model, "--encode", TEXT]
            commands[f"python -c 'import tiktoken; …' ({name})"] = [bench.peers_python, "-c", ENCODE, name, TEXT]
    ran = _run(bench, commands)
    fastest = {name: min(run.seconds for run in runs) for name, runs in ran.items()}
    seconds = medians({name: [run.seconds for run in runs] for name, runs in ran.items()})
    head = ("process", "median", "fastest")
    table(head, [(f"`{name}`", milliseconds(seconds[name]), milliseconds(fastest[name])) for name in commands])
    peers = [name for name in commands if not name.startswith("llminspect")]
    if not peers:
        return
    rows = []
    for ours in (name for name in commands if name.startswith("llminspect")):
        encoding = ours.rpartition(" ")[2]
        against = [name for name in peers if encoding in name] or peers
        ratio = min(seconds[name] for name in against) / seconds[ours]
        rows.append((f"the fastest peer / `{ours}`", times(ratio), "over 1×", verdict(ratio > 1)))
    table(("median", "measured", "to reach", ""), rows)


def counting(bench: Bench) -> None:
    """`tokenize --count` of a long text, on one core and on two."""
    title("100 MB counted with o200k_base")
    say(
        f"Whole processes on Python's own library and packages as text; the fastest of {bench.rounds} runs that take "
        "turns. Processor seconds do not count what else the machine did meanwhile."
    )
    text = str(long_text(bench.scratch))
    ours = [*bench.program, "tokenize", "--count", "-m", "o200k_base", "--file", text, "--workers"]
    commands = {"llminspect, 1 worker": [*ours, "1"], "llminspect, 2 workers": [*ours, "2"]}
    if "ttok" in bench.installed:
        peer = bench.peers_python
        commands["ttok"] = ["sh", "-c", '"$0" -m ttok -m gpt-4o < "$1"', peer, text]
        commands["tiktoken encode_ordinary"] = [peer, "-c", ORDINARY, text]
        for threads in ("1", "2"):
            commands[f"tiktoken encode_ordinary_batch, {threads} threads"] = [peer, "-c", BATCH, text, threads]
    ran = _run(bench, commands)
    fastest, memory = _figures(ran)
    rows = []
    one, two = "llminspect, 1 worker", "llminspect, 2 workers"
    peers = [name for name in commands if not name.startswith("llminspect")]
    if peers:
        single = [name for name in peers if "2 threads" not in name]
        for what, among, own_name, least in (
            ("the best peer on one core / 1 worker", single, one, 0.9),
            ("the best peer / 2 workers", peers, two, 1.6),
        ):
            ratio = min(fastest[name] for name in among) / fastest[own_name]
            rows.append((what, times(ratio), f"at least {least}×", verdict(ratio >= least)))
    most = max(memory[one], memory[two])
    rows.append(("most memory of a worker", f"{most:.0f} MB", "under 200 MB", verdict(most < 200)))
    table(("fastest runs", "measured", "to reach", ""), rows)
    by_line(bench, text)


def by_line(bench: Bench, text: str) -> None:
    """`tokenize --lines` of the same text, on one core and on two, beside counting it; also with a tokenizer whose file
    cuts by digits, and with one that is not bytes and puts tokens around a text."""
    title("100 MB as lines")
    rounds = max(1, bench.rounds // 3)
    say(
        "`tokenize --lines`, a JSON document of all tokens for each line, thrown away, beside `tokenize --count`; the "
        f"fastest of {rounds} runs that take turns. minilm, the slowest, reads the first {PART // 1_000_000} MB."
    )
    names = ("o200k_base", "smollm2", "minilm")
    part = str(part_of_text(bench.scratch))
    commands = {}
    for model in names:
        ours = [*bench.program, "tokenize", "-m", model, "--quiet", "--file", part if model == "minilm" else text]
        commands[f"{model}, counted"] = [*ours, "--count", "--workers", "1"]
        commands[f"{model}, lines"] = [*ours, "--lines", "--workers", "1"]
    two = f"{names[0]}, lines, 2 workers"
    commands[two] = [*commands[f"{names[0]}, lines"][:-1], "2"]
    ran = _run(bench, commands, rounds, warm_up=0)
    fastest, memory = _figures(ran)
    worked = {name: min(run.processor for run in runs) for name, runs in ran.items()}
    rows = []
    for model in names:
        ratio = worked[f"{model}, lines"] / worked[f"{model}, counted"]
        what = f"processor seconds, {model}: lines / counted"
        rows.append((what, times(ratio), "at most 4×", verdict(ratio <= 4)))
    most = max(memory.values())
    rows.append(("o200k_base: 1 worker / 2 workers", times(fastest[f"{names[0]}, lines"] / fastest[two]), "", ""))
    rows.append(("most memory of a process", f"{most:.0f} MB", "under 200 MB", verdict(most < 200)))
    table(("fastest runs", "measured", "to reach", ""), rows)


def _figures(ran: Mapping[str, Sequence[Ran]]) -> tuple[dict[str, float], dict[str, float]]:
    """Print what the runs took; the seconds of the fastest and the most megabytes, by name."""
    fastest = {name: min(run.seconds for run in runs) for name, runs in ran.items()}
    worked = {name: min(run.processor for run in runs) for name, runs in ran.items()}
    memory = {name: max(run.megabytes for run in runs) for name, runs in ran.items()}
    table(
        ("process", "seconds", "processor seconds", "most memory of a process"),
        [(n, f"{fastest[n]:.2f}", f"{worked[n]:.2f}", f"{memory[n]:,.0f} MB") for n in ran],
    )
    return fastest, memory


def long_text(scratch: Path) -> Path:
    """100 MB of source text: Python's library and the installed packages, from the start again where that is less."""
    place = scratch / "source.txt"
    if place.exists() and place.stat().st_size == BYTES:
        return place
    paths = sysconfig.get_paths()
    files = [file for folder in (paths["stdlib"], paths["purelib"]) for file in sorted(Path(folder).rglob("*.py"))]
    with place.open("wb") as out:
        while out.tell() < BYTES:
            for file in files:
                data = file.read_bytes()
                if data.isascii():  # So that the text may be cut at any byte.
                    out.write(data)
        out.truncate(BYTES)
    return place


def part_of_text(scratch: Path) -> Path:
    """The beginning of `long_text`."""
    place = scratch / "part.txt"
    with long_text(scratch).open("rb") as whole:
        place.write_bytes(whole.read(PART))
    return place


def _run(
    bench: Bench, commands: Mapping[str, Sequence[str]], rounds: int | None = None, warm_up: int = 1
) -> dict[str, list[Ran]]:
    tables = str(encodings_folder(bench.scratch))

    def runner(command: Sequence[str]) -> Callable[[], Ran]:
        return lambda: run_process(command, TIKTOKEN_CACHE_DIR=tables)

    return interleaved({name: runner(command) for name, command in commands.items()}, rounds or bench.rounds, warm_up)
