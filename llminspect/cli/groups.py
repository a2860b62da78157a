"""Dataclasses of options as the options of a command: each field becomes one."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from llminspect.arguments.option import Argument, Option, alternatives, checked, fields_of, number_of
from llminspect.cli.completion import BY_OPTION

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS_GIVEN: ContextVar[dict[str, Any]] = ContextVar("OPTIONS_GIVEN", default={})  # noqa: B039
"""The options of this run that differ from their defaults, for the provenance."""
_NOT_PROVENANCE = {
    "context",
    "text",
    "json",
    "quiet",
    "color",
    "save",
    "width",
    "theme",
    "interactive",
    "workers",
    "model",
    "name",
}
Function = TypeVar("Function", bound="Callable[..., Any]")


def takes_groups(function: Function) -> Function:
    """Let Typer see each field of the dataclasses among the parameters as an option of its own.

    The wrapped function is called with the dataclasses filled. Groups come first in the signature where they hold the
    positional TEXT; the order of the options in `--help` is the order of the fields.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            groups[name] = kind
            defaults = {field.name: field.default for field in dataclasses.fields(kind)}
            for field, (hint, option) in fields_of(kind).items():
                parameters.append(_parameter(field, defaults[field], Annotated[hint, option]))
        else:
            parameters.append(_parameter(name, parameter.default, hints[name]))

    @functools.wraps(function)
    def called_by_typer(**values: Any) -> Any:
        OPTIONS_GIVEN.set(_given(values, {parameter.name: parameter.default for parameter in parameters}))
        filled = {
            name: checked(kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)}))
            for name, kind in groups.items()
        }
        return function(**filled, **values)

    called_by_typer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called_by_typer.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called_by_typer  # type: ignore[return-value]


def _given(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool | int | float | str | list) else str(value)
        for name, value in values.items()
        if name not in _NOT_PROVENANCE and value != defaults[name] and value is not None
    }


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    if get_origin(annotation) is Annotated:
        kind, *metadata = get_args(annotation)
        annotation = Annotated[(_typed(kind), *(_for_typer(name, kind, entry) for entry in metadata))]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def _typed(hint: Any) -> Any:
    """The type of a field as it comes from the command line: what may be a text or something else is a text there."""
    kinds = alternatives(hint)
    text = list[str] if Sequence[str] in kinds else str
    if str not in kinds:
        return hint
    return text | None if type(None) in kinds else text


def _for_typer(name: str, hint: Any, entry: Any) -> Any:
    """The metadata of a field as Typer takes it; layers, heads and models complete by the name of the option."""
    if isinstance(entry, Option):
        settings = dict(entry.settings)
        settings["autocompletion"] = BY_OPTION.get(settings.pop("completes", name))
        if isinstance(entry, Argument):
            return typer.Argument(**settings)
        for kind in (int, float):
            if kind in alternatives(hint) and str not in alternatives(hint):
                settings["click_type"] = _number_type(kind, entry)
        return typer.Option(*entry.names, **settings)
    if isinstance(entry, typer.models.OptionInfo) and entry.autocompletion is None:
        entry.autocompletion = BY_OPTION.get(name)
    return entry


def _number_type(kind: type[int] | type[float], option: Option) -> Any:
    """Typer's type of a number, whose help shows the range; the text is read, and refused, as everywhere."""
    number = typer.main.get_click_type(annotation=kind, parameter_info=typer.Option(min=option.min, max=option.max))

    def convert(value: Any, parameter: Any, context: Any) -> Any:
        try:
            return number_of(value, kind, option)
        except ValueError as error:
            return number.fail(str(error), parameter, context)

    number.convert = convert  # type: ignore[method-assign, assignment]
    return number
