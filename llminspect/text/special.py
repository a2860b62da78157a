"""Special tokens spelt inside a text: plain text, the token, or an error."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


Parse = Literal["text", "special", "error"]
"""What the spelling of a special token inside a text is: text, the token, or an error."""


@lru_cache(maxsize=16)
def _any_of(spellings: tuple[str, ...]) -> re.Pattern[str]:
    # Longest first: where two spellings start at one place, the longer is meant.
    return re.compile("|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True)))


def split_at_specials(
    text: str, specials: Mapping[str, int], parse: Parse, always: Mapping[str, int] | None = None, at: int = 0
) -> Iterator[tuple[str, int | None]]:
    """Cut a text into plain parts (id None) and special tokens (their id), in order.

    Untrusted text is why `parse` is "text" unless asked otherwise: whoever can type `<|im_end|>` must not thereby end
    the user's turn. Spellings in `always` (a GGUF's user-defined tokens) are cut out whatever `parse` says, because
    the model was made to meet them as ordinary text. Raises UsageError where `parse` is "error" and a special token
    is spelt; it names the byte, the first of `text` being byte `at` of the input.
    """
    wanted = dict(always or {})
    if parse != "text":
        wanted |= specials
    wanted.pop("", None)
    if not wanted:
        if text:
            yield text, None
        return
    end = 0
    for match in _any_of(tuple(wanted)).finditer(text):
        spelling = match.group()
        if parse == "error" and spelling in specials:
            place = at + len(text[: match.start()].encode("utf-8", "surrogateescape"))
            raise UsageError(
                f"the text spells the special token {spelling} at byte {place}",
                "use --parse text to take it as plain text, --parse special to take it as the token",
            )
        if match.start() > end:
            yield text[end : match.start()], None
        yield spelling, wanted[spelling]
        end = match.end()
    if end < len(text):
        yield text[end:], None


def readable(text: str) -> str:
    """The same number of characters, with U+FFFD for bytes that are not UTF-8: the library takes only whole ones."""
    if text.isascii():
        return text
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
