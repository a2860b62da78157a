"""The other side of `chat_template`: a process that renders templates, one line of JSON after another.

The names a template may use are those that `transformers` offers (`chat_template_utils.py`), because templates are
written against it.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import nodes
    from jinja2.parser import Parser

MEMORY = 512 << 20
"""Bytes of address space that the process may have, beyond `PER_BYTE` for each byte of what it is asked."""
PER_BYTE = 32
LONGEST_ERROR = 300


def serve() -> None:
    """Answer each line of standard input, {"template", "variables", "seconds", "largest"}, by {"text"} or {"error"}."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked.
    answers = sys.stdout.buffer
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _bound(len(line), request["seconds"])
        answer = rendered(request["template"], request["variables"], request["largest"])
        data = json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")
        _bound(len(line), 0)
        answers.write(data + b"\n")
        answers.flush()


def _bound(size: int, seconds: float) -> None:
    """Limit memory, and end this process should it be at work for longer and nobody be left to end it."""
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = MEMORY + PER_BYTE * size
        with suppress(ValueError, OSError):  # macOS knows the limit and does not take it.
            soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, seconds and seconds + 1)


def rendered(template: str, variables: Mapping[str, Any], largest: int) -> dict[str, str]:
    """{"text"}, of at most `largest` characters, or {"error"} in one line."""
    try:
        parts, size = [], 0
        for part in _compiled(template).generate(**variables):
            parts.append(part)
            size += len(part)
            if size > largest:
                return {"error": f"it writes more than {largest:,} characters"}
        return {"text": "".join(parts)}
    except MemoryError:
        return {"error": f"it takes more than {MEMORY >> 20} MB of memory"}
    except Exception as error:  # A stranger's program can fail in any way.
        what = " ".join(str(error)[: 2 * LONGEST_ERROR].split()) or type(error).__name__
        return {"error": what[:LONGEST_ERROR]}


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: marks what the assistant said, for training; here it is just its text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


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
