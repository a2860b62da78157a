"""The options of `embed`."""

from __future__ import annotations

from typing import ClassVar, Literal

from llminspect.arguments.option import Texts, argument, each, option
from llminspect.arguments.words import WORD_STARTS
from llminspect.core.dataclass import dataclass

Pool = Literal["none", "mean", "first", "last", "model"]
Metric = Literal["cosine", "dot"]


@dataclass(frozen=True)
class EmbedOptions:
    """Where vectors are taken from, and what is looked for near them."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = "embed Paris --nearest 5"

    more: Texts | None = argument(metavar="[TEXT]...", help="More texts, as with --with.", show_default=False)
    beside: Texts | None = option(None, "--with", metavar="TEXT", help="Another text beside the first; repeatable.")
    at: str | int | None = option(
        metavar="embedding|LAYER|final",
        help="Which vectors: the embedding table, the residual stream after a layer, or after the final norm. "
        "Default: embedding; for an encoder with --pool: final, which are its sentence vectors.",
    )
    pool: Pool | None = option(
        help="One vector for a whole text; model: as its files declare. Default: none; where they declare one, model "
        "for --normalize and for --similarity or --project of several texts."
    )
    normalize: bool = option(False, help="Bring every vector to the length 1 (L2).")
    nearest: int = option(0, min=0, metavar="N", help="The N nearest tokens of the whole vocabulary.")
    metric: Metric = option("cosine", help="What near and similar mean.")
    words: bool = option(False, help=f"Among the nearest only {WORD_STARTS}.")
    analogy: str | None = option(metavar="SUM", help='In place of TEXT a sum of words: "king - man + woman".')
    exclude_inputs: bool = option(False, help="Leave the words of --analogy out of the list.")
    similarity: bool = option(False, help="How similar each two of the vectors are.")
    project: Literal["pca"] | None = option(help="The vectors as points in a plane.")
    positions: bool = option(
        False, help="The position code: what the model adds for the place of a token, or by how much it turns vectors."
    )

    @property
    def others(self) -> list[str]:
        """The texts beside the first."""
        return [*each(self.more), *each(self.beside)]
