"""What is seen while a completion is written: the text as it comes, or with --watch the bars of each token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.analysis.completion import CompletionListener
from llminspect.analysis.generate import check_generates, written
from llminspect.cli.output import Stream, live

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from llminspect.analysis.generate import GenerateResult
    from llminspect.arguments.generate import FollowOptions, GenerateOptions
    from llminspect.arguments.shared import OutputOptions, SourceOptions
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt


class SilentFollower:
    """Nothing is seen before the result is there."""

    def run(
        self, compute: Callable[[CompletionListener | None], GenerateResult], model: Model, prompt: Prompt
    ) -> GenerateResult:
        return compute(None)

    def show(self, result: GenerateResult) -> RenderableType | None:
        from llminspect.commands.generate.view import generate_view

        return generate_view(result)


class StreamedText(SilentFollower):
    """The text as it is written, and then the rest (nothing with `alone`)."""

    def __init__(self, output: OutputOptions, *, alone: bool) -> None:
        self.output, self.alone = output, alone

    def run(
        self, compute: Callable[[CompletionListener | None], GenerateResult], model: Model, prompt: Prompt
    ) -> GenerateResult:
        from llminspect.commands.generate.view import in_front

        check_generates(model, prompt)  # Nothing is shown of what cannot be continued.
        stream = Stream(self.output)
        if not self.alone:
            stream.write(in_front(written(model, prompt), prompt.ids, [t.start for t in prompt.tokens]), quiet=True)
        try:
            return compute(CompletionListener(text=stream.write))
        finally:
            # What comes next, be it an error, starts on a line of its own.
            stream.write("\n")

    def show(self, result: GenerateResult) -> RenderableType | None:
        from llminspect.commands.generate.view import generate_view

        return None if self.alone else generate_view(result, streamed=True)


class RedrawnBars(SilentFollower):
    """The most probable tokens as bars, redrawn with each step."""

    def __init__(self, output: OutputOptions) -> None:
        self.output = output

    def run(
        self, compute: Callable[[CompletionListener | None], GenerateResult], model: Model, prompt: Prompt
    ) -> GenerateResult:
        from llminspect.commands.generate.view import in_front, watch_view

        before = in_front(written(model, prompt), prompt.ids, [token.start for token in prompt.tokens])
        with live(self.output) as picture:
            return compute(
                CompletionListener(step=lambda step, text: picture.update(watch_view(before, text, step), refresh=True))
            )


def followed(
    source: SourceOptions, output: OutputOptions, options: GenerateOptions, follow: FollowOptions
) -> SilentFollower:
    """Who follows this run."""
    if output.json or source.lines:
        return SilentFollower()
    if follow.watch:
        return RedrawnBars(output)
    several = options.n > 1 or options.beams
    return SilentFollower() if several and not follow.stream else StreamedText(output, alone=follow.stream)
