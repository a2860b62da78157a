"""Which special tokens of a GGUF file take the white space beside them: the file does not say, its model's name does.

Source: llama.cpp, `llama-vocab.cpp`, "Handle per token attributes". A `tokenizer.json` says it token by token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.text.special_tokens import Strips

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAKE_WHAT_IS_BEFORE = (
    ("tokenizer.ggml.pre", ("jina-v2-de", "jina-v2-es", "jina-v2-code"), "<mask>"),
    ("general.architecture", ("nomic-bert-moe", "jina-bert-v3"), "<mask>"),
    ("general.name", ("modern-bert",), "[MASK]"),
)
"""Where the value of a key holds one of these words, the token takes the white space before it."""
_PHI_3 = ("phi-3", "phi3")
_NOT_OF_PHI_3 = ("<unk>", "<s>", "<|endoftext|>")


def strips_of_gguf(metadata: Mapping[str, Any], tokens: Mapping[str, int]) -> Strips:
    """The rules for the special and user-defined `tokens`, spelling to id.

    >>> strips_of_gguf({"general.name": "Phi-3 mini"}, {"<s>": 1, "<|user|>": 32010})
    Strips(left=frozenset(), right=frozenset({32010}))
    """

    def holds(key: str, words: tuple[str, ...]) -> bool:
        value = metadata.get(key)
        value = value.lower() if key == "general.name" and isinstance(value, str) else value
        return isinstance(value, str) and any(word in value for word in words)

    *first, last = [(spelling, holds(key, words)) for key, words, spelling in _TAKE_WHAT_IS_BEFORE]
    left = {spelling for spelling, applies in first if applies}
    if not left and holds("general.name", _PHI_3):
        return Strips(right=frozenset(token_id for text, token_id in tokens.items() if text not in _NOT_OF_PHI_3))
    left = left or {spelling for spelling, applies in (last,) if applies}
    return Strips(left=frozenset(tokens[spelling] for spelling in left if spelling in tokens))
