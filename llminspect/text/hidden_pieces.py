"""A tokenizer.json whose model holds special tokens as pieces finds them in any text that spells them.

The `tokenizers` library can be told not to look for special tokens, but not to keep its model from them: a Unigram
model reads the text "</s>" as the piece </s>, and so as the end of the text (T5, XLM-R).
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    import tokenizers


def without_pieces(library: tokenizers.Tokenizer, spellings: Collection[str]) -> tokenizers.Tokenizer:
    """A copy whose model has other spellings for these pieces, which nobody can guess; ids stay as they are."""
    from tokenizers import Tokenizer

    written = library.to_str()
    whole: dict[str, Any] = json.loads(written)
    model = whole["model"]
    hidden = {spelling: f"\uffff{secrets.token_hex(16)}" for spelling in spellings}
    if isinstance(model["vocab"], dict):
        model["vocab"] = {hidden.get(piece, piece): i for piece, i in model["vocab"].items()}
    else:
        model["vocab"] = [[hidden.get(piece, piece), score] for piece, score in model["vocab"]]
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _makes_one_of(hidden, merge)]
    if model.get("unk_token") in hidden:
        model["unk_token"] = hidden[model["unk_token"]]
    nothing = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    copy = Tokenizer.from_str(written)
    # With the others in one file they would get new ids, as the model no longer knows them.
    copy.model = Tokenizer.from_str(
        json.dumps({"version": whole.get("version", "1.0"), "added_tokens": [], **nothing, "model": model})
    ).model
    return copy


def _makes_one_of(spellings: Collection[str], merge: str | list[str]) -> bool:
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in spellings or right in spellings or left + right in spellings
