"""The options of `embed`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from llminspect.arguments.experiments import Texts, each
from llminspect.arguments.option import Argument, Option

Pool = Literal["none", "mean", "first", "last"]
Metric = Literal["cosine", "dot"]


@dataclass(frozen=True)
class EmbedOptions:
    """Where vectors are taken from, and what is looked for near them."""

    more: Annotated[
        Texts | None, Argument(metavar="[TEXT]...", help="More texts, as with --with.", show_default=False)
    ] = None
    beside: Annotated[
        Texts | None, Option("--with", metavar="TEXT", help="Another text beside the first; repeatable.")
    ] = None
    at: Annotated[
        str | int | None,
        Option(
            "--at",
            metavar="embedding|LAYER|final",
            help="Where: the embedding table, the residual stream after a layer, or after the final norm. Default: "
            "embedding; with --pool on an encoder final, which are its sentence vectors.",
        ),
    ] = None
    pool: Annotated[Pool, Option("--pool", help="One vector for a whole text.")] = "none"
    nearest: Annotated[
        int, Option("--nearest", min=0, metavar="N", help="The N nearest tokens of the whole vocabulary.")
    ] = 0
    metric: Annotated[Metric, Option("--metric", help="What near and similar mean.")] = "cosine"
    words: Annotated[bool, Option("--words", help="Only whole words among the nearest.")] = False
    analogy: Annotated[
        str | None,
        Option("--analogy", metavar="SUM", help='In place of TEXT a sum of words: "king - man + woman".'),
    ] = None
    exclude_inputs: Annotated[
        bool, Option("--exclude-inputs", help="Leave the words of --analogy out of what is nearest.")
    ] = False
    similarity: Annotated[bool, Option("--similarity", help="How alike each vector is to each other.")] = False
    project: Annotated[Literal["pca"] | None, Option("--project", help="The vectors as points in a plane.")] = None
    positions: Annotated[
        bool, Option("--positions", help="What the model adds for the place of a token, by itself.")
    ] = False

    @property
    def others(self) -> list[str]:
        """The texts beside the first."""
        return [*each(self.more), *each(self.beside)]
