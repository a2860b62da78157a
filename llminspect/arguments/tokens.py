"""The one token that `--target` or `--versus` means."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from llminspect.arguments.ranges import is_index, shortened
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.model.opened import Model

TokenChoice: TypeAlias = str | int
"""A token's text exactly as the vocabulary has it (`" Paris"`), or its id: `"#12366"`, from Python `12366` as well."""


def one_token(model: Model, token: TokenChoice, option: str) -> int:
    """The id of the token that is meant.

    Raises UsageError where it is several tokens, none, or outside the vocabulary.
    """
    if isinstance(token, int) or (token.startswith("#") and token[1:].isascii() and token[1:].isdecimal()):
        token_id = token if isinstance(token, int) else int(token[1:] if is_index(token[1:]) else -1)
        if not 0 <= token_id < model.config.sizes.V:
            raise UsageError(
                f"id {shortened(str(token).removeprefix('#'))} is outside the vocabulary",
                f"ids of {model.name} run from 0 to {model.config.sizes.V - 1}",
            )
        return token_id
    if model.tokenizer is None:
        raise UsageError(f"{option}: this model comes without a tokenizer", f"give an id: {option} '#123'")
    tokens = model.tokenizer.encode(token, "special")
    if len(tokens) != 1:
        parts = " + ".join(repr(part.text) for part in tokens[:20]) or "no token"
        more = " + …" if len(tokens) > 20 else ""
        raise UsageError(
            f"{option} takes one token; {shortened(token)!r} is {parts}{more}",
            "a word in mid-sentence starts with a space: ' Paris'",
        )
    return tokens[0].id
