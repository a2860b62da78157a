"""What is seen while a completion is written: the text as it comes, or with --watch the bars of each token."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llminspect.analysis.completion import CompletionListener, StepRecord
from llminspect.analysis.generate import GenerateResult, check_generates, written
from llminspect.arguments.generate import FollowOptions, GenerateOptions
from llminspect.arguments.shared import OutputOptions, SourceOptions
from llminspect.cli.output import Stream, live
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from rich.console import RenderableType


class Follower:
    """Shows the text as it is written (`streams`, with --stream nothing else), or `bars`, or nothing until the end."""

    def __init__(
        self, source: SourceOptions, output: OutputOptions, options: GenerateOptions, follow: FollowOptions
    ) -> None:
        several = (options.n > 1 or options.beams) and not follow.stream
        self.output, self.alone = output, follow.stream
        self.bars = follow.watch
        self.streams = not (output.json or source.lines or follow.watch or several)

    def run(
        self, compute: Callable[[CompletionListener | None], GenerateResult], model: Model, prompt: Prompt
    ) -> GenerateResult:
        if not self.streams and not self.bars:
            return compute(None)
        from llminspect.commands.generate.view import in_front, watch_view

        check_generates(model, prompt)  # Nothing is shown of what cannot be continued.
        before = in_front(written(model, prompt), prompt.ids, [token.start for token in prompt.tokens])
        if self.bars:
            with live(self.output) as picture:

                def redraw(step: StepRecord, text: str) -> None:
                    picture.update(watch_view(before, text, step), refresh=True)

                return compute(CompletionListener(step=redraw))
        stream = Stream(self.output)
        if not self.alone:
            stream.write(before, quiet=True)
        try:
            return compute(CompletionListener(text=stream.write))
        finally:
            # What comes next, be it an error, starts on a line of its own.
            stream.write("\n")

    def show(self, result: GenerateResult) -> RenderableType | None:
        """What is still to be shown at the end."""
        from llminspect.commands.generate.view import render

        return None if self.streams and self.alone else render(result, streamed=self.streams)
