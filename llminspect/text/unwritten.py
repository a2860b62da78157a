"""What of a chat its template does not write: told by whether the rendering is another one once that text is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from llminspect.errors import UsageError, UserError
from llminspect.text.messages import REASONING, ChatInput


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
