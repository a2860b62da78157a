"""What can go wrong, said to the person at the keyboard: one line, what to try, an exit code.

Everything that a user can cause is a `UserError`; `cli.py` turns it into a line on stderr (and, with `--json`,
a JSON document). Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

from typing import ClassVar

LONGEST = 600
"""Characters of a message: names in it come from strangers' files and may be of any length."""


def as_json(value: object, most: int = 60) -> str:
    """A value of a stranger's JSON as it stands there, for a message: `null`, `true`, `"gelu"`. Of what is longer than
    `most` characters the beginning; what cannot be seen is escaped."""
    import json

    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # No value of JSON, or one that cannot be written.
        text = f"a {type(value).__name__}"
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: most + 1])
    return text if len(text) <= most else f"{text[:most]}…"


class UserError(Exception):
    """It could not be done. `message` says what was wrong, `hint` what would do.

    UsageError (something makes no sense, such as a layer that is not there), ModelError (a model that cannot be found
    or opened) and CheckFailed are kinds of it, in `llminspect.errors`.

    >>> import llminspect
    >>> try:
    ...     llminspect.attend("A cat sat.", "toy-attention", layer="7")
    ... except llminspect.UserError as error:
    ...     print(error.message, "/", error.hint)
    there is no layer 7 / the only layer is 0
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "failed"

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = message if len(message) <= LONGEST else message[:LONGEST] + "…"
        super().__init__(self.message)
        self.hint = hint


class UsageError(UserError):
    """The command line asks for something that makes no sense, such as a layer that the model does not have."""

    exit_code = 2
    code = "usage"


class ModelError(UserError):
    """The model cannot be found, opened, or is of a kind not known."""

    exit_code = 3
    code = "model"


class TokenizerAlone(ModelError):
    """What was named is a tokenizer without a model. `tokenize`, `encode` and `info` take it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "a tokenizer alone is what tokenize, encode and info take")


class CheckFailed(UserError):
    """A check that was asked for (`--max-tokens-allowed`, `verify`) did not hold."""

    exit_code = 4
    code = "check"
