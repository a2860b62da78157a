"""`llminspect help`: what a word means, and what a command does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llminspect import commands
from llminspect.analysis.result import Result
from llminspect.analysis.terms import Topic, term_of, terms, unknown_topic
from llminspect.arguments.shared import OutputOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.run import emit
from llminspect.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

RESULTS = "commands.help.HelpResult"


@dataclass(frozen=True)
class CommandHelp:
    """What a command is for."""

    name: str
    summary: str
    help: str | None = None
    """All of its help, where it was named."""


@dataclass(frozen=True)
class HelpResult(Result):
    """The topic and the command of that name; without a name all topics and all commands."""

    topic: str | None
    topics: list[Topic]
    commands: list[CommandHelp]


def help_about(topic: str | None = None) -> HelpResult:
    """The topic and the command of that name, or all of both. Raises UsageError for a name of neither."""
    if topic is None:
        listed = [CommandHelp(name, commands.summary(name)) for name in commands.names()]
        return HelpResult(None, list(terms()), listed)
    term, name = term_of(topic), topic.casefold()
    if term is None and name not in commands.names():
        raise unknown_topic(topic, commands.names())
    found = [name] if name in commands.names() else []
    about = [CommandHelp(name, commands.summary(name), _help_of(name)) for name in found]
    return HelpResult(topic, [] if term is None else [term], about)


def _help_of(name: str) -> str:
    """What `llminspect NAME --help` prints."""
    from llminspect.cli.app import command_of

    command = command_of(name, commands.function(name))
    with command.context_class(command, info_name=f"llminspect {name}", **command.context_settings) as context:
        text: str = command.get_help(context)
    return text


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """The topics and commands whose names start so."""
    words = sorted({*(term.name for term in terms()), *commands.names()}, key=str.casefold)
    return [word for word in words if word.casefold().startswith(incomplete.casefold())]


def render(result: HelpResult) -> RenderableType:
    """A topic in two lines; a command's own help; or the two lists."""
    from rich.console import Group

    from llminspect.render import theme
    from llminspect.render.prose import Text
    from llminspect.render.section import facts
    from llminspect.render.table import key_values

    if result.topic is None:
        return Group(
            Text("Topics: llminspect help TOPIC\n", theme.TITLE),
            facts([term.name for term in result.topics]),
            Text("\nCommands: llminspect help COMMAND\n", theme.TITLE),
            key_values([(command.name, command.summary) for command in result.commands]),
            Text("\nThe book, a page a step, is in docs/ of the source; llminspect walk goes the same way."),
        )
    parts: list[RenderableType] = []
    for term in result.topics:
        also = f"  also: {', '.join(term.also)}" if term.also else ""
        parts += [Text.assemble((term.name, theme.TITLE), also), Text(f"{term.text}\n")]
        parts.append(_where(term))
    for command in result.commands:
        if parts:
            parts.append(Text(f"\nThe command llminspect {command.name}\n", theme.TITLE))
        parts.append(Text(command.help or command.summary, overflow="ignore", no_wrap=True))
    return Group(*parts)


def _where(term: Topic) -> RenderableType:
    """What to try, in lines that can be copied, and where the book has it."""
    from llminspect.cli.help_lines import command_lines
    from llminspect.render.prose import Text
    from llminspect.render.section import Drawn
    from llminspect.render.table import key_values

    def draw(_: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        room = options.max_width - len("in the book  ")
        example = Text(command_lines(term.example, "", room))
        yield key_values([("try", example), ("in the book", f"{term.page}, “{term.heading}”")])

    return Drawn(draw)


@takes_groups
def command(
    output: OutputOptions,
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC|COMMAND]", help="A word, or a command.", show_default=False, autocompletion=complete
        ),
    ] = None,
) -> None:
    """What a word means, in two lines; or the help of a command.

    Without a word, all topics and all commands.

    \b
    llminspect help logit
    llminspect help residual stream
    """
    emit("help", None, {}, help_about(" ".join(topic) if topic else None), output)
