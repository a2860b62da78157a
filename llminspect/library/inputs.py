"""What the functions are given: texts, ids, messages, models, and the options of a command as keyword arguments.

The options are read from the same dataclasses as the command line's.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import operator
import os
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard, TypeVar, cast, overload

from llminspect.analysis.result import Results
from llminspect.arguments.option import alternatives, checked, fields_of, in_short
from llminspect.arguments.shared import ModelOptions, SourceOptions
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt
    from llminspect.text.tokenizer import Tokenizer

Text: TypeAlias = str | Sequence[int] | Sequence[Mapping[str, Any]]
"""A text; the ids of one; or the messages of a conversation, each with its role and its content."""
Texts: TypeAlias = list[str] | tuple[str, ...]
Opened: TypeAlias = "str | Model"
R = TypeVar("R")


class _Name(str):
    """A name that was not given, which is told from the same name given by being this very object."""


DEFAULT = _Name(ModelOptions().model)


def each(
    text: Text | Texts,
    source: SourceOptions,
    tokenizer: Tokenizer | None,
    work: Callable[[Prompt], R],
    *,
    may_be_empty: bool = False,
    target_ids: object = None,
    provenance: Mapping[str, Any] = MappingProxyType({}),
) -> R:
    """The Result of one text, or a list of those of each of a list of texts (the functions' types say so: `OfText`).

    `special` says something to ids where there are `target_ids`: whether those are taken as they are. They say what is
    to be known of the model with this `provenance`, and of how the tokenizer was read."""
    if tokenizer is not None and tokenizer.note:
        provenance = {**provenance, "tokenizer_note": tokenizer.note}
    if several(text):
        prompts = [prompt_of(one, source, tokenizer, may_be_empty=may_be_empty) for one in text]
        return cast("R", Results(noted(work(prompt), provenance, prompt.notes) for prompt in prompts))
    if target_ids is not None and not isinstance(text, str):
        source = dataclasses.replace(source, special=None)
    prompt = prompt_of(text, source, tokenizer, may_be_empty=may_be_empty)
    return noted(work(prompt), provenance, prompt.notes)


def noted(result: R, provenance: Mapping[str, Any], notes: Sequence[str] = ()) -> R:
    """A Result with what is to be known of the model that it is of, and of its input."""
    from llminspect.files.remarks import remarks

    found = [*remarks(provenance), *notes]
    return dataclasses.replace(result, notes=[*found, *(result.notes or ())]) if found else result  # type: ignore


def several(text: Any) -> bool:
    """Whether it is a list of texts, rather than a text or a list of ids."""
    return isinstance(text, list | tuple) and bool(text) and all(isinstance(entry, str) for entry in text)


def prompt_of(text: Any, source: SourceOptions, tokenizer: Tokenizer | None, *, may_be_empty: bool = False) -> Prompt:
    """The tokens of a text, of ids, or of messages. Raises UsageError for what is none of these."""
    from llminspect.analysis.prompt import prompt_of_ids, text_prompt
    from llminspect.arguments.ranges import parse_ids

    if isinstance(text, str):
        if not text and not may_be_empty:
            raise UsageError("the text is empty", "give at least one character")
        return text_prompt(text, dataclasses.replace(source, text=text), tokenizer, None)
    given = text.tolist() if hasattr(text, "tolist") else text
    if isinstance(given, list | tuple | range):
        if _are_messages(given):
            return text_prompt(
                json.dumps([dict(message) for message in given]),
                dataclasses.replace(source, chat=True),
                tokenizer,
                None,
            )
        given = [
            int(entry) if isinstance(entry, Integral) and not isinstance(entry, bool) else entry for entry in given
        ]
        if all(type(entry) is int for entry in given):
            if source != type(source)():
                raise UsageError(
                    "special, parse, chat, system, tools, template_options and pair say how a text becomes ids",
                    "give a text, or leave them out",
                )
            return prompt_of_ids(parse_ids(given), tokenizer, None)
    raise UsageError(
        f"not a text: {type(text).__name__} {in_short(text)}",
        "give a text, a list of ids, a list of messages, or a list of texts; a model is given as model=…",
    )


def _are_messages(text: Any) -> TypeGuard[Sequence[Mapping[str, Any]]]:
    return isinstance(text, list | tuple) and bool(text) and all(isinstance(entry, Mapping) for entry in text)


def opened(model: Opened, writing: bool = False) -> Model:
    """The model, opened unless it is."""
    from llminspect.opening import open_model

    return open_model(model, writing=writing) if isinstance(model, str) else _checked(model)


def tokenizer_of(model: Opened) -> Tokenizer:
    """Its tokenizer. Raises UsageError for a model that comes without one."""
    from llminspect.opening import open_tokenizer

    if isinstance(model, str):
        return open_tokenizer(model)[0]
    tokenizer = _checked(model).tokenizer
    if tokenizer is None:
        raise UsageError(f"{model.name} comes without a tokenizer", "give ids")
    return tokenizer


def _checked(model: Model) -> Model:
    from llminspect.model.opened import Model

    if not isinstance(model, Model):
        raise UsageError(f"not a model: {type(model).__name__}", "give its name, or what open_model gave")
    return model


def name_of(model: Opened) -> str:
    """What `--model` would be."""
    return model if isinstance(model, str) else model.name


def checked_text(value: object, what: str, example: str) -> str:
    """A value that has to be a text. Raises UsageError, which says what it is not."""
    if not isinstance(value, str):
        raise UsageError(f"not {what}: {in_short(value)}", f"a text, as in {example!r}")
    return value


def path_text(path: object) -> str:
    """A path as text. Raises UsageError for what is none."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise UsageError(f"not a path: {in_short(path)}", "give a text, or a pathlib.Path")
    return str(path)


TERMINAL = frozenset(
    (
        "text file paths ids lines user more beside search name model decode letters "
        "record dictionary clean corrupt against_adapter paused tensors stream watch workers coordinator process"
    ).split()
)
"""Options that only a terminal has a use for: where its text comes from, and what is a function's own argument here."""


MODELS = {"model", "name", "against_model"}
"""What stands for a model among the arguments of a function."""


class OfText(Protocol[R]):
    """A function of a text; a list of texts gives it a list of Results."""

    __name__: str

    @overload
    def __call__(self, text: Text, model: Opened | os.PathLike[str] = ..., **options: Any) -> R: ...
    @overload
    def __call__(self, text: Texts, model: Opened | os.PathLike[str] = ..., **options: Any) -> Results[R]: ...


def of_text(function: Callable[..., R]) -> OfText[R]:
    """`takes_options` for a function of a text."""
    return cast("OfText[R]", takes_options(function))


def takes_options(function: Callable[..., R]) -> Callable[..., R]:
    """Let a function be called with every field of the dataclasses among its parameters as a keyword.

    It is called with the dataclasses filled and checked (`arguments.option`): UsageError for a value that is not of the
    option's type, choices or range, TypeError for a name that is none of its options. Its signature shows all of them,
    and its docstring ends with what each means. The path of a model stands for its name, and a
    `Place` for its text.
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
    keyword = functools.partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY)
    options = [keyword(of.name, **_seen(of, group)) for of, group in shown]
    known = {parameter.name for parameter in (*plain, *options)}
    models = {
        at
        for at, parameter in enumerate(plain)
        if parameter.name in MODELS and parameter.kind != parameter.KEYWORD_ONLY
    }

    @functools.wraps(function)
    def called(*given: Any, **values: Any) -> R:
        unknown = [name for name in values if name not in known]
        if unknown:
            raise TypeError(
                f"{function.__name__.removeprefix('_')}() has no option {unknown[0]!r}{_near(unknown[0], known)}"
            )
        given = tuple(_name_of_path(value) if at in models else value for at, value in enumerate(given))
        values |= {name: _name_of_path(values[name]) for name in MODELS & values.keys()}
        filled = {}
        for name, group in groups.items():
            of_group = {field.name for field, of in shown if of is group} & values.keys()
            filled[name] = checked(group(**{field: _places_as_texts(values.pop(field)) for field in of_group}))
            if isinstance(filled[name], SourceOptions) and given and _are_messages(given[0]):
                filled[name] = dataclasses.replace(filled[name], chat=True)
        return function(*given, **values, **filled)

    returned = inspect.signature(function).return_annotation
    called.__signature__ = inspect.Signature([*plain, *options], return_annotation=returned)  # type: ignore[attr-defined]
    called.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_described(shown)}".rstrip() + "\n"
    return called


def _places_as_texts(value: Any) -> Any:
    from llminspect.core.intervention import Place

    if isinstance(value, list | tuple) and any(isinstance(entry, Place) for entry in value):
        return [_places_as_texts(entry) for entry in value]
    return str(value) if isinstance(value, Place) else value


def _name_of_path(model: Any) -> Any:
    return os.fspath(model) if isinstance(model, os.PathLike) else model


def _near(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1, 0.7)
    return f"; is it {near[0]!r}?" if near else ""


def _seen(field: dataclasses.Field[Any], group: type) -> dict[str, Any]:
    """The default and the type of an option as a reader sees them: what None stands for in its place."""
    hint, option = fields_of(group)[field.name]
    if option.usual is None:
        return {"default": field.default, "annotation": hint}
    kinds = [kind for kind in alternatives(hint) if kind is not type(None)]
    return {"default": option.usual, "annotation": functools.reduce(operator.or_, kinds)}


def _described(shown: Sequence[tuple[dataclasses.Field[Any], type]]) -> str:
    """Each option with its type, its default and its help, in which other options have their names in Python."""
    lines = ["Options:"] if shown else []
    for field, group in shown:
        seen, option = _seen(field, group), fields_of(group)[field.name][1]
        text = re.sub(r"--([a-z][a-z-]*)", lambda name: name[1].replace("-", "_"), option.settings.get("help", ""))
        lines.append(
            f"    {field.name}: {inspect.formatannotation(seen['annotation'])} = {seen['default']!r}\n        {text}"
        )
    return "\n".join(lines)
