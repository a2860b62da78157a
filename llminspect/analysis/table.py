"""Results as tables: one row a Result, or one a thing in it, whatever the Result.

A path says what the rows are (`next`, `attribution.layers`, `overview.measures.entropy`): of a list each entry is a
row, of an array each number, of a dictionary of arrays each number of each. Columns are named as JSON names things.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from typing import Any

import numpy as np

from llminspect.errors import UsageError, UserError

MOST = 5_000_000
"""Rows of one table."""


def rows_of(results: Sequence[Any], of: str | None) -> list[dict[str, Any]]:
    """The rows; `result`, its number, and `input`, its text, say which Result each is of.

    Raises UsageError for Results of several kinds, for a path that leads nowhere, and for more rows than a table is
    good for."""
    kinds = {type(result).__name__ for result in results}
    if len(kinds) > 1:
        raise UsageError(f"a table is of Results of one kind, not of {', '.join(sorted(kinds))}")
    found: list[dict[str, Any]] = []
    for number, result in enumerate(results):
        front = {"result": number, "input": _input_of(result)}
        rows = iter([_flat(result)]) if of is None else _along(result, of.split("."), of, {}, ())
        for row in rows:
            found.append(front | row)
            if len(found) > MOST:
                raise UsageError(f"a table of {of} has more than {MOST} rows", "take the arrays themselves")
    return found


def _input_of(result: Any) -> str | None:
    """The text that a Result is of; None where it is of none."""
    for name in ("text", "prompt"):
        if isinstance(text := getattr(result, name, None), str):
            return text
    tokens = getattr(result, "tokens", None)
    return "".join(token["text"] for token in tokens) if isinstance(tokens, list) else None


def frame(rows: Sequence[dict[str, Any]]) -> Any:
    """The rows as a DataFrame. Raises UserError where pandas is not installed."""
    if find_spec("pandas") is None:
        raise UserError("to_pandas() needs pandas, which is not installed", "pip install pandas, or take rows()")
    pandas: Any = import_module("pandas")
    return pandas.DataFrame(list(rows))


def _along(
    value: Any, path: Sequence[str], of: str, front: dict[str, Any], axes: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """The rows at the end of a path; entries of lists on the way are counted in a column of the list's name."""
    if not path:
        yield from _rows(value, of.rpartition(".")[2], front, axes)
        return
    name, *rest = path
    there = _fields(value)
    if there.get(name) is None:
        raise UsageError(f"there is no {name!r} here for a table of {of!r}", f"there are {', '.join(there) or 'none'}")
    inner, axes = there[name], axes if isinstance(value, dict) else _axes(value, name)
    if rest and isinstance(inner, list | tuple):
        for at, entry in enumerate(inner):
            yield from _along(entry, rest, of, {**front, name: at}, ())
    else:
        yield from _along(inner, rest, of, front, axes)


def _rows(value: Any, name: str, front: dict[str, Any], axes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if isinstance(value, list | tuple):
        for at, entry in enumerate(value):
            yield {**front, name: at, **(_flat(entry) if _fields(entry) else {"value": entry})}
    elif isinstance(value, np.ndarray):
        names = axes if len(axes) == value.ndim else tuple(f"axis_{axis}" for axis in range(value.ndim))
        for place, number in np.ndenumerate(value):
            yield {**front, **dict(zip(names, place, strict=True)), "value": number.item()}
    elif isinstance(value, dict) and value and all(isinstance(array, np.ndarray) for array in value.values()):
        yield from chain.from_iterable(_rows(array, name, {**front, "name": key}, axes) for key, array in value.items())
    else:
        yield {**front, **(_flat(value) if _fields(value) else {name: _plain(value)})}


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if not dataclasses.is_dataclass(value):
        return {}
    return {name: entry for name in value.__dataclass_fields__ if (entry := getattr(value, name)) is not None}


def _flat(value: Any, front: str = "") -> dict[str, Any]:
    """What is in an object, and in those inside it by `outer.inner`; lists and arrays stay whole."""
    found: dict[str, Any] = {}
    for name, entry in _fields(value).items():
        if _fields(entry):
            found |= _flat(entry, f"{front}{name}.")
        else:
            found[f"{front}{name}"] = _plain(entry)
    return found


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _axes(value: Any, name: str) -> tuple[str, ...]:
    """The letters of an array's axes (docs/shapes.md), where its field says so."""
    kinds = [vars(kind).get("__annotations__", {}) for kind in type(value).__mro__]
    # Written out as the source has it: what else the annotation names need not be imported.
    stated = re.search(r"Dims\(['\"]([\w ]*)['\"]\)", str(next((kind[name] for kind in kinds if name in kind), "")))
    return tuple(stated[1].split()) if stated else ()
