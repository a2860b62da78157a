"""Chat templates: programs in Jinja that come with a model from a stranger.

They run in jinja2's sandbox, which keeps them from Python's insides, and in a process of their own, because the
sandbox bounds neither time nor memory and one operation can take all of both: `[x, x]` forty times, then its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llminspect.errors import ModelError, UserError, reader
from llminspect.text.bounded_process import BoundedProcess

LARGEST = 1 << 22
"""Characters that a template may write beyond what the messages hold."""
SECONDS = 5.0

PROCESS = BoundedProcess("llminspect.text.template_sandbox", "renders chat templates")


@reader("the chat template")
def render_template(template: str, variables: Mapping[str, Any]) -> str:
    """What the template makes of the variables. Raises in one line UserError where it refuses them, ModelError where
    it fails or passes the bounds."""
    largest = LARGEST + _characters([variables.get("messages"), variables.get("tools")])
    request = {"template": template, "variables": dict(variables), "largest": largest}
    answer = PROCESS.answer(request, SECONDS)
    if "refused" in answer:
        raise UserError(f"the model's chat template fails: {answer['refused']}")
    if "error" in answer:
        raise ModelError(f"the model's chat template fails: {answer['error']}")
    text: str = answer["text"]
    return text


def _characters(value: Any) -> int:
    """How many there are in all the texts of a JSON value."""
    if isinstance(value, str):
        return len(value)
    entries = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return sum(map(_characters, entries))
