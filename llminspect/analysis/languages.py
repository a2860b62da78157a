"""The tokens by which a translator of many languages is told which one to write.

Fan et al. 2021, "Beyond English-Centric Multilingual Machine Translation" (M2M-100), section 3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llminspect.errors import UsageError
from llminspect.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llminspect.model.opened import Model

SPELLING = re.compile(r"__([a-z]{2,3})__|([a-z]{2,3}_[A-Z][A-Za-z]{1,3})")
"""`__fr__` (M2M-100), `fr_XX` (mBART), `fra_Latn` (NLLB)."""
NAMED = 8


def languages(tokenizer: Tokenizer | None) -> dict[str, int]:
    """The ids of the languages that a vocabulary has special tokens of, by their names; none of most vocabularies."""
    tokens = {} if tokenizer is None else tokenizer.special_tokens
    found = ((SPELLING.fullmatch(spelling), token_id) for spelling, token_id in tokens.items())
    return {match[1] or match[2]: token_id for match, token_id in found if match is not None}


def language_id(model: Model, name: str) -> int:
    """The token of a language. Raises UsageError for a model without such tokens, and for a language that it lacks."""
    known = languages(model.tokenizer)
    if not known:
        raise UsageError(f"--target-language: {model.name} has no tokens of languages", "leave it out")
    match = SPELLING.fullmatch(name)
    token_id = known.get(name if match is None else match[1] or match[2])
    if token_id is None:
        some = ", ".join(sorted(known)[:NAMED]) + (" …" if len(known) > NAMED else "")
        raise UsageError(
            f"--target-language: {name!r:.60} is none of the {len(known)} languages of {model.name}",
            f"its languages, which info lists: {some}",
        )
    return token_id
