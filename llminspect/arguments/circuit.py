"""The options of `circuit`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from llminspect.arguments.option import argument, option
from llminspect.arguments.words import TokenChoice
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class CircuitOverOptions:
    """Which pairs."""

    heading: ClassVar[str] = "Over many pairs"
    example: ClassVar[str] = "circuit --over pairs.jsonl --model toy-induction"

    over: Path | None = option(
        metavar="FILE.jsonl",
        help="In place of CLEAN and CORRUPT: a JSON object a line, with clean and corrupt, and target and versus where "
        "they differ. One graph for all pairs. - reads standard input.",
    )


@dataclass(frozen=True)
class CircuitOptions:
    """Which two texts, what tells them apart, and how much of that is to be kept."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = 'circuit "Mr Toad met Mrs Hen. Mr" "Mrs Toad met Mr Hen. Mr" --model toy-induction'
    needed: ClassVar[str] = ' "Anne met Tom. Tom saw" "Anne met Tom. Anne saw"'

    clean: str | None = argument(metavar="CLEAN", help="The text that is explained.", show_default=False)
    corrupt: str | None = argument(
        metavar="CORRUPT", help="The text that is patched from; it needs as many tokens as CLEAN.", show_default=False
    )
    ids: bool = option(False, help="CLEAN and CORRUPT are lists of ids: 1,2,3.")
    special: bool | None = option(
        None,
        "--special/--no-special",
        help="Add BOS, CLS and so on. Default: as the model expects.",
        show_default=False,
    )
    target: TokenChoice | None = option(
        metavar="TOKEN", help="What CLEAN leads to. Default: its most probable next token.", show_default=False
    )
    versus: TokenChoice | None = option(
        metavar="TOKEN", help="What CORRUPT leads to. Default: its most probable next token.", show_default=False
    )
    keep: float = option(0.8, min=0.01, max=1, metavar="SHARE", help="Which share of the effect the graph is to keep.")
    steps: int = option(
        5, min=1, max=100, metavar="N", help="Gradients for each edge (EAP-IG); 1: in CLEAN alone (EAP)."
    )
    controls: int = option(10, min=1, max=1000, metavar="N", help="Random graphs of the same size, as a control.")
    seed: int = option(0, min=0, metavar="N", help="Seed of the random graphs.")
