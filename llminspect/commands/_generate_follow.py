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
    from llminspect.model import Model


class Silent:
    """Nothing is seen before the result is there."""

    def run(self, compute: Callable[[Listener | None], Result], model: Model, prompt: Prompt) -> Result:
        return compute(None)

    def show(self, result: Result) -> RenderableType | None:
        from llminspect.commands._generate_render import generate_view

        return generate_view(result)


class Written(Silent):
    """The text as it is written, and then the rest (nothing with `alone`)."""

    def __init__(self, output: OutputOptions, *, alone: bool) -> None:
        self.output, self.alone = output, alone

    def run(self, compute: Callable[[Listener | None], Result], model: Model, prompt: Prompt) -> Result:
        from llminspect.commands._generate_render import in_front
        from llminspect.commands._generate_steps import Listener
        from llminspect.commands.generate import check, written

        check(model, prompt)  # Nothing is shown of what cannot be continued.
        stream = _output.Stream(self.output)
        if not self.alone:
            stream.write(in_front(written(model, prompt), prompt.ids, [t.start for t in prompt.tokens]), quiet=True)
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

    def run(self, compute: Callable[[Listener | None], Result], model: Model, prompt: Prompt) -> Result:
        from llminspect.commands._generate_render import in_front, watch_view
        from llminspect.commands._generate_steps import Listener
        from llminspect.commands.generate import written

        before = in_front(written(model, prompt), prompt.ids, [token.start for token in prompt.tokens])
        with _output.live(self.output) as live:
            return compute(Listener(step=lambda step, text: live.update(watch_view(before, text, step), refresh=True)))


def followed(
    source: SourceOptions, output: OutputOptions, options: GenerateOptions, *, stream: bool, watch: bool
) -> Silent:
    """Who follows this run. Raises UsageError where there is nothing to follow, or --stream meets --watch."""
    if stream and watch:
        raise UsageError("--stream and --watch show two different things", "give one of them")
    if (stream or watch) and options.beams:
        raise UsageError("--beams knows its text only at the end", f"leave out --{'stream' if stream else 'watch'}")
    for name, given in (("--n", options.n > 1), ("--json", output.json), ("--lines", source.lines)):
        if watch and given:
            raise UsageError(f"--watch draws one text as it is written and does not go with {name}", "drop one")
    if output.json or source.lines:
        return Silent()
    if watch:
        return Watched(output)
    several = options.n > 1 or options.beams
    return Silent() if several and not stream else Written(output, alone=stream)
