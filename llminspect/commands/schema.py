"""`llminspect schema`: the JSON Schema of what a command writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llminspect.commands._complete import commands
from llminspect.commands._options import OutputOptions, takes_groups
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class CommandKeys:
    """What one command writes beside the keys that every document has."""

    name: str
    keys: list[str]


@dataclass(frozen=True)
class Result:
    """The commands that write JSON; `llminspect schema COMMAND` prints the JSON Schema of one of them."""

    commands: list[CommandKeys]


def run() -> Result:
    """The commands, and the keys of their documents."""
    from llminspect.commands._schema import result_keys

    return Result([CommandKeys(name, result_keys(name)) for name in commands_with_schema()])


def commands_with_schema() -> list[str]:
    """The commands that have a Result."""
    import importlib

    from llminspect.cli import command_names

    return [
        name for name in command_names() if hasattr(importlib.import_module(f"llminspect.commands.{name}"), "Result")
    ]


def schema(command: str) -> dict[str, Any]:
    """The JSON Schema of a command's document. Raises UsageError for a command that writes none."""
    from llminspect.commands._schema import command_schema

    known = commands_with_schema()
    if command not in known:
        raise UsageError(f"there is no command {command!r} that writes JSON", f"there are {', '.join(known)}")
    return command_schema(command)


def render(result: Result) -> RenderableType:
    """The commands with their keys."""
    from rich.console import Group
    from rich.text import Text

    from llminspect.render import theme
    from llminspect.render.table import table

    keys = table(
        ["command", "keys of its JSON"],
        [[command.name, ", ".join(command.keys)] for command in result.commands],
    )
    return Group(
        Text("What each command writes with --json", theme.TITLE),
        Text("Each document starts with schema, command, model, provenance.\n", theme.QUIET),
        keys,
        Text("\nllminspect schema COMMAND prints its JSON Schema, generated from the code.", theme.QUIET),
    )


@takes_groups
def command(
    output: OutputOptions,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[COMMAND]", help="The command.", show_default=False, autocompletion=commands),
    ] = None,
) -> None:
    """The JSON Schema of what a command writes.

    It is of the 2020-12 dialect and made from the code; without COMMAND, the keys of every command.

    llminspect schema forward > forward.schema.json
    """
    from llminspect.commands._output import write_indented
    from llminspect.commands._run import emit
    from llminspect.commands._save import check_ending

    check_ending(output, arrays=False)
    if name is not None:
        write_indented(schema(name))
    else:
        emit("schema", None, {}, run(), output, render)
