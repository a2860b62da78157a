"""What every Result has: it prints short, draws itself in a notebook and becomes JSON; types that several have."""

from __future__ import annotations

import dataclasses
import textwrap
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NotRequired, TypeAlias, TypedDict

from llminspect.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.text.tokenizer import Token

WIDTH = 100
"""Columns of what is printed."""
LONGEST = 48
"""Characters of a text, or of a list of plain values, that is printed whole."""


class Drawable:
    """What can be drawn: no dataclass, so that how is no field."""

    draw: ClassVar[Any] = None
    """Result -> HTML; put here by what knows the commands' views (`llminspect.library`), which lies above this."""


@dataclass(frozen=True, repr=False)
class Result(Drawable):
    """The answer to a command's question: a frozen dataclass, whose fields are the keys of its JSON.

    What was not asked for is None. Printing it gives the names of what is there, shapes of arrays and lengths of lists;
    a notebook shows the picture of the command line, dark or light as the reader's screen.
    """

    notes: list[str] | None = field(default=None, kw_only=True)
    """What to know about the numbers, a line each."""

    def __init_subclass__(cls) -> None:
        cls.__repr__ = Result.__repr__  # type: ignore[method-assign]  # In the class itself: dataclasses leave it alone.

    def __repr__(self) -> str:
        name, given = type(self).__name__, vars(self)
        parts = [f"{key}={_short(value)}".replace(" ", "\0") for key, value in given.items() if value is not None]
        lines = textwrap.TextWrapper(
            WIDTH, subsequent_indent=" " * (len(name) + 1), break_long_words=False, break_on_hyphens=False
        )
        return lines.fill(f"{name}({', '.join(parts)})").replace("\0", " ")

    def _repr_html_(self) -> str | None:
        """For notebooks."""
        return None if Result.draw is None else Result.draw(self)


def _short(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…")
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, list | tuple):
        return _short_list(value)
    if isinstance(value, dict):
        return f"{{{len(value)} keys}}"
    return f"{type(value).__name__}(…)" if dataclasses.is_dataclass(value) else repr(value)


def _short_list(values: list[Any] | tuple[Any, ...]) -> str:
    """`[1, 2, 3]`, `[10 × Candidate]`, `[4 × 10 × LensToken]`."""
    if len(values) <= LONGEST and all(isinstance(value, int | float | str) for value in values):
        whole = repr(list(values))
        if len(whole) <= LONGEST:
            return whole
    lengths: list[str] = []
    inner: Any = values
    while isinstance(inner, list | tuple) and inner:
        lengths.append(str(len(inner)))
        inner = inner[0]
    kind = "list" if isinstance(inner, list | tuple) else type(inner).__name__
    return f"[{' × '.join([*lengths, kind])}]"


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
    """The span in the UTF-8 bytes of the input; null where the token is not of the input. Of a token of --pair's text
    the span in that."""
    end: int | None
    special: NotRequired[bool]
    """There, and true, where it is a special token."""
    partial: NotRequired[bool]
    """There, and true, where its bytes are not whole characters."""
    message: NotRequired[int]
    """With --chat: the message whose content the token is of, counted from 0; not there where the template wrote it."""
    segment: NotRequired[int]
    """With --pair: the segment that the token is of."""
    second: NotRequired[bool]
    """There, and true, where the token is of --pair's text."""


Tokens: TypeAlias = Annotated[list[dict[str, Any]], TokenDocument]
"""What `token_documents` makes."""


def token_documents(
    tokens: Sequence[Token], segments: Sequence[int] | None = None, second: range = range(0)
) -> list[dict[str, Any]]:
    """The tokens as JSON has them (index, id, text, bytes, start, end), and of two texts together the segment.

    With `special` where one is, `partial` where one is not whole characters, `second` where it is of the second text.
    """
    documents: list[dict[str, Any]] = []
    for index, token in enumerate(tokens):
        data, start, end = token.data, token.start, token.end
        text = data.decode("utf-8", "replace")
        document = {"index": index, "id": token.id, "text": text, "bytes": data.hex(), "start": start, "end": end}
        if token.special:
            document["special"] = True
        if "\ufffd" in text and is_partial(data):
            document["partial"] = True
        if segments is not None:
            document["segment"] = segments[index]
        if index in second:
            document["second"] = True
        documents.append(document)
    return documents


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
    return {name: entry for name in value.__dataclass_fields__ if (entry := getattr(value, name)) is not None}
