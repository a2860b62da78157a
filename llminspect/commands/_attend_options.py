"""What can be asked of `attend`, and how much of the attention is to be kept for the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from llminspect.commands._attend_overview import MeasureName

LARGEST_JSON = 2_000_000
"""So many weights are written into one JSON document (some 20 MB); more are refused, with the way to select."""


@dataclass(frozen=True)
class Asked:
    """The options of the command line that say what to look at."""

    layer: Annotated[str | None, typer.Option("--layer", metavar="0,3-5", help="Only these layers, from 0.")] = None
    head: Annotated[str | None, typer.Option("--head", metavar="2", help="Only these heads, from 0.")] = None
    mean: Annotated[bool, typer.Option("--mean", help="The mean of the chosen heads, as one picture.")] = False
    show: Annotated[
        str,
        typer.Option(
            "--show",
            metavar="WHAT,WHAT",
            help="Of a head: weights, scores, scaled, capped, masked, queries, keys, values, "
            "added (how long the vector is that a key really adds).",
        ),
    ] = "weights"
    query: Annotated[
        str | None, typer.Option("--query", metavar="WORD|INDEX", help="The whole sum of one token by hand.")
    ] = None
    find: Annotated[
        str | None, typer.Option("--find", metavar="HER->ALICE", help="Every head, by how much it looks there.")
    ] = None
    control: Annotated[
        str | None, typer.Option("--control", metavar="TEXT", help="With --find: the same pair in another sentence.")
    ] = None
    rollout: Annotated[
        bool, typer.Option("--rollout", help="Attention followed through all layers (Abnar and Zuidema 2020).")
    ] = False
    contributions: Annotated[
        bool,
        typer.Option("--contributions", help="What each head wrote into the last token's stream (or --query's)."),
    ] = False
    measure: Annotated[
        MeasureName | None, typer.Option("--measure", help="What colours the overview: entropy unless said here.")
    ] = None
    mask: Annotated[
        Literal["none", "causal"] | None,
        typer.Option("--mask", help="With toy-attention: with or without a causal mask.", show_default=False),
    ] = None

    target: Annotated[
        str | None, typer.Option("--target", metavar="TEXT", help="Of an encoder–decoder: the target so far.")
    ] = None
    target_ids: Annotated[str | None, typer.Option("--target-ids", metavar="1,2,3", help="The same as ids.")] = None
    part: Annotated[
        Literal["decoder", "encoder"] | None,
        typer.Option("--part", help="Of an encoder–decoder: only this part, and what questions are about."),
    ] = None

    @property
    def selects(self) -> bool:
        """Whether heads are chosen."""
        return self.layer is not None or self.head is not None

    @property
    def asks(self) -> bool:
        """Whether it is a question about the attention rather than the weights themselves."""
        return bool(self.query or self.find or self.rollout or self.contributions)


@dataclass(frozen=True)
class Keeping:
    """How many heads' weights the answer has to hold."""

    every: bool = False
    """Those of all chosen heads, for JSON; otherwise only what is drawn."""
    most: int = LARGEST_JSON
    """So many weights at most."""
    may_lack: bool = False
    """More than that are left out rather than refused."""


SELECTED = Keeping()
