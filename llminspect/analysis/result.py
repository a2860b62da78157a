"""What every Result has: it prints short, and draws itself in a notebook."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any, ClassVar

WIDTH = 100
"""Columns of what is printed."""
LONGEST = 48
"""Characters of a text, or of a list of plain values, that is printed whole."""


class Result:
    """The answer to a command's question: a frozen dataclass, whose fields are the keys of its JSON.

    What was not asked for is None. Printing it gives the names of what is there, shapes of arrays and lengths of lists;
    a notebook shows the picture of the command line, dark or light as the reader's screen.
    """

    draw: ClassVar[Any] = None
    """Result -> HTML; put here by what knows the commands' views (`llminspect.library`), which lies above this."""

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
