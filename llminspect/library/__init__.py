"""The library: every command, and the questions inside them, as functions. Import them from `llminspect` itself.

A function takes a text, a model (its name, as `--model` takes it, or one that `open_model` opened, which saves opening
it again), and the options of its command by their names with `_` for `-`; what is not given is as on the command line.
It gives the Result that `--json` writes, with numpy arrays for the numbers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from llminspect.analysis.result import Result, fields_of
from llminspect.errors import UsageError

WIDTH = 100
"""Columns of a picture in a notebook."""


def as_json(result: Result) -> str:
    """A Result as the JSON that its command writes, without what says where it came from.

    What was not asked for is left out, arrays are lists, and numbers have all their digits. Raises UsageError for
    what is no Result.

    >>> import json, llminspect
    >>> written = llminspect.as_json(llminspect.encode("A cat sat.", "toy-attention"))
    >>> json.loads(written)["ids"]
    [0, 1, 2, 3]
    """
    from llminspect.cli.json_text import json_bytes

    if not dataclasses.is_dataclass(result) or isinstance(result, type):
        raise UsageError(f"not a Result: {type(result).__name__}", "of a list of them, give each")
    return json_bytes(fields_of(result)).decode()


def html(result: Any) -> str | None:
    """What the command that gives such a Result draws; None for one that no command draws."""
    from importlib import import_module

    from llminspect import commands
    from llminspect.render.picture import notebook

    kind = f"{type(result).__module__}.{type(result).__qualname__}".removeprefix("llminspect.")
    for name in commands.names():
        if kind in import_module(f"llminspect.commands.{name}").RESULTS.split():
            return notebook(commands.render(name)(result), WIDTH)
    return None


Result.draw = staticmethod(html)
