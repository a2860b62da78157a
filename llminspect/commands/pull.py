"""`llminspect pull`: fetch a model, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from llminspect.commands._complete import catalogue
from llminspect.commands._options import Offline, OutputOptions, Revision, takes_groups
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.model import Progress


@dataclass(frozen=True)
class Result:
    """Where the model is now."""

    name: str
    path: str
    fetched: bool
    """Whether it was fetched now; false where it was there already."""
    bytes: int


def run(name: str, *, revision: str | None = None, offline: bool = False, progress: Progress | None = None) -> Result:
    """Fetch a model of the catalogue or of the hub unless it is there. Raises ModelError, UserError."""
    from llminspect.arch.toy import TOYS
    from llminspect.files.cache_folder import total_size
    from llminspect.files.locate import locate

    if name in TOYS:
        raise UsageError(f"{name} is built in, there is nothing to fetch")
    stages: set[str] = set()

    def watched(stage: str, done: int, total: int | None) -> None:
        stages.add(stage)
        if progress is not None:
            progress(f"{stage} {name}", done, total)

    located = locate(name, revision=revision, offline=offline, progress=watched)
    paths = [*located.weight_paths, *located.tokenizer_files.values()]
    return Result(name, str(located.path), bool(stages - {"wait"}), total_size(paths))


def render(result: Result) -> RenderableType:
    """One line, and what to do next."""
    from rich.text import Text

    from llminspect.render.numbers import byte_size
    from llminspect.render.safe import visible

    what = "fetched" if result.fetched else "is there already"
    return Text(f"{visible(result.name)} {what}: {visible(result.path)} ({byte_size(result.bytes)})")


@takes_groups
def command(
    output: OutputOptions,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name of `llminspect models`, or org/name on the hub.", autocompletion=catalogue
        ),
    ] = "smollm2",
    revision: Revision = None,
    offline: Offline = False,
) -> None:
    """Fetch a model, once.

    Everything else then works without a network.

    llminspect pull smollm2
    """
    from llminspect.commands._run import ProgressBars, emit
    from llminspect.commands._save import check_ending

    check_ending(output, arrays=False)
    with ProgressBars(output) as progress:
        result = run(name, revision=revision, offline=offline, progress=progress)
    emit("pull", name, {}, result, output, render)
