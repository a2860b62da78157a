"""The options of the commands that have few: `encode`, `diff`, `walk`, and those about the models themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from llminspect.arguments.experiments import Texts
from llminspect.arguments.option import Argument, Option
from llminspect.arguments.ranges import Ids
from llminspect.arguments.shared import Offline, Revision, Workers


@dataclass(frozen=True)
class InfoOptions:
    """Which model, and how much of it."""

    name: Annotated[
        str | None, Argument(metavar="[MODEL]", help="As --model.", show_default=False, completes="tokenizers")
    ] = None
    tensors: Annotated[
        bool, Option("--tensors", help="Every tensor on its own line, all settings, the whole chat template.")
    ] = False


@dataclass(frozen=True)
class PullOptions:
    """What is fetched."""

    name: Annotated[
        str,
        Argument(metavar="NAME", help="A name of `llminspect models`, or org/name on the hub.", completes="catalogue"),
    ] = "smollm2"
    revision: Revision = None
    offline: Offline = False


@dataclass(frozen=True)
class WalkOptions:
    """How it goes from one step to the next."""

    paused: Annotated[
        bool | None,
        Option(
            "--pause/--no-pause",
            help="Wait for Enter after each step. Default: on a terminal.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class DiffOptions:
    """What is compared with."""

    against: Annotated[
        str | None, Option("--against", metavar="TEXT", help="Compare with this text in the same model.")
    ] = None
    against_model: Annotated[str | None, Option("--against-model", metavar="NAME", help="Compare with this model.")] = (
        None
    )
    top: Annotated[int, Option("--top", min=1, metavar="N", help="How many next tokens of each side.")] = 10


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


BOUND = 1e-4
"""Of the relative difference. Rounding in float32 stays far below it, a wrong formula far above."""


@dataclass(frozen=True)
class VerifyOptions:
    """Which model, and what it is compared with."""

    name: Annotated[
        str | None, Argument(metavar="[MODEL]", help="As --model.", show_default=False, completes="models")
    ] = None
    against: Annotated[
        Path | None, Option("--against", metavar="FILE.npz", help="Compare with these recorded activations.")
    ] = None
    record: Annotated[
        Path | None, Option("--record", metavar="FILE.npz", help="Write the activations of this model.")
    ] = None
    ids: Annotated[
        Ids | None, Option("--ids", metavar="1,2,3", help="The input. Default: ids from all over the vocabulary.")
    ] = None
    bound: Annotated[float, Option("--bound", min=0, help="The largest relative difference that passes.")] = BOUND


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search."""

    search: Annotated[
        str | None,
        Option("--search", metavar="GLOB", help="Find tokens by their text: ' the*', '*ing', '[A-Z]??'."),
    ] = None
    only: Annotated[
        Literal["special", "unreachable"] | None,
        Option("--only", help="With --search: special ones, or those that their own text never gives."),
    ] = None
    longest: Annotated[bool, Option("--longest", help="With --search: the longest first.")] = False
    limit: Annotated[int | None, Option("--limit", min=0, metavar="N", help="With --search: how many.")] = None


@dataclass(frozen=True)
class EncodeOptions:
    """In which direction, and how it is shown."""

    decode: Annotated[
        bool,
        Option(
            "--decode",
            help="Back to text: TEXT (or standard input, --file, --ids) holds ids; of a text, there and back.",
        ),
    ] = False
    one_hot: Annotated[bool, Option("--one-hot", help="A row a token: 1 at its id, 0 elsewhere.")] = False
    letters: Annotated[bool, Option("--letters", help="The letter code, A = 1, B = 2; as --model letters.")] = False
    workers: Workers = None
