"""What the functions are given: texts, ids, messages, models."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llminspect.arguments.shared import ModelOptions, SourceOptions
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt
    from llminspect.text.tokenizer import Tokenizer

    Text: TypeAlias = str | Sequence[int] | Sequence[Mapping[str, str]]
    """A text; the ids of one; or the messages of a conversation, each with its role and its content."""
    Texts: TypeAlias = list[str] | tuple[str, ...]
    Opened: TypeAlias = str | Model

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
) -> R:
    """The Result of one text, or a list of those of each of a list of texts (the functions' types say so: `OfText`)."""
    if several(text):
        return cast("R", [work(prompt_of(one, source, tokenizer, may_be_empty=may_be_empty)) for one in text])
    return work(prompt_of(text, source, tokenizer, may_be_empty=may_be_empty))


def several(text: Any) -> bool:
    """Whether it is a list of texts, rather than a text or a list of ids."""
    return isinstance(text, list | tuple) and bool(text) and all(isinstance(entry, str) for entry in text)


def prompt_of(text: Any, source: SourceOptions, tokenizer: Tokenizer | None, *, may_be_empty: bool = False) -> Prompt:
    """The tokens of a text, of ids, or of messages. Raises UsageError for what is none of these."""
    from llminspect.analysis.prompt import prompt_of_ids, text_prompt
    from llminspect.arguments.ids import parse_ids

    if isinstance(text, str):
        if not text and not may_be_empty:
            raise UsageError("the text is empty", "give at least one character")
        return text_prompt(text, replace(source, text=text), tokenizer, None)
    given = text.tolist() if hasattr(text, "tolist") else text
    if isinstance(given, list | tuple | range):
        if given and all(isinstance(entry, dict) for entry in given):
            return text_prompt(json.dumps(list(given)), replace(source, chat=True), tokenizer, None)
        if all(type(entry) is int for entry in given):
            if source != SourceOptions():
                raise UsageError(
                    "special, parse, chat and system say how a text becomes ids", "give a text, or leave them out"
                )
            return prompt_of_ids(parse_ids(given), tokenizer, None)
    raise UsageError(
        f"not a text: {type(text).__name__} {str(text)[:40]!r}",
        "give a text, a list of ids, a list of messages, or a list of texts",
    )


def opened(model: Opened) -> Model:
    """The model, opened unless it is."""
    from llminspect.opening import open_model

    return open_model(model) if isinstance(model, str) else _checked(model)


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
