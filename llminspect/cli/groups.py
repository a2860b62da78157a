"""Dataclasses of options as the options of a command: each field becomes one; and what the shell completes of them.

For completion nothing is fetched, and whatever fails completes nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from llminspect.arguments.option import Argument, Option, alternatives, fields_of, number_of, path_of
from llminspect.arguments.together import check_together
from llminspect.cli.save import check_ending
from llminspect.errors import UserError

OPTIONS_GIVEN: ContextVar[dict[str, Any]] = ContextVar("OPTIONS_GIVEN", default={})  # noqa: B039
"""The options of this run that differ from their defaults, for the provenance."""
_NOT_PROVENANCE = set("context text json quiet color save width theme interactive workers model name".split())
Function = TypeVar("Function", bound="Callable[..., Any]")


def takes_groups(function: Function, *, arrays: bool = False) -> Function:
    """Let Typer see each field of the dataclasses among a command's parameters as an option of its own.

    The command is called with the dataclasses filled, after what does not go together and what cannot be saved (with
    `arrays` also .npz can) was refused. Groups come first in the signature where they hold the positional TEXT; the
    order of the options in `--help` is the order of the fields, each under the heading of the class that it is of.
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
                stands_in: Any = next(base for base in kind.__mro__ if field in inspect.get_annotations(base))
                parameters.append(_parameter(field, defaults[field], hint, option, stands_in.heading))
        else:  # Written as Typer takes it.
            parameters.append(parameter.replace(annotation=kind))

    @functools.wraps(function)
    def called_by_typer(**values: Any) -> Any:
        usual = {parameter.name: parameter.default for parameter in parameters}
        given = {
            name: value if isinstance(value, bool | int | float | str | list | tuple) else str(value)
            for name, value in values.items()
            if name not in _NOT_PROVENANCE and value != usual[name] and value is not None
        }
        OPTIONS_GIVEN.set(given)
        filled = {
            name: kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        check_together(function.__module__.rpartition(".")[2], *filled.values())
        if "output" in filled:
            check_ending(filled["output"], arrays=arrays)
        return function(**filled, **values)

    called_by_typer.examples = lambda: _examples(function.__module__.rpartition(".")[2], list(groups.values()))  # type: ignore[attr-defined]
    called_by_typer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called_by_typer.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called_by_typer  # type: ignore[return-value]


def _examples(command: str, groups: list[Any]) -> dict[str, str]:
    """An example of each heading, with the command's name, a text where it takes one, and what it needs."""
    needed = next((group.needed for group in groups if hasattr(group, "needed")), "")
    text = ' "A cat sat."' if any(hasattr(group, "text") for group in groups) else ""
    kinds = [kind for group in groups for kind in reversed(group.__mro__[:-1])]
    written = {kind.heading: kind.example for kind in reversed(kinds)}  # The first of a heading.
    return {name: example.format(command=command, text=text, needed=needed) for name, example in written.items()}


def _parameter(name: str, default: Any, hint: Any, option: Option, heading: str) -> inspect.Parameter:
    """A field as Typer takes it. What may be a text or something else is a text on the command line; layers, heads and
    models complete by the name of the option."""
    kinds, settings = alternatives(hint), {**option.settings, "rich_help_panel": heading}
    settings["autocompletion"] = BY_OPTION.get(settings.pop("completes", name))
    if option.usual is not None:
        settings |= {"help": f"{settings['help']} Default: {option.usual}.", "show_default": False}
    if isinstance(option, Argument):
        made = typer.Argument(**settings)
    else:
        for kind in (int, float):
            if kind in kinds and str not in kinds:
                read = functools.partial(number_of, kind=kind, option=option)
                settings["click_type"] = _read_by(read, kind, min=option.min, max=option.max)
        if Path in kinds:
            settings["click_type"] = _read_by(path_of, Path)
        made = typer.Option(*option.names, **settings)
    if str in kinds:
        text = list[str] if Sequence[str] in kinds else str
        hint = text | None if type(None) in kinds else text
    annotation = Annotated[hint, made]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def _read_by(read: Callable[[Any], Any], kind: type, **settings: Any) -> Any:
    """Typer's type of that kind, whose help shows a range; the text is read, and refused, as everywhere: by `read`."""
    known = typer.main.get_click_type(annotation=kind, parameter_info=typer.Option(**settings))

    def convert(value: Any, parameter: Any, context: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            return known.fail(str(error), parameter, context)

    known.convert = convert  # type: ignore[method-assign, assignment]
    return known


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Toys, catalogue names, and the .gguf files and model folders at the place that is being typed."""
    from llminspect.files.catalogue import CATALOGUE
    from llminspect.files.locate import model_paths
    from llminspect.model.toy import TOYS

    return [name for name in (*CATALOGUE, *TOYS) if name.startswith(incomplete)] + model_paths(incomplete)


def catalogue(ctx: typer.Context, incomplete: str) -> list[str]:
    from llminspect.files.catalogue import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


def tokenizers(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `models` gives, and the tokenizers that stand alone."""
    from llminspect.text.standalone import standalone_names

    return models(ctx, incomplete) + [name for name in standalone_names() if name.startswith(incomplete)]


def layers(ctx: typer.Context, incomplete: str) -> list[str]:
    """The layers of the model that the command line names so far; of a list, its last number."""
    return _numbers(ctx, incomplete, "L")


def heads(ctx: typer.Context, incomplete: str) -> list[str]:
    """The query heads, as `layers`."""
    return _numbers(ctx, incomplete, "H")


def _numbers(ctx: typer.Context, incomplete: str, letter: str) -> list[str]:
    from llminspect.opening import describe_model

    try:
        name = ctx.params.get("model") or "smollm2"
        revision, ignored = ctx.params.get("revision"), ctx.params.get("ignore_settings") or ()
        sizes = describe_model(name, revision=revision, offline=True, ignore_settings=ignored).config.sizes
    except (UserError, OSError):
        return []
    match = re.search(r"\d*$", incomplete)
    begun = match[0] if match else ""
    front = incomplete.removesuffix(begun)
    return [f"{front}{number}" for number in range(getattr(sizes, letter)) if str(number).startswith(begun)]


BY_OPTION = {function.__name__: function for function in (models, tokenizers, catalogue)}
BY_OPTION |= {"model": models, "layer": layers, "head": heads}
"""Options of these names, or that say so (`completes="models"`), complete so."""
