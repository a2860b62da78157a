"""What can go wrong, said to the person at the keyboard: one line, what to try, an exit code.

Everything that a user can cause is a `UserError`; `cli.py` turns it into a line on stderr (and, with `--json`,
a JSON document). Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 600
"""Characters of a message, and of its hint: names in it come from strangers' files and may be of any length."""


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


def json_fault(error: Exception) -> str:
    """Why a text is no JSON, in words that name no place but the one in it (from 0), and nothing of Python's.

    >>> try:
    ...     __import__("json").loads('{"text": }')
    ... except ValueError as error:
    ...     print(json_fault(error))
    not JSON: Expecting value at character 9
    """
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if hasattr(error, "msg") and hasattr(error, "pos"):
        return f"not JSON: {error.msg} at character {error.pos}"
    digits = _TOO_MANY_DIGITS.match(str(error))
    return f"not JSON: {error}" if digits is None else f"not readable: a number has more than {digits[1]} digits"


_TOO_MANY_DIGITS = re.compile(r"Exceeds the limit \((\d+) digits\)")


@contextmanager
def understood(where: str, kind: type[UserError] | None = None, hint: str | None = None) -> Iterator[None]:
    """Around what reads a stranger's bytes, or numbers and names from them: where they say something impossible, the
    file is to blame, in one line (ModelError, or another `kind`).

    What a reader knows to be wrong it says itself; this is for what nobody thought of. All functions that read a
    stranger's bytes have it as a mark, `reader`, and a target of the fuzzer (`tests/fuzz`).

    >>> @reader("the note")
    ... def first_word(text):
    ...     return text.split()[0]
    >>> first_word("")
    Traceback (most recent call last):
    llminspect.errors.ModelError: the note is not understood: list index out of range
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, _IMPOSSIBLE) and type(error).__module__ not in _FORMATS:
            raise
        what = json_fault(error) if _TOO_MANY_DIGITS.match(str(error)) else str(error)
        what = " ".join(what.encode(errors="backslashreplace").decode().split()) or type(error).__name__
        what = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in what)
        hint = hint or "check it where it came from"
        raise (kind or ModelError)(f"{where} is not understood: {what:.200}", hint) from error


_IMPOSSIBLE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, EOFError, SyntaxError)
_FORMATS = {"struct", "zlib", "zipfile", "lzma", "_lzma", "tokenize", "binascii"}
"""Modules with errors of their own for damaged bytes."""


reader = understood


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
        self.hint = hint if hint is None or len(hint) <= LONGEST else hint[:LONGEST] + "…"


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
