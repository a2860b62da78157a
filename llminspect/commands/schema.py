"""`llminspect schema`: the JSON Schema of what a command writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llminspect import commands
from llminspect.analysis.result import Result
from llminspect.arguments.shared import OutputOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.output import write_indented
from llminspect.cli.run import emit
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

RESULTS = "commands.schema.SchemaResult"


@dataclass(frozen=True)
class CommandKeys:
    """What one command writes beside the keys that every document has."""

    name: str
    keys: list[str]


@dataclass(frozen=True)
class SchemaResult(Result):
    """The commands that write JSON; `llminspect schema COMMAND` prints the JSON Schema of one of them."""

    commands: list[CommandKeys]


def schema_keys() -> SchemaResult:
    """The commands, and the keys of their documents."""
    from llminspect.cli.schema import result_keys

    return SchemaResult([CommandKeys(name, result_keys(results)) for name, results in results_of_commands().items()])


def results_of_commands() -> dict[str, list[Any]]:
    """The commands that write JSON, and the classes of what they write."""
    found = {name: commands.result_types(name) for name in commands.names()}
    return {name: results for name, results in found.items() if results}


def schema(command: str) -> dict[str, Any]:
    """The JSON Schema of a command's document. Raises UsageError for a command that writes none."""
    from llminspect.cli.schema import command_schema

    known = results_of_commands()
    if command not in known:
        raise UsageError(f"there is no command {command!r} that writes JSON", f"there are {', '.join(known)}")
    return command_schema(command, known[command])


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """The commands whose names start so."""
    return [name for name in commands.names() if name.startswith(incomplete)]


def render(result: SchemaResult) -> RenderableType:
    """The commands with their keys."""
    from rich.console import Group

    from llminspect.render import theme
    from llminspect.render.prose import Text
    from llminspect.render.table import table

    keys = table(
        ["command", "keys of its JSON"], [[command.name, ", ".join(command.keys)] for command in result.commands]
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
        typer.Argument(metavar="[COMMAND]", help="The command.", show_default=False, autocompletion=complete),
    ] = None,
) -> None:
    """The JSON Schema of what a command writes.

    It is written in the dialect 2020-12 and made from the code. Without COMMAND: the keys of every command's JSON.

    llminspect schema forward > forward.schema.json
    """
    if name is not None and output.save is not None:
        raise UsageError("--save is for the table of all commands", f"llminspect schema {name} > {name}.schema.json")
    if name is not None:
        write_indented(schema(name))
    else:
        emit("schema", None, {}, schema_keys(), output)
