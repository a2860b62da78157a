"""The other side of `chat_template`: a process that renders templates, one line of JSON after another.

The names a template may use are those that `transformers` offers (`chat_template_utils.py`), because templates are
written against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llminspect.text.bounded_server import LONGEST_ERROR, serve_with

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.parser import Parser

MEMORY = 512 << 20
"""Bytes of address space that the process may have, beyond some for each byte of what it is asked."""


def serve() -> None:
    """Answer {"template", "variables", "largest"} by {"text"}, {"refused"} or {"error"}."""
    serve_with(lambda request: rendered(request["template"], request["variables"], request["largest"]), MEMORY)


def rendered(template: str, variables: Mapping[str, Any], largest: int) -> dict[str, str]:
    """{"text"}, of at most `largest` characters; {"refused"} where the template says itself that it does not take the
    messages; or {"error"}."""
    parts, size = [], 0
    try:
        for part in _compiled(template).generate(**variables):
            parts.append(part)
            size += len(part)
            if size > largest:
                return {"error": f"it writes more than {largest:,} characters"}
    except TemplateRefusal as refusal:
        return {"refused": " ".join(str(refusal)[:LONGEST_ERROR].split())}
    return {"text": "".join(parts)}


class TemplateRefusal(TemplateError):
    """What a template raises itself."""


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: marks what the assistant said, for training; here it is just its text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateRefusal(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)
