"""Encoder–decoder models: the source text is TEXT, the target so far `--target` or `--target-ids`.

A model that has read its source is a model of the target alone; everything else works on that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.arguments.ids import Ids, parse_ids
from llminspect.errors import UsageError
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.model.opened import Model


def with_source(model: Model, source_ids: Sequence[int]) -> Model:
    """The decoder, which sees `source_ids` through the encoder in every pass."""

    return replace(model, source=model.encode_source(source_ids))


def target_prompt(model: Model, text: str | int | None, ids: Ids | None) -> Prompt:
    """The target so far, behind the token that every target starts with. Raises UsageError for both at once."""
    from llminspect.text.tokenizer import Token

    if text is not None and ids is not None:
        raise UsageError("--target and --target-ids were given", "give one of them")
    if isinstance(text, int):
        raise UsageError("--target of an encoder–decoder is a text: the target so far", "give ids as --target-ids")
    start_id: int = model.config.start_id  # type: ignore[attr-defined]
    given = [] if ids is None else parse_ids(ids)
    if text is not None and model.tokenizer is None:
        raise UsageError("this model comes without a tokenizer", "give ids: --target-ids 1,2,3")
    tokens = [] if text is None or model.tokenizer is None else model.tokenizer.encode(text)

    def bare(token_id: int, special: bool) -> Token:
        data = str(token_id).encode() if model.tokenizer is None else model.tokenizer.token_bytes(token_id)
        return Token(token_id, data, None, None, special)

    return Prompt(text, [bare(start_id, True), *tokens, *(bare(token_id, False) for token_id in given)])


def refuse_target(model: Model, ids: Ids | None) -> None:
    """Raise UsageError for --target-ids of a model that has no target."""
    if ids is not None:
        raise UsageError(f"--target-ids: {model.name} has no target apart from its text", "leave it out")
