"""Types of what commands write that more than one of them needs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.text.tokenizer import Token


@dataclass(frozen=True)
class Dims:
    """The axes of an array, by the dimension letters: "T D" is a list of T lists of D numbers."""

    axes: str


class TokenDocument(TypedDict):
    """One token of the input."""

    index: int
    id: int
    text: str
    """With U+FFFD where its bytes are not whole characters."""
    bytes: str
    """In hex."""
    start: int | None
    """The span in the UTF-8 bytes of the input; null where the token is not of the input."""
    end: int | None
    special: NotRequired[bool]
    """There, and true, where it is a special token."""
    partial: NotRequired[bool]
    """There, and true, where its bytes are not whole characters."""
    message: NotRequired[int]
    """With --chat: the message whose content the token is of, counted from 0; not there where the template wrote it."""


Tokens: TypeAlias = Annotated[list[dict[str, Any]], TokenDocument]
"""What `_input.token_documents` makes."""


def token_documents(tokens: Sequence[Token]) -> list[dict[str, Any]]:
    """The tokens as JSON has them (index, id, text, bytes, start, end).

    With `special` where one is, and `partial` where one is not whole characters.
    """
    return [_token_document(index, token) for index, token in enumerate(tokens)]


def _token_document(index: int, token: Token) -> dict[str, Any]:
    data = token.data
    try:
        text, partial = data.decode(), False
    except UnicodeDecodeError:
        text, partial = token.text, True
    document = {
        "index": index,
        "id": token.id,
        "text": text,
        "bytes": data.hex(),
        "start": token.start,
        "end": token.end,
    }
    if token.special:
        document["special"] = True
    if partial:
        document["partial"] = True
    return document


def is_partial(data: bytes) -> bool:
    """Whether bytes are not whole characters."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def fields_of(result: Any) -> dict[str, Any]:
    """A Result as a JSON object: dataclasses become objects, a field that is None is left out."""
    return {name: _value(value) for name, value in given_fields(result).items()}


def _value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return fields_of(value)
    if isinstance(value, list | tuple):
        return [_value(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _value(entry) for key, entry in value.items()}
    return value


def given_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not None, as they are."""
    return {name: entry for name in _names(value.__class__) if (entry := getattr(value, name)) is not None}


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))
