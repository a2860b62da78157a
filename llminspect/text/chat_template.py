"""Chat templates: programs in Jinja that come with a model from a stranger, run in a sandbox with bounds.

The names a template may use are those that `transformers` offers (`chat_template_utils.py`), because templates are
written against it.
"""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jinja2 import nodes
    from jinja2.compiler import Frame
    from jinja2.parser import Parser

LARGEST = 1 << 22
"""Characters that a template may write, or put into one string, beyond what the messages hold."""
SECONDS = 5.0


class _Code(CodeGenerator):
    """Sends `a ~ b` through the environment, so that strings cannot double until memory is full."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: marks what the assistant said, for training; here it is just its text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    """No attribute of Python's insides, no changing of what it was given, and no string beyond `LARGEST`."""

    code_generator_class = _Code
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def joined(self, parts: Sequence[object]) -> str:
        strings = [str(part) for part in parts]
        _check(sum(map(len, strings)))
        return "".join(strings)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(value) if isinstance(value, str | list | tuple) else 0 for value in (left, right)]
        if operator == "+":
            _check(sum(sizes))
        elif operator == "*" and any(sizes):
            _check(max(sizes) * max((value for value in (left, right) if isinstance(value, int)), default=1))
        elif operator == "**":
            _check(abs(right) * 4 if isinstance(right, int) else 0)
        elif operator == "%" and isinstance(left, str):
            _check_widths(left)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, called: Any, *arguments: Any, **named: Any) -> Any:
        for value in (*arguments, *named.values()):
            if isinstance(value, int):
                _check(abs(value))  # "x".ljust(10 ** 9)
            elif isinstance(value, str):
                _check_widths(value)
        if getattr(called, "__name__", "") == "replace" and len(arguments) > 1:
            _check(len(str(getattr(called, "__self__", ""))) * max(1, len(str(arguments[1]))))
        return super().call(context, called, *arguments, **named)


def _check(size: int) -> None:
    if size > LARGEST:
        raise SecurityError(f"it makes more than {LARGEST:,} characters")


def _check_widths(text: str) -> None:
    """`"%1000000000d" % 1`"""
    if re.search(r"[%{][^%{}]{0,20}\d{7}", text):
        raise SecurityError("it formats to a width of millions")


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _guarded(name: str) -> Any:
    """A filter whose widths are checked."""
    from jinja2.filters import FILTERS

    def checked(value: Any, *arguments: Any, **named: Any) -> Any:
        for argument in (*arguments, *named.values()):
            _check(abs(argument) if isinstance(argument, int) else 0)
        _check_widths(str(value))
        return FILTERS[name](value, *arguments, **named)

    return checked


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation])
    environment.filters["tojson"] = _to_json
    for name in ("center", "indent", "format", "wordwrap"):
        environment.filters[name] = _guarded(name)
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


@contextmanager
def _time_limit() -> Iterator[None]:
    """Stop a template that loops on and on: a look at the clock at each of its lines."""
    end = time.monotonic() + SECONDS
    before = sys.gettrace()

    def look(frame: Any, event: str, argument: Any) -> Any:
        if time.monotonic() > end:
            raise SecurityError(f"it runs for more than {SECONDS:g} seconds")
        return look

    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)


def render_template(template: str, variables: Mapping[str, Any]) -> str:
    """What the template makes of the variables. Raises UserError, in one line, where it fails."""
    try:
        parts, size = [], 0
        with _time_limit():
            for part in _compiled(template).generate(**variables):
                parts.append(part)
                size += len(part)
                _check(size - sum(len(message["content"]) for message in variables.get("messages", ())))
        return "".join(parts)
    except Exception as error:  # A stranger's program can fail in any way.
        what = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"the model's chat template fails: {what[:300]}") from None
