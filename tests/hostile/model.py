"""A small model of which every word is an attack on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fuzz.samples import llama, vocabulary

if TYPE_CHECKING:
    from pathlib import Path

ATTACKS = [
    "\x1b]0;taken\x07",  # The title.
    "\x1b[2J\x1b[H",  # All is erased.
    "\x9b5A",  # One character for ESC [: the cursor goes up.
    "\x07\x08\r\v\f",
    "\x1bP+q544e\x1b\\",  # A request to the terminal, which would answer into the shell.
    "\x1b]8;;http://evil.example\x1b\\",
    "\u202eslrig\u202c\u2066\u200f",
    "[/][red]",
    "[link=http://evil.example]",
    "</text></pre><script>alert(1)</script>",
    "\"' onload=alert(1) <svg/onload=alert(1)>",
    "]]>--><!--",
    "\u200b\ufeff\u2028\u0085\u00ad",
    "e\u0301\u0301\u0301",
    "&lt;&#27;[31m",
]
TEXT = "\x1b]0;taken\x07\x1b[2J\x9b5A [/][red] \u202e<script>alert(1)</script>\r\x08\t\n\x1b"
NAME = "mo\x1b]0;taken\x07\x1b[2J\u202e[red]<b>.gguf"
"""A file's name."""
RAISING = "{{ raise_exception('\x1b]0;taken\x07\x1b[2J [/red] \u202e') }}"


def content(chat_template: str | None = None, words: list[str] | None = None) -> bytes:
    """A GGUF file: every byte is a token, and so is every attack."""
    keys: list[tuple[str | bytes, Any]] = vocabulary("llama", words or ATTACKS)
    template = (
        chat_template or "\x1b]0;taken\x07{% for message in messages %}\u202e\x9b2J{{ message.content }}{% endfor %}"
    )
    keys = [(key, template if key == "tokenizer.chat_template" else value) for key, value in keys]
    file = llama(keys, len(dict(keys)["tokenizer.ggml.tokens"]), layers=2)
    changed = {"general.name": NAME, "llama.context_length": 512}
    file.metadata = [(key, changed.get(str(key), value)) for key, value in file.metadata]
    file.metadata += [("a\x1b[2J", "\x1b]0;taken\x07")]
    return file.build()


def write(folder: Path, **options: Any) -> Path:
    path = folder / NAME
    path.write_bytes(content(**options))
    return path
