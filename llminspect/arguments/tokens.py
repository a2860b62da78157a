"""The one token that `--target` or `--versus` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.model.opened import Model


def one_token(model: Model, text: str, option: str) -> int:
    """The id that `text` means: one token of the model's vocabulary exactly as written, or `#ID`.

    Raises UsageError where it is several tokens, none, or outside the vocabulary.
    """
    if text.startswith("#") and text[1:].isdecimal():
        token_id = int(text[1:])
        if token_id >= model.config.sizes.V:
            raise UsageError(
                f"id {token_id} is outside the vocabulary",
                f"ids of {model.name} run from 0 to {model.config.sizes.V - 1}",
            )
        return token_id
    if model.tokenizer is None:
        raise UsageError(f"{option}: this model comes without a tokenizer", f"give an id: {option} '#123'")
    tokens = model.tokenizer.encode(text, "special")
    if len(tokens) != 1:
        parts = " + ".join(repr(token.text) for token in tokens) or "no token"
        raise UsageError(
            f"{option} takes one token; {text!r} is {parts}", "a word in mid-sentence starts with a space: ' Paris'"
        )
    return tokens[0].id
