"""The options of `embed`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llminspect.arguments.shared import SourceOptions
from llminspect.errors import UsageError

Pool = Literal["none", "mean", "first", "last"]


@dataclass(frozen=True)
class EmbedOptions:
    """What is asked of the vectors."""

    at: str = "embedding"
    pool: Pool = "none"
    nearest: int = 0
    metric: Metric = "cosine"
    words: bool = False
    analogy: str | None = None
    exclude_inputs: bool = False
    similarity: bool = False
    project: Literal["pca"] | None = None
    positions: bool = False


def check_embed(options: EmbedOptions, source: SourceOptions, beside: list[str] | None) -> None:
    near = options.nearest or options.analogy is not None
    if options.words and not near:
        raise UsageError("--words goes with --nearest or --analogy", "--nearest 10 --words")
    if options.metric != "cosine" and not near and not options.similarity:
        raise UsageError(f"--metric {options.metric} goes with --nearest, --analogy or --similarity", "add one of them")
    if options.analogy is None:
        if options.exclude_inputs:
            raise UsageError("--exclude-inputs goes with --analogy")
        return
    given = {"TEXT": source.text, "--file": source.file, "--ids": source.ids, "--with": beside}
    named = [name for name, value in given.items() if value is not None] + ["--lines"] * source.lines
    if named:
        raise UsageError(f"--analogy takes the place of {named[0]}", "give one of the two")
    if options.at != "embedding" or options.pool != "none" or options.positions:
        raise UsageError("--analogy adds rows of the embedding table", "leave out --at, --pool and --positions")


Metric = Literal["cosine", "dot"]
