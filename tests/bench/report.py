"""What the sections share: who takes part, and the Markdown they print."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measure import ROOT, THREADS

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT = "Alice gave Bob her book"
PEERS = {
    "transformers": "transformers",
    "TransformerLens": "transformer_lens",
    "llama.cpp": "llama_cpp",
    "ttok": "ttok",
}


@dataclass
class Bench:
    """What is measured with."""

    rounds: int = 7
    model: str = "smollm2"
    peers_python: str = field(default_factory=lambda: os.environ.get("LLMINSPECT_PEERS_PYTHON", sys.executable))
    scratch: Path = field(default_factory=lambda: ROOT / ".bench")
    folder: Path | None = None
    """Where the files of large models are kept."""
    sizes: tuple[str, ...] = ()
    """Which large models; all of them where none is named."""
    plain: bool = False
    """Whether large models are computed on float32 weights as well."""
    lengths: tuple[int, ...] = ()
    """Of how many tokens; all of them where none is named."""

    @property
    def program(self) -> list[str]:
        return [sys.executable, "-m", "llminspect"]

    @cached_property
    def installed(self) -> frozenset[str]:
        """The peers that the peers' interpreter can import."""
        listed = ", ".join(repr(name) for name in PEERS.values())
        script = f"import importlib.util as u; print(*[n for n in ({listed},) if u.find_spec(n)])"
        found = subprocess.run([self.peers_python, "-c", script], capture_output=True, text=True, check=True)
        return frozenset(name for name, module in PEERS.items() if module in found.stdout.split())

    @cached_property
    def peers_folder(self) -> Path:
        folder = self.scratch / f"{self.model}-float32"
        # In a process of its own: what this one holds would count as the memory of those that it starts.
        subprocess.run([sys.executable, "-m", "tests.bench.folder", self.model, str(folder)], check=True, cwd=ROOT)
        return folder


def title(text: str) -> None:
    print(f"\n## {text}\n", flush=True)


def say(text: str) -> None:
    print(text + "\n", flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table, columns aligned for whoever reads the source; all but the first column to the right."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first, *rest = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        return "| " + " | ".join([first, *rest]) + " |"

    rule = (
        "|" + "|".join("-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|"
    )
    print("\n".join([line(cells[0]), rule, *map(line, cells[1:])]) + "\n", flush=True)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.1f} ms"


def times(ratio: float) -> str:
    return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"


def verdict(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def machine(bench: Bench) -> None:
    """What it ran on, and who takes part."""
    title("The machine")
    ours = _versions(sys.executable, ("numpy", "typer", "tokenizers", "tiktoken"))
    say(
        f"{_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB of memory, "
        f"{platform.system()} {platform.machine()}; Python {platform.python_version()}, {ours}. "
        f"{THREADS} threads of arithmetic for everybody. "
        f"Processes that wanted to run when it started: {os.getloadavg()[0]:.1f}."
    )
    packages = ("torch", "transformers", "transformer_lens", "llama_cpp_python", "ttok")
    missing = [name for name in PEERS if name not in bench.installed]
    if bench.installed:
        say(f"Peers: {_versions(bench.peers_python, packages)}.")
    if missing:
        say(
            f"Not installed, so not measured: {', '.join(missing)} "
            "(`LLMINSPECT_PEERS_PYTHON` names an interpreter that has them)."
        )


def _versions(interpreter: str, names: Sequence[str]) -> str:
    script = (
        "import sys; from importlib.metadata import PackageNotFoundError as E, version\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, version(name))\n"
        "    except E: pass"
    )
    found = subprocess.run([interpreter, "-c", script, *names], capture_output=True, text=True, check=True)
    return ", ".join(found.stdout.split("\n")).strip(", ")


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def compiled() -> bool:
    """Whether products with a file's own blocks are compiled here."""
    from llminspect.backends.kernels.library import library
    from llminspect.errors import UserError

    try:
        library()
    except UserError:
        return False
    return True
