"""What is seen while a completion is written: the text as it comes, or with --watch the bars behind each token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.commands import _output
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from llminspect.commands._generate_options import GenerateOptions
    from llminspect.commands._generate_steps import Listener
    from llminspect.commands._input import Prompt
    from llminspect.commands._options import OutputOptions, SourceOptions
    from llminspect.commands.generate import Result


class Silent:
    """Nothing is seen before the result is there."""

    def run(self, compute: Callable[[Listener | None], Result], prompt: Prompt) -> Result:
        return compute(None)

    def show(self, result: Result) -> RenderableType | None:
        from llminspect.commands._generate_render import generate_view

        return generate_view(result)


class Written(Silent):
    """The text as it is written, and then the rest (nothing with `alone`)."""

    def __init__(self, output: OutputOptions, *, alone: bool) -> None:
        self.output, self.alone = output, alone

    def run(self, compute: Callable[[Listener | None], Result], prompt: Prompt) -> Result:
        from llminspect.commands._generate_steps import Listener

        stream = _output.Stream(self.output)
        if not self.alone and prompt.text is not None:
            stream.write(prompt.text, quiet=True)
        try:
            return compute(Listener(text=stream.write))
        finally:
            # What comes next, be it an error, starts on a line of its own.
            stream.write("\n")

    def show(self, result: Result) -> RenderableType | None:
        from llminspect.commands._generate_render import generate_view

        return None if self.alone else generate_view(result, streamed=True)


class Watched(Silent):
    """The most probable tokens as bars, redrawn with each step."""

    def __init__(self, output: OutputOptions) -> None:
        self.output = output

    def run(self, compute: Callable[[Listener | None], Result], prompt: Prompt) -> Result:
        from llminspect.commands._generate_render import watch_view
        from llminspect.commands._generate_steps import Listener

        before = prompt.text or ""
        with _output.live(self.output) as live:
            return compute(Listener(step=lambda step, text: live.update(watch_view(before, text, step), refresh=True)))


def followed(
    source: SourceOptions, output: OutputOptions, options: GenerateOptions, *, stream: bool, watch: bool
) -> Silent:
    """Who follows this run. Raises UsageError where --stream and --watch are asked for together."""
    if stream and watch:
        raise UsageError("--stream and --watch show two different things", "give one of them")
    if output.json or source.lines:
        return Silent()
    if watch:
        return Watched(output)
    several = options.n > 1 or options.beams
    return Silent() if several and not stream else Written(output, alone=stream)
