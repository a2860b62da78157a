"""The options of a command as keyword arguments of a function, read from the same dataclasses as the command line's."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, overload

from llminspect.arguments.check import checked, fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.library.inputs import Opened, Text, Texts

R = TypeVar("R")
TERMINAL = frozenset(
    (
        "text file ids lines user more beside search name model decode letters "
        "record paused tensors stream watch workers coordinator process"
    ).split()
)
"""Options that only a terminal has a use for: where its text comes from, and what is a function's own argument here."""


class OfText(Protocol[R]):
    """A function of a text; a list of texts gives it a list of Results."""

    __name__: str

    @overload
    def __call__(self, text: Text, model: Opened = ..., **options: Any) -> R: ...
    @overload
    def __call__(self, text: Texts, model: Opened = ..., **options: Any) -> list[R]: ...


def of_text(function: Callable[..., R]) -> OfText[R]:
    """`takes_options` for a function of a text."""
    return cast("OfText[R]", takes_options(function))


def takes_options(function: Callable[..., R]) -> Callable[..., R]:
    """Let a function be called with every field of the dataclasses among its parameters as a keyword.

    It is called with the dataclasses filled and checked (`arguments.check`): UsageError for a value that is not of the
    option's type, choices or range, TypeError for a name that is none of its options. Its signature shows all of them,
    and its docstring ends with what each means.
    """
    plain, groups = [], {}
    for name, parameter in inspect.signature(function).parameters.items():
        group = function.__globals__.get(parameter.annotation)
        if dataclasses.is_dataclass(group) and isinstance(group, type):
            groups[name] = group
        else:
            plain.append(parameter)
    named = TERMINAL | {parameter.name for parameter in plain}
    fields = [(field, group) for group in groups.values() for field in dataclasses.fields(group)]
    shown = [(field, group) for field, group in fields if field.name not in named]
    options = [_parameter(field, group) for field, group in shown]
    known = {parameter.name for parameter in (*plain, *options)}

    @functools.wraps(function)
    def called(*given: Any, **values: Any) -> R:
        unknown = [name for name in values if name not in known]
        if unknown:
            raise TypeError(f"{function.__name__}() has no option {unknown[0]!r}{_near(unknown[0], known)}")
        filled = {}
        for name, group in groups.items():
            its_own = {field.name for field, of in shown if of is group} & values.keys()
            filled[name] = checked(group(**{field: values.pop(field) for field in its_own}))
        return function(*given, **values, **filled)

    returned = inspect.signature(function).return_annotation
    called.__signature__ = inspect.Signature([*plain, *options], return_annotation=returned)  # type: ignore[attr-defined]
    called.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_described(shown)}".rstrip() + "\n"
    return called


def _parameter(field: dataclasses.Field[Any], group: type) -> inspect.Parameter:
    hint = fields_of(group)[field.name][0]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hint)


def _keyword(option: re.Match[str]) -> str:
    return option[1].replace("-", "_")


def _near(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1, 0.7)
    return f"; is it {near[0]!r}?" if near else ""


def _described(shown: Sequence[tuple[dataclasses.Field[Any], type]]) -> str:
    """Each option with its type, its default and its help, in which other options have their names in Python."""
    lines = ["Options:"] if shown else []
    for field, group in shown:
        hint, option = fields_of(group)[field.name]
        text = re.sub(r"--([a-z][a-z-]*)", _keyword, option.settings.get("help", ""))
        lines.append(f"    {field.name}: {inspect.formatannotation(hint)} = {field.default!r}\n        {text}")
    return "\n".join(lines)
