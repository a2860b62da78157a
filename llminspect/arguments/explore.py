"""The options of `explore`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from llminspect.arguments.option import argument, option
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class ExploreOptions:
    """What is looked at first, and where what is done is kept."""

    heading: ClassVar[str] = "Session"
    example: ClassVar[str] = 'explore "The capital of France is" --json'

    text: str | None = argument(metavar="[TEXT]", help="The text to begin with.", show_default=False)
    chat: bool = option(False, help="Read TEXT as a user's message in the model's template.")
    features: str | None = option(
        metavar="PATH", help="A sparse dictionary, as the command features reads: what is on at a token is a pane."
    )
    features_at: str | None = option(
        metavar="HOOK", help="Where it reads, if its files do not say: blocks.20.hook_resid_post."
    )
    session: Path | None = option(
        metavar="FILE.json", help="Go on with what was done there, and keep there what is done now."
    )
