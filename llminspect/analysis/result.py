"""What every Result has: it prints short, draws itself in a notebook and becomes JSON; types that several have."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NotRequired, TypeAlias, TypedDict, TypeVar

from llminspect.core.dataclass import dataclass

if TYPE_CHECKING:
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
    """What to know about the numbers, one line each."""

    def __repr__(self) -> str:
        name, given = type(self).__name__, vars(self)
        parts = [f"{key}={_short(value)}".replace(" ", "\0") for key, value in given.items() if value is not None]
        lines = textwrap.TextWrapper(
            WIDTH, subsequent_indent=" " * (len(name) + 1), break_long_words=False, break_on_hyphens=False
        )
        return lines.fill(f"{name}({', '.join(parts)})").replace("\0", " ")

    def to_dict(self) -> dict[str, Any]:
        """The keys of its JSON; numpy arrays stay arrays.

        >>> import llminspect
        >>> llminspect.encode("A cat sat.", "toy-attention").to_dict()["ids"]
        [0, 1, 2, 3]
        """
        return fields_of(self)

    def rows(self, of: str | None = None) -> list[dict[str, Any]]:
        """It as a table: one row, or with `of`, a key or a path of keys, one for each thing that it names. See
        `Results`.

        >>> import llminspect
        >>> for row in llminspect.encode("A cat", "toy-attention").rows("tokens"):
        ...     print(row["result"], row["input"], row["tokens"], repr(row["text"]), row["id"])
        0 A cat 0 'A' 0
        0 A cat 1 'cat' 1
        """
        return Results([self]).rows(of)

    def to_pandas(self, of: str | None = None) -> Any:
        """These rows as a DataFrame. Raises UserError where pandas is not installed."""
        return Results([self]).to_pandas(of)

    def __add__(self, other: Result | Sequence[Result]) -> Results[Any]:
        """This one and the other, or others."""
        return Results([self]) + other

    def _repr_html_(self) -> str | None:
        """For notebooks."""
        return None if Result.draw is None else Result.draw(self)


R = TypeVar("R")


class Results(list[R]):
    """Results of one command, as a list of texts gives them: a list, and one table.

    A table has a row a Result, or with `of` a row for each thing that a key, or a path of keys, names: for each entry
    of a list (`next`, `attribution.layers`), for each number of an array, with a column for each of its axes. The
    columns `result` and `input`, its text, say which Result a row is of. `+` puts more Results after these.

    >>> import llminspect
    >>> found = llminspect.encode(["A cat", "A"], "toy-attention") + llminspect.encode("A cat sat", "toy-attention")
    >>> [len(result.ids) for result in found]
    [2, 1, 3]
    >>> [(row["result"], row["id"]) for row in found.rows("tokens")]
    [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)]
    """

    def rows(self, of: str | None = None) -> list[dict[str, Any]]:
        """The table, a dictionary a row. Raises UsageError for a path that leads nowhere, for Results of several kinds,
        and for more than 5,000,000 rows."""
        from llminspect.analysis.table import rows_of

        return rows_of(self, of)

    def to_dict(self) -> list[dict[str, Any]]:
        """Each Result as a dictionary, as its JSON has it."""
        return [fields_of(result) for result in self]

    def to_pandas(self, of: str | None = None) -> Any:
        """The table as a DataFrame. Raises UserError where pandas is not installed, and as `rows`."""
        from llminspect.analysis.table import frame, rows_of

        return frame(rows_of(self, of))

    def __add__(self, other: Any) -> Results[Any]:
        return Results([*self, *([other] if isinstance(other, Result) else other)])


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


def shown_text(token: Mapping[str, Any]) -> str:
    """A token's text for a picture; of one that is not whole characters the bytes, and · for a space: `‹·F09F›`."""
    if not token.get("partial"):
        return str(token["text"])
    text = bytes.fromhex(token["bytes"]).decode("utf-8", "surrogateescape").replace(" ", "·")
    return f"‹{''.join(f'{ord(char) - 0xDC00:02X}' if 0xDC80 <= ord(char) <= 0xDCFF else char for char in text)}›"


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
