"""What is said of an option beside its type (names, help, range), and one check for all: type, choices, range.

The command line makes its options of it and reads the texts of numbers with it, Python hands over values of its own,
and both are refused in the same words.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

LARGEST = 2**63 - 1
"""Whole numbers lie between −LARGEST and this where an option sets no range: they end up in JSON and in numpy."""


@dataclass(frozen=True, eq=False)
class Option:
    """What `option` says of a field."""

    names: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    """What else the command line is told: help, metavar, envvar, show_default, and what the shell `completes`."""
    min: float | None = None
    max: float | None = None
    usual: Any = None
    """What None stands for, where a value that was given is told from the same one that was not."""
    shown: str = ""
    """`--top-p`; of what has no name on the command line what stands for it there."""


class Argument(Option):
    """The same of a field that stands without a name on the command line."""


def option(
    default: Any = None,
    *names: str,
    min: float | None = None,
    max: float | None = None,
    usual: Any = None,
    **settings: Any,
) -> Any:
    """A field that is an option: `top: int = option(10, min=0, help="How many.")`; its name is the field's, as `--top`,
    unless `names` says otherwise. `usual` is what None stands for (`usual_of`)."""
    return field(default=default, metadata={"option": Option(names, settings, min, max, usual)})


def argument(default: Any = None, **settings: Any) -> Any:
    """A field that stands without a name on the command line."""
    return field(default=default, metadata={"option": Argument((), settings)})


Texts: TypeAlias = str | Sequence[str]
"""One text or several: an option that may be given more than once."""


def each(texts: Texts | None) -> Sequence[str]:
    """One text as a list of one, None as none."""
    return [texts] if isinstance(texts, str) else texts or []


Group = TypeVar("Group")
LONGEST_NUMBER = 400
"""Characters of the text of a number: Python itself reads no integer of more than 4,300 digits."""
_PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    dict: "an object",
}


def checked(options: Group) -> Group:
    """The options of a group with every field checked; arrays and numbers of numpy become Python's own.

    `checked(SamplingOptions(top_p=3))` raises UsageError: "Invalid value for '--top-p': 3 is not a number
    from 0 to 1", as the command line does. What only the model knows (is there a layer 7?) is checked where it is used.
    """
    changed = {}
    kind: Any = type(options)
    for name, (hint, option) in fields_of(kind).items():
        given = getattr(options, name)
        try:
            value = _fitting(given, hint, option)
        except ValueError as error:
            raise UsageError(f"Invalid value for '{option.shown}': {error}") from None
        if type(value) is not type(given) or value != given:
            changed[name] = value
    return cast("Group", replace(cast("Any", options), **changed)) if changed else options


@cache
def fields_of(kind: Any) -> dict[str, tuple[Any, Option]]:
    """The fields of a group in their order: the type of each, and what is said of it as an option."""
    hints, found = get_type_hints(kind), {}
    for entry in fields(kind):
        option: Option = entry.metadata["option"]
        usual = () if isinstance(option, Argument) else (f"--{entry.name.replace('_', '-')}",)
        names = option.names or usual
        shown = names[0].partition("/")[0] if names else option.settings.get("metavar") or entry.name
        found[entry.name] = hints[entry.name], replace(option, names=names, shown=shown)
    return found


def usual_of(group: Any, name: str) -> Any:
    """The value of a field, or what None stands for there."""
    value, kind = getattr(group, name), cast("Any", type(group))
    return fields_of(kind)[name][1].usual if value is None else value


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a field may have, None (as NoneType) among them."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def number_of(value: object, kind: type[int] | type[float], option: Option) -> int | float:
    """A number, or the text of one, that is in the option's range. Raises ValueError that says what is wrong."""
    number = _read(value, kind) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int if kind is int else (int, float)):
        raise ValueError(f"{in_short(value)} is not {_PLAIN[kind]}")
    if kind is float and not -sys.float_info.max <= number <= sys.float_info.max:
        raise ValueError(f"{in_short(number)} is not a finite number")
    low, high = option.min, option.max
    if kind is int and abs(number) > LARGEST:
        low, high = (-LARGEST if low is None else low), (LARGEST if high is None else high)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(f"{in_short(number)} is not {range_in_words(low, high)}")
    return number


def path_of(text: str) -> Path:
    """A path; raises ValueError for an empty text, which `Path` takes for the folder that one is in."""
    if not text:
        raise ValueError(f"{text!r} is not {_PLAIN[Path]}")
    return Path(text)


def _read(text: str, kind: type[int] | type[float]) -> int | float:
    """The number that a text is, in the digits 0 to 9."""
    with suppress(ValueError):
        if text.isascii() and "_" not in text and len(text) <= LONGEST_NUMBER:
            return kind(text)
    raise ValueError(f"{in_short(text)} is not {_PLAIN[kind]}")


def _fitting(value: Any, hint: Any, option: Option) -> Any:
    """The value as the first of the types that it fits. Raises ValueError that says which there are."""
    kinds = alternatives(hint)
    if value is None and type(None) in kinds:
        return None
    value = value.tolist() if hasattr(value, "tolist") else value
    wrong: list[ValueError] = []
    for kind in kinds:
        try:
            if kind is not type(None):
                return _as(value, kind, option)
        except ValueError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    raise ValueError(f"{in_short(value)} is not {' or '.join(map(_described, kinds))}".removesuffix(" or None"))


def _as(value: Any, kind: Any, option: Option) -> Any:
    if kind in (int, float):
        if isinstance(value, str):
            raise ValueError(f"{in_short(value)} is not {_PLAIN[kind]}")
        return number_of(value, kind, option)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in inner or isinstance(value, bool):
            raise ValueError(f"{in_short(value)} is not one of {', '.join(map(repr, inner))}")
        return value
    if origin in (list, tuple, Sequence):
        fixed = origin is tuple and inner[-1] is not ...
        if isinstance(value, str) or not isinstance(value, Sequence) or (fixed and len(value) != len(inner)):
            raise ValueError(f"{in_short(value)} is not {_described(kind)}")
        if fixed:
            return tuple(_fitting(entry, each, option) for entry, each in zip(value, inner, strict=True))
        if isinstance(value, range):  # However long, its first number says what all of them are.
            _fitting(next(iter(value), 0), inner[0], option)
            return value
        entries = [_fitting(entry, inner[0], option) for entry in value]
        return tuple(entries) if origin is tuple else entries
    if kind is Path and isinstance(value, str):
        return path_of(value)
    if not isinstance(value, origin or kind):
        raise ValueError(f"{in_short(value)} is not {_described(kind)}")
    return value


def _described(kind: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple and inner[-1] is not ...:
        return f"{len(inner)} of them"
    if origin is not None and inner and origin is not dict:
        return f"a list, each {' or '.join(map(_described, alternatives(inner[0])))}"
    return "None" if kind is type(None) else _PLAIN[origin or kind]


def range_in_words(low: object, high: object) -> str:
    """`a number from 0 to 1`, `a number from 0 up`."""
    if low is None:
        return f"a number up to {high}"
    return f"a number from {low} up" if high is None else f"a number from {low} to {high}"


def in_short(value: object) -> str:
    """A value in a message: of one that is too long its beginning, of an integer like that its length."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a number of {value.bit_length():,} bits"
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
