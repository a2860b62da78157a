"""The line that a person reads where an input is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llminspect.errors import UserError

LONGEST_LINE = 2000


def refused(error: UserError) -> bool:
    """False, after a look at the line that a person would read."""
    text = f"{error.message} {error.hint or ''}"
    assert error.message.strip(), "an empty message"
    assert len(text) < LONGEST_LINE, f"a message of {len(text)} characters: {text[:300]}"
    return False
