"""The options of the commands that have few: `diff`, `walk`, `explore`, and those about the models themselves."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from llminspect.arguments.option import Texts, argument, option
from llminspect.arguments.ranges import Ids
from llminspect.arguments.shared import offline_option, revision_option
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class InfoOptions:
    """Which model, and how much of it."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = "info smollm2 --tensors"

    name: str | None = argument(metavar="[MODEL]", help="As --model.", show_default=False, completes="tokenizers")
    tensors: bool = option(False, help="Every tensor on its own line, all settings, the whole chat template.")


@dataclass(frozen=True)
class ModelsOptions:
    """Which list."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = "models --kinds"

    kinds: bool = option(False, help="Which kinds of model open, and what their files call them.")
    picture: Literal["sizes"] | None = option(
        help="sizes: how wide and how deep known models are, drawn on one scale: numbers per token across, layers down."
    )


@dataclass(frozen=True)
class PullOptions:
    """What is fetched."""

    heading: ClassVar[str] = "What to fetch"
    example: ClassVar[str] = "pull smollm2"

    name: str = argument(
        "smollm2", metavar="NAME", help="A name of `llminspect models`, or org/name on the hub.", completes="catalogue"
    )
    revision: str | None = revision_option()
    offline: bool = offline_option()


@dataclass(frozen=True)
class WalkOptions:
    """How it goes from one step to the next."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = "walk --no-pause"

    paused: bool | None = option(
        None, "--pause/--no-pause", help="Wait for Enter after each step. Default: on a terminal.", show_default=False
    )


@dataclass(frozen=True)
class DiffOptions:
    """What is compared with."""

    heading: ClassVar[str] = "What to compare with"
    example: ClassVar[str] = 'diff "A cat sat" --against "A dog sat"'
    needed: ClassVar[str] = " --against-model smollm2"

    against: str | None = option(metavar="TEXT", help="Compare with this text in the same model.")
    against_model: str | None = option(metavar="NAME", help="Compare with this model.", completes="models")
    against_adapter: str | None = option(
        metavar="FOLDER", help="Compare with the model, or that of --against-model, with this LoRA added."
    )
    top: int = option(
        10, min=1, metavar="N", help="How many next tokens of each side, and how many places, heads and tensors."
    )


@dataclass(frozen=True)
class WeightsOptions:
    """What two models are compared in, in place of a text."""

    heading: ClassVar[str] = "Two models"
    example: ClassVar[str] = "{command}{needed} --weights"

    weights: bool = option(
        False, help="In place of TEXT: where the weights of the two models are apart, tensor by tensor."
    )


Action = Literal["show", "verify", "clear"]


@dataclass(frozen=True)
class CacheOptions:
    """What is done, and with which entries."""

    heading: ClassVar[str] = "What to remove"
    example: ClassVar[str] = "cache clear --limit 2GB"

    action: Action = argument("show", help="What to do.")
    names: Texts | None = argument(
        metavar="[NAME]...", help="Only these: a model's name, model, prepared …", show_default=False
    )
    limit: str | None = option(
        metavar="SIZE", help="With clear: only what was not used for the longest time, until SIZE is left, such as 2GB."
    )
    everything: bool = option(
        False, "--all", help="With clear: fetched models too, which otherwise stay unless they are named."
    )
    yes: bool = option(False, "--yes", "-y", help="With clear: do not ask first.")


BOUND = 1e-4
"""Of the relative difference. Rounding in float32 stays far below it, a wrong formula far above."""


@dataclass(frozen=True)
class VerifyOptions:
    """Which model, and what it is compared with."""

    heading: ClassVar[str] = "What to check"
    example: ClassVar[str] = "verify smollm2 --record numbers.npz"

    name: str | None = argument(metavar="[MODEL]", help="As --model.", show_default=False, completes="models")
    against: Path | None = option(metavar="FILE.npz", help="Compare with these recorded activations.")
    record: Path | None = option(metavar="FILE.npz", help="Write the activations of this model.")
    ids: Ids | None = option(metavar="1,2,3", help="The input. Default: ids from all over the vocabulary.")
    bound: float = option(BOUND, min=0, help="The largest relative difference that passes.")


@dataclass(frozen=True)
class McpOptions:
    """What an assistant may ask, and how much."""

    heading: ClassVar[str] = "What to offer"
    example: ClassVar[str] = "mcp --model model.gguf"

    models: Texts | None = option(
        None,
        "--model",
        "-m",
        metavar="NAME",
        help="Offer this model as well: a .gguf file, a folder, org/name on the hub. The first is the default. "
        "Repeatable.",
        show_default=False,
        completes="models",
    )
    most: int = option(100_000, "--most-bytes", min=1_000, metavar="N", help="How long an answer may be, in bytes.")
    seconds: int = option(60, min=1, metavar="N", help="Seconds after which an answer is given up.")


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
