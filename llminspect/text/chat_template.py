"""Chat templates: programs in Jinja that come with a model from a stranger.

They run in jinja2's sandbox, which keeps them from Python's insides, and in a process of their own, because the
sandbox bounds neither time nor memory and one operation can take all of both: `[x, x]` forty times, then its text.
What of a chat a template does not write is told by whether the rendering is another one once that text is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from llminspect.errors import ModelError, UsageError, UserError, reader
from llminspect.text.bounded_process import BoundedProcess
from llminspect.text.messages import REASONING, ChatInput

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


def unwritten(
    render: Callable[[ChatInput], str], rendered: str, chat: ChatInput, model: str, found: set[int | None]
) -> list[str]:
    """Notes of messages and thoughts that are not written. `found` are messages of which some text is known to be.

    Raises UsageError for a name of who speaks that changes nothing: what a tool is called its call says already.
    """

    def changes(number: int, *keys: str) -> bool:
        others = [*chat.messages]
        message = others[number]
        others[number] = {**message, **{key: f"{message[key]}_" for key in keys}}
        try:
            return render(replace(chat, messages=others)) != rendered
        except UserError:
            return True

    notes, thoughts = [], []
    for number, message in enumerate(chat.messages):
        role, content = message["role"], message.get("content")
        if message.get("name") and role != "tool" and not changes(number, "name"):
            raise UsageError(
                f"the chat template of {model} does not write the name of message {number}",
                "leave it out, or write it into the content",
            )
        if content and isinstance(content, str) and number not in found and not changes(number, "content"):
            notes.append(f"the chat template does not write message {number}, whose role is {role!r}")
        keys = [key for key in REASONING if message.get(key)]
        if keys and not changes(number, *keys):
            thoughts.append(str(number))
    which = f"message{'s' * (len(thoughts) > 1)} {', '.join(thoughts)}"
    return notes + [f"the chat template does not write what was thought in {which}"] * bool(thoughts)
