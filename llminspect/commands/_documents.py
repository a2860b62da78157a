"""Types of what commands write that more than one of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypeAlias, TypedDict


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
