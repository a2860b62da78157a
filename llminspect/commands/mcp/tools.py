"""Commands as tools: what a tool may be given, as a JSON Schema, and the command line that this makes.

A tool has the options of its command but those that name files (nothing of this machine is read that was not named when
the server started), that say where the answer goes, and what computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from llminspect import commands
from llminspect.arguments.directions import parse_saved
from llminspect.arguments.option import Argument, Option, alternatives, fields_of
from llminspect.arguments.shared import EngineOptions, OutputOptions, SourceOptions
from llminspect.cli.schema import command_schema
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

LONGEST = 100_000
"""Characters of a text that is given."""
_NO_TOOLS = {
    "cache": "it removes files",
    "explore": "it is a screen",
    "features": "it reads a file",
    "pull": "it fetches files",
    "probe": "it reads a file",
    "schema": "tools bring their schemas",
}
_FILES = ("FILE", "FOLDER", "PATH")
_MODELS = {"model", "models", "tokenizers"}
_LEFT_OUT = {"features_at", "offline", "revision", "workers", "lines", "watch", "stream", "paused"}


@dataclass(frozen=True)
class Parameter:
    """One thing that a tool may be given."""

    name: str
    option: Option
    kinds: tuple[Any, ...]
    is_text: bool
    """Whether it is the text that the command reads from standard input."""

    @property
    def is_model(self) -> bool:
        return self.option.settings.get("completes", self.name) in _MODELS

    @property
    def repeats(self) -> bool:
        return any(get_origin(kind) not in (None, Literal, dict, tuple) for kind in self.kinds)

    def schema(self, models: Sequence[str]) -> dict[str, Any]:
        """What may be given, as JSON Schema."""
        one: dict[str, Any] = {"type": "string", "maxLength": LONGEST}
        choices = [choice for kind in self.kinds if get_origin(kind) is Literal for choice in get_args(kind)]
        if self.is_model:
            one = {"type": "string", "enum": list(models)}
        elif choices:
            one = {"enum": choices}
        elif bool in self.kinds:
            one = {"type": "boolean"}
        elif str not in self.kinds and (int in self.kinds or float in self.kinds):
            one = {"type": "integer" if int in self.kinds else "number"}
            limits = (("minimum", self.option.min), ("maximum", self.option.max))
            one |= {name: bound for name, bound in limits if bound is not None}
        elif int in self.kinds:
            one = {"type": ["string", "integer"], "maxLength": LONGEST}
        if self.repeats and not choices:
            one = {"anyOf": [one, {"type": "array", "items": one, "maxItems": 100}]}
        return {"description": self.option.settings.get("help", ""), **one}

    def words(self, value: Any) -> list[str]:
        """The same on the command line."""
        on, _, off = (self.option.names or ("",))[0].partition("/")
        if isinstance(value, bool) != (bool in self.kinds):
            raise UsageError(
                f"{self.name}: {value!r:.60} is not {'true or false' if bool in self.kinds else 'a value'}"
            )
        if isinstance(value, bool):
            return ([on] if value else [off]) if value or off else []
        values = value if isinstance(value, list) else [value]
        plain = all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in values)
        if not plain or (not self.repeats and len(values) != 1):
            raise UsageError(f"{self.name}: {value!r:.60} is not one value")
        texts = [str(one) for one in values]
        for text in texts:
            if self.name == "steer" and parse_saved(text) is not None:
                raise UsageError(f"steer: {text!r:.60} names a file, and tools read none")
            if "\0" in text or len(text) > LONGEST:
                raise UsageError(f"{self.name} is longer than {LONGEST:,} characters, or holds the character 0")
        return texts if isinstance(self.option, Argument) else [f"{on}={text}" for text in texts]


@dataclass(frozen=True)
class ToolCall:
    """A command line, and what it reads from standard input."""

    words: list[str]
    text: str | None


@dataclass(frozen=True)
class CommandTool:
    """A command as a tool."""

    name: str
    summary: str
    parameters: dict[str, Parameter]

    def input_schema(self, models: Sequence[str]) -> dict[str, Any]:
        """What may be given, as JSON Schema; which of it a command needs, the command says."""
        properties = {name: parameter.schema(models) for name, parameter in self.parameters.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def output_schema(self) -> dict[str, Any]:
        """That of the command's JSON."""
        return {"type": "object", **command_schema(self.name, commands.result_types(self.name))}

    def call(self, given: Mapping[str, Any], models: Sequence[str]) -> ToolCall:
        """The command line of what was given. Raises UsageError for what the tool does not take."""
        unknown = [name for name in given if name not in self.parameters]
        if unknown:
            raise UsageError(f"{self.name} takes no {unknown[0]!r}", f"there are {', '.join(self.parameters)}")
        placed, named, text, left_out = list[str](), list[str](), None, None
        for name, parameter in self.parameters.items():
            value = given.get(name)
            without_name = isinstance(parameter.option, Argument) and not parameter.is_text
            if value is None:
                left_out = name if without_name else left_out
                continue
            if parameter.is_model:
                _check_model(name, value, models)
            words = parameter.words(value)
            if parameter.is_text:
                text = words[0]
            elif without_name and left_out:
                raise UsageError(f"{name} was given, but not {left_out}", "give both")
            elif without_name:
                placed += words
            else:
                named += words
        if "model" in self.parameters and given.get("model") is None:
            named += self.parameters["model"].words(models[0])
        return ToolCall([self.name, *named, "--json", *(["--", *placed] if placed else [])], text)


def _check_model(name: str, value: Any, models: Sequence[str]) -> None:
    for one in value if isinstance(value, list) else [value]:
        if one not in models:
            raise UsageError(f"{name}: {one!r} is not a model of this server", f"there are {', '.join(models)}")


def command_tools() -> list[CommandTool]:
    """All commands that write JSON, remove and fetch nothing, and can be asked without naming a file."""
    return [_tool(name) for name in commands.names() if name not in _NO_TOOLS and commands.result_types(name)]


def _tool(name: str) -> CommandTool:
    function = commands.function(name)
    written = getattr(function, "__wrapped__", function)
    parameters: dict[str, Parameter] = {}
    for place, hint in get_type_hints(written, include_extras=True).items():
        if get_origin(hint) is Annotated:  # An argument that is written as Typer takes it.
            kind, shown = get_args(hint)
            parameters[place] = Parameter(place, Argument((), {"help": shown.help}), alternatives(kind), False)
        if not hasattr(hint, "__dataclass_fields__"):
            continue
        of_text = issubclass(hint, SourceOptions)
        for field, (kind, option) in fields_of(hint).items():
            reads = Path in alternatives(kind) or any(word in option.settings.get("metavar", "") for word in _FILES)
            # The text comes from standard input, a model has its option: no further word may take their place.
            doubled = isinstance(option, Argument) and (
                "text" in parameters or ("model" in parameters and "completes" in option.settings)
            )
            stays = field == "digits" if issubclass(hint, OutputOptions) else not issubclass(hint, EngineOptions)
            if stays and not reads and not doubled and field not in _LEFT_OUT:
                is_text = of_text and field == "text"
                parameters[field] = Parameter(field, option, alternatives(kind), is_text)
    return CommandTool(name, commands.summary(name), parameters)
