"""`llminspect pull`: fetch a model, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.arguments.shared import OutputOptions
from llminspect.arguments.small import PullOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.opening import ProgressBars
from llminspect.cli.run import emit

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.cache import PullResult

RESULTS = "analysis.cache.PullResult"


def render(result: PullResult) -> RenderableType:
    """One line, and what to do next."""
    from llminspect.core.numbers import byte_size
    from llminspect.render.prose import Text
    from llminspect.render.safe import visible

    what = "fetched" if result.fetched else "is there already"
    return Text(f"{visible(result.name)} {what}: {visible(result.path)} ({byte_size(result.bytes)})")


@takes_groups
def command(output: OutputOptions, options: PullOptions) -> None:
    """Fetch a model, once.

    Everything else then works without a network.

    llminspect pull smollm2
    """
    from llminspect.analysis.cache import pull

    with ProgressBars(output) as progress:
        result = pull(options.name, revision=options.revision, offline=options.offline, progress=progress)
    emit("pull", options.name, {}, result, output)
