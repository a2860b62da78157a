"""What `cache` can be told to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from llminspect.arguments.option import Argument, Option
from llminspect.arguments.places import Texts

Action = Literal["show", "verify", "clear"]


@dataclass(frozen=True)
class CacheOptions:
    """What is done, and with which entries."""

    action: Annotated[Action, Argument(help="What to do.")] = "show"
    names: Annotated[
        Texts | None,
        Argument(metavar="[NAME]...", help="Only these: a model's name, model, prepared …", show_default=False),
    ] = None
    limit: Annotated[
        str | None,
        Option("--limit", metavar="SIZE", help="With clear: only what was not used for longest, down to 2GB."),
    ] = None
